"""A peer as a process of its own, run by the Python of an environment that has it; nothing of this package is imported.

`PYTHON peer_process.py PEER FRAMES.npy` (N x H x W x 3 uint8 BGR) writes a line of JSON with its versions when it is
ready, then reads a line for every pass over the frames and responds with a line. Each peer runs with its own defaults,
as its documentation shows.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any


def make_fer() -> tuple[Callable[[Any], int], tuple[str, ...]]:
    """Return what counts the faces in a frame with `fer`, and the distributions that do the work."""
    from fer.fer import FER  # type: ignore[import-not-found]

    recogniser = FER()
    return lambda frame: len(recogniser.detect_emotions(frame)), ("fer", "numpy", "tensorflow", "tensorflow-cpu")


def make_py_feat() -> tuple[Callable[[Any], int], tuple[str, ...]]:
    """Return what counts the faces in a frame with py-feat, on the CPU, and the distributions that do the work."""
    import torch
    from feat import Detectorv2  # type: ignore[import-not-found]

    detector = Detectorv2(device="cpu")

    def count(frame: Any) -> int:
        image = torch.from_numpy(frame[:, :, ::-1].copy()).permute(2, 0, 1)
        found = detector.detect(image[None], data_type="tensor", progress_bar=False)
        return int(found["FaceScore"].notna().sum())

    return count, ("py-feat", "numpy", "torch")


PEERS = {"fer": make_fer, "py-feat": make_py_feat}


def main() -> int:
    """Run the peer and return the exit code."""
    # What the peer prints must not get between the lines of JSON.
    output = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    import numpy as np

    count, libraries = PEERS[sys.argv[1]]()
    frames = np.load(sys.argv[2])
    count(frames[0])
    installed = {
        distribution.metadata["Name"].lower(): distribution.version for distribution in metadata.distributions()
    }
    print(json.dumps({"versions": {name: installed[name] for name in libraries if name in installed}}), file=output)
    for _ in sys.stdin:
        faces, started = 0, time.perf_counter()
        for frame in frames:
            faces += count(frame)
        print(json.dumps({"seconds": time.perf_counter() - started, "faces": faces}), file=output)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The peer `fer` as a process of its own: run by another Python, in whose environment TensorFlow may do as it likes.

In: `PYTHON fer_process.py FRAMES.npy` (N x H x W x 3 uint8 BGR), then a line on standard input for every pass. Out: a
line of JSON when ready, and one for every pass, on standard output. Uses nothing of this package. `fer` is used as its
own page shows: `FER().detect_emotions(frame)`, with the defaults of everything.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import metadata


def main() -> int:
    """Returns the exit code."""
    # What TensorFlow and its delegates print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    import cv2
    import numpy as np
    from fer.fer import FER  # type: ignore[import-not-found]

    frames = np.load(sys.argv[1])
    recogniser = FER()
    recogniser.detect_emotions(frames[0])
    versions = {name: metadata.version(name) for name in ("fer", "numpy")} | {"opencv": cv2.__version__}
    tensorflow = sys.modules.get("tensorflow")
    versions["tensorflow"] = getattr(tensorflow, "__version__", "unknown")
    print(json.dumps({"versions": versions}), file=answers)
    for _ in sys.stdin:
        faces, began = 0, time.perf_counter()
        for frame in frames:
            faces += len(recogniser.detect_emotions(frame))
        elapsed = time.perf_counter() - began
        print(json.dumps({"seconds": elapsed, "faces": faces}), file=answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""This package beside what a user would pick instead, in one run on the same pictures.

In: a model, a clip, and the Python of an environment that has `fer`. Out: times of both and their ratio. Each peer
keeps its own defaults. Passes alternate (ours, theirs, ours ...), so that what else the machine does meets both alike;
the ratio is taken within each pair.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ast_net_ros.model.inference import AffectModel
from ast_net_ros.pipeline import AffectPipeline
from bench import fer_process
from bench.floors import count_operations, model_cost
from bench.frames import frames_of
from bench.peer_networks import EFFICIENTNET_SIDE, EMONET_SIDE, efficientnet_b0, emonet_shaped
from bench.scenarios import STAGE_SIZE, WAYS, Clip, Progress
from bench.timing import milliseconds, spread

OURS = "AST-Net, encode and step"
NETWORKS: dict[str, tuple[Callable[[], torch.nn.Module], int]] = {
    "EfficientNet-B0 at 224, as in HSEmotion": (efficientnet_b0, EFFICIENTNET_SIDE),
    "EmoNet's shapes at 256": (emonet_shaped, EMONET_SIDE),
}
_FER_START_SECONDS = 180.0


class PeerError(ValueError):
    """A peer that was asked for and cannot be run; the message says why and the mend."""


def networks(model: AffectModel, repeats: int, progress: Progress) -> dict[str, dict]:
    """Milliseconds of one face through each network, on the same device with the same threads; ratio: theirs / ours."""
    side = model.config.chip_side
    chips, state = np.zeros((1, side, side), np.uint8), model.initial_state(1)
    costs = model_cost(model.config).values()
    results: dict[str, dict] = {
        OURS: {
            "parameters": sum(cost["parameters"] for cost in costs),
            "operations": sum(cost["operations"] for cost in costs),
        }
    }

    def ours() -> object:
        return model.step(model.encode(chips)[0], state)

    own_times: list[float] = []
    for name, (build, peer_side) in NETWORKS.items():
        torch.manual_seed(0)
        network = build().to(memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload]
        face = torch.rand(1, 3, peer_side, peer_side).to(memory_format=torch.channels_last)
        operations = count_operations(network, face)
        device = torch.device(model.device)
        network, face = network.to(device), face.to(device)
        with torch.inference_mode():
            pairs = _alternate(ours, partial(network, face), device, repeats)
        own_times += [own for own, _ in pairs]
        results[name] = {
            "parameters": sum(p.numel() for p in network.parameters()),
            "operations": operations,
            "face_ms": spread([theirs for _, theirs in pairs]),
            "ratio": spread([theirs / own for own, theirs in pairs]),
        }
        progress(f"peers, {name}")
    results[OURS]["face_ms"] = spread(own_times)
    return results


def _alternate(
    ours: Callable[[], object], theirs: Callable[[], object], device: torch.device, repeats: int
) -> list[tuple[float, float]]:
    return [(milliseconds(ours, device, 0.3), milliseconds(theirs, device, 0.3)) for _ in range(repeats)]


def against_fer(model: AffectModel, clip: Clip, python: Path, repeats: int, progress: Progress) -> dict[str, Any]:
    """Frames per second of whole pipelines on the clip at 640x360, ours in each of WAYS.

    Raises PeerError when `python` cannot run `fer`.
    """
    pictures = frames_of(clip.frames, STAGE_SIZE, 1, clip.box)
    whole = AffectPipeline(model)
    ours: dict[str, list[dict]] = {way: [] for way in WAYS}
    theirs, theirs_faces = [], 0.0
    with _fer(python, pictures) as (versions, run):
        for _ in range(repeats):
            for way, own in WAYS.items():
                ours[way].append(own(whole, pictures, clip.rate))
            passed = run()
            theirs.append(len(pictures) / passed["seconds"])
            theirs_faces = passed["faces"] / len(pictures)
    progress("peers, fer")
    return {
        "pictures": f"{len(pictures)} at {STAGE_SIZE[0]}x{STAGE_SIZE[1]}, one face",
        "versions": versions,
        "ours": {
            way: {
                "frames_per_second": spread([own["frames_per_second"] for own in passes]),
                "faces_per_frame": passes[-1]["faces_per_frame"],
                "ratio": spread([own["frames_per_second"] / their for own, their in zip(passes, theirs)]),
            }
            for way, passes in ours.items()
        },
        "theirs_frames_per_second": spread(theirs),
        "theirs_faces_per_frame": round(theirs_faces, 4),
    }


@contextmanager
def _fer(python: Path, pictures: Sequence[np.ndarray]) -> Iterator[tuple[dict[str, str], Callable[[], dict]]]:
    """The versions in the peer's environment, and what makes it pass over the pictures once."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        frames = Path(folder) / "frames.npy"
        np.save(frames, np.stack(pictures))
        command = [str(python), str(Path(fer_process.__file__).resolve()), str(frames)]
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        except OSError as error:
            raise PeerError(f"--peer-python {python}: {error.strerror}; name the Python that has fer") from error
        assert process.stdin is not None and process.stdout is not None

        def answer() -> dict:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                log.seek(0)
                ends = log.read().strip().splitlines()[-1:] or ["it said nothing"]
                raise PeerError(f"--peer-python {python}: fer does not run there: {ends[0]}")
            return json.loads(line)

        def run() -> dict:
            assert process.stdin is not None
            print(file=process.stdin, flush=True)
            return answer()

        try:
            yield answer()["versions"], run
        finally:
            process.stdin.close()
            try:
                process.wait(_FER_START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            process.stdout.close()

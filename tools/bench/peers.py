"""This package and its peers, in one run on the same frames.

Each peer runs with its own defaults. Passes alternate, so that other work on the machine affects both alike; the ratio
is taken within each pair of passes.
"""

from __future__ import annotations

import os
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
from bench import peer_process
from bench.floors import count_operations, model_cost
from bench.frames import frames_of
from bench.node_processes import JsonProcess, ProcessError
from bench.peer_networks import EFFICIENTNET_SIDE, EMONET_SIDE, efficientnet_b0, emonet_shaped
from bench.scenarios import STAGE_SIZE, WAYS, Clip, Progress
from bench.timing import milliseconds, spread

OURS = "AST-Net, encode and step"
NETWORKS: dict[str, tuple[Callable[[], torch.nn.Module], int]] = {
    "EfficientNet-B0 at 224, as in HSEmotion": (efficientnet_b0, EFFICIENTNET_SIDE),
    "EmoNet's shapes at 256": (emonet_shaped, EMONET_SIDE),
}


class PeerError(ValueError):
    """A requested peer cannot be run; the message says why and how to fix it."""


def networks(model: AffectModel, repeats: int, progress: Progress) -> dict[str, dict]:
    """Measure the networks with one face, on the same device with the same number of threads.

    Args:
        model: Ours.
        repeats: Repeats of each measurement.
        progress: Called for each network.

    Returns:
        Parameters, operations, milliseconds and the ratio of their time to ours, by network.
    """
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


def against_peer(
    peer: str, model: AffectModel, clip: Clip, python: Path, repeats: int, progress: Progress
) -> dict[str, Any]:
    """Compare whole pipelines on the clip at 640x360, ours in each of WAYS.

    Args:
        peer: A key of peer_process.PEERS.
        model: Ours.
        clip: The video.
        python: Interpreter of an environment that has the peer.
        repeats: Passes over the frames.
        progress: Called when done.

    Returns:
        Frames per second of both, and their ratios.

    Raises:
        PeerError: `python` cannot run the peer.
    """
    frames = frames_of(clip.frames, STAGE_SIZE, 1, clip.box)
    whole = AffectPipeline(model)
    ours: dict[str, list[dict]] = {way: [] for way in WAYS}
    theirs, theirs_faces = [], 0.0
    with running_peer(peer, python, frames) as (versions, run):
        for _ in range(repeats):
            for way, own in WAYS.items():
                ours[way].append(own(whole, frames, clip.rate))
            result = run()
            theirs.append(len(frames) / result["seconds"])
            theirs_faces = result["faces"] / len(frames)
    progress(f"peers, {peer}")
    return {
        "frames": f"{len(frames)} frames of {STAGE_SIZE[0]}x{STAGE_SIZE[1]} with one face",
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
def running_peer(
    peer: str, python: Path, frames: Sequence[np.ndarray]
) -> Iterator[tuple[dict[str, str], Callable[[], dict]]]:
    """Run a peer's process; yields the versions in its environment and a function for one pass over the frames."""
    if not os.access(python, os.X_OK):
        raise PeerError(f"--peer-python {peer}={python}: no such executable; give the Python of its environment")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "frames.npy", np.stack(frames))
        program = str(Path(peer_process.__file__).resolve())
        # The interpreter of a virtual environment is a link, which must not be resolved.
        command = [str(python.absolute()), program, peer, str(folder / "frames.npy")]
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
        process = JsonProcess(command, folder, peer, environment)

        def run() -> dict:
            process.send()
            return process.receive()

        try:
            versions = process.receive()["versions"]
        except ProcessError as error:
            process.end()
            raise PeerError(f"--peer-python {peer}={python}: {error}") from error
        try:
            yield versions, run
        finally:
            process.close_input()
            process.end()

"""Run the selected scenarios and gather the content of results.json.

A scenario that cannot run here is listed under `skipped` with the reason; the others continue.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ast_net_ros.model.encoders import runtimes_for
from ast_net_ros.model.inference import AffectModel, load_model
from ast_net_ros.settings import PipelineSettings
from ast_net_ros.vision.detection import make_detector
from bench import footprint, gpu, node, peers, scenarios
from bench.detection_cost import detection_cost
from bench.floors import align_bytes, model_cost, stage_floors
from bench.frames import face_box, frames_of, read_clip
from bench.machine import QUIET_LOAD, copy_rates, describe_machine, describe_versions, load, matrix_rate
from bench.machine import usable_cores as cores
from bench.targets import targets

SCHEMA = "ast_net_bench/3"
OTHER_BATCHES = (1, 8)
SCENARIOS = {
    "model": "encode and step alone, in batches, with one thread and all",
    "stages": "each stage with one face at 640x360",
    "pipeline": "whole pipeline by frame size and number of faces",
    "floors": "the shortest possible time for the arithmetic and copies of each stage (needs stages)",
    "footprint": "memory, start-up and disk space of the library",
    "peers": "compared with fer, py-feat and the networks of HSEmotion and EmoNet",
    "node": "the node over DDS: rates, latency, cameras, overload, start-up, memory",
    "gpu": "batches, half precision and graphs on a GPU",
}


@dataclass(frozen=True)
class Options:
    """What is measured, and how.

    Attributes:
        video: A video with one face.
        weights: Weights file; None for the packaged one.
        device: As in `load_model`, likewise precision and runtime.
        frames: Frames of the video in each pass.
        repeats: Repeats of each measurement.
        wanted: Keys of SCENARIOS.
        peers: Interpreter of the environment of each peer.
        machine_name: Directory for the results; None for one from the processor's name.
        lengths: Of the node's runs.
    """

    video: Path
    weights: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    runtime: str = "auto"
    frames: int = 90
    repeats: int = 5
    wanted: tuple[str, ...] = tuple(SCENARIOS)
    peers: dict[str, Path] = field(default_factory=dict)
    machine_name: str | None = None
    lengths: node.Lengths = field(default_factory=node.Lengths)


class _Run:
    """Metrics so far, what was skipped, and the progress bar."""

    def __init__(self, options: Options, model: AffectModel, clip: scenarios.Clip, bar: tqdm):
        self.options, self.model, self.clip, self.bar = options, model, clip, bar
        self.metrics: dict[str, Any] = {}
        self.skipped = [
            {"what": name, "why": "not selected by --only or --skip"}
            for name in SCENARIOS
            if name not in options.wanted
        ]

    def skip(self, what: str, why: str) -> None:
        self.skipped.append({"what": what, "why": why})
        tqdm.write(f"skipped: {what}: {why}")

    def progress(self, what: str) -> None:
        self.bar.set_postfix_str(what, refresh=False)
        self.bar.update()


def run_benchmark(options: Options) -> dict:
    """Run all selected scenarios.

    Args:
        options: Of the command line.

    Returns:
        The content of results.json.

    Raises:
        VideoError: The video cannot be read or shows no face.
        WeightsError: The weights cannot be loaded.
        DeviceError: The device or the runtime is not available.
    """
    load_before = load()
    reason = _no_device(options.device)
    if reason:
        return _nothing_measured(options, reason, load_before)
    model = _load(options)
    frames, rate = read_clip(options.video, options.frames)
    clip = scenarios.Clip(frames, rate, face_box(frames))
    with tqdm(total=sum(_parts(name, options) for name in options.wanted), desc="measuring", unit="part") as bar:
        run = _Run(options, model, clip, bar)
        for name in (name for name in SCENARIOS if name in options.wanted):
            done = bar.n
            _SCENARIOS[name](run)
            bar.update(done + _parts(name, options) - bar.n)  # skipped parts
    results = _about(options, load_before) | {
        "configuration": _configuration(options, model, clip),
        "metrics": run.metrics,
        "skipped": run.skipped,
    }
    return results | {"targets": targets(run.metrics)}


def _load(options: Options, threads: int = 0) -> AffectModel:
    """Load the model; threads: 0 for all cores."""
    return load_model(options.weights, options.device, options.precision, options.runtime, threads)


def _no_device(device: str) -> str:
    return gpu.why_not(device) if device.startswith("cuda") else ""


def _nothing_measured(options: Options, reason: str, load_before: float) -> dict:
    """Return the results of --device cuda without a GPU: every scenario skipped, with the reason."""
    skipped = [{"what": name, "why": reason} for name in SCENARIOS]
    about = _about(options, load_before) | {"configuration": {"device": options.device}}
    return about | {"metrics": {}, "skipped": skipped, "targets": targets({})}


def _about(options: Options, load_before: float) -> dict:
    return {
        "schema": SCHEMA,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": describe_machine(options.machine_name)
        | {"load_before": load_before, "load_after": load(), "quiet": load_before <= QUIET_LOAD * cores()},
        "versions": describe_versions(),
    }


def _configuration(options: Options, model: AffectModel, clip: scenarios.Clip) -> dict:
    cost = model_cost(model.config)
    return {
        "video": options.video.name,
        "frames": len(clip.frames),
        "repeats": options.repeats,
        "device": model.device,
        "precision": model.precision,
        "runtime": model.runtime,
        "weights": model.weights_path if options.weights else "packaged",
        "weights_sha256": model.weights_hash,
        "parameters": sum(part["parameters"] for part in cost.values()),
        "operations_per_face": sum(part["operations"] for part in cost.values()),
        "chip_side": model.config.chip_side,
        "detector_input_size": PipelineSettings().detector_input_size,
        "torch_threads": torch.get_num_threads(),
        "node_lengths_s": vars(options.lengths),
    }


# The scenarios, in the order in which they run


def other_runtimes(model: AffectModel) -> list[str]:
    """Return the other runtimes that could run the CNN on the model's device."""
    return [name for name in runtimes_for(model.device.partition(":")[0], model.precision) if name != model.runtime]


def _model(run: _Run) -> None:
    options = run.options
    run.metrics["model"] = scenarios.model_alone(
        partial(_load, options), options.repeats, run.progress, scenarios.BATCHES
    )
    for runtime in other_runtimes(run.model):
        load = partial(_load, replace(options, runtime=runtime))
        found = scenarios.model_alone(load, options.repeats, lambda what: None, OTHER_BATCHES)
        run.metrics.setdefault("other_runtimes", {})[runtime] = found


def _stages(run: _Run) -> None:
    run.metrics["stages"] = scenarios.stages(run.model, run.clip, run.options.repeats, run.progress)


def _pipeline(run: _Run) -> None:
    run.metrics["pipeline"] = scenarios.pipeline(run.model, run.clip, run.options.repeats, run.progress)


def _floors(run: _Run) -> None:
    """Measure the machine's rates and compute the floors of the measured stages."""
    threads, repeats = cores(), max(3, run.options.repeats)
    device = torch.device(run.model.device)
    matrix, copies = matrix_rate(device, threads, repeats), copy_rates(device, threads, repeats)
    rates = {"matrix_operations_per_second": matrix, "copy_bytes_per_second": copies}
    run.progress("floors, rates")
    run.metrics["floors"] = {"threads": threads, **rates}
    measured = run.metrics.get("stages")
    if measured is None:
        run.skip("floors of the stages", "the stages were not measured")
        return
    width, height = scenarios.STAGE_SIZE
    image = frames_of(run.clip.frames[:1], (width, height), 1, run.clip.box)[0]
    landmarks = make_detector().detect(image)[0].landmarks
    moved = {
        "align": align_bytes(landmarks, run.model.config.chip_side),
        "decode rgb8": 2 * 3 * width * height,
        "decode jpeg": 3 * width * height,
    }
    detection = detection_cost(width, height, PipelineSettings().detector_input_size)
    cost = model_cost(run.model.config)
    run.metrics["floors"]["stages"] = stage_floors(cost, detection, moved, matrix, copies, measured)
    run.progress("floors, stages")


def _footprint(run: _Run) -> None:
    run.metrics["footprint"] = footprint.footprint(run.options.video, run.options.repeats, run.progress)


def _peers(run: _Run) -> None:
    options = run.options
    run.metrics["peers"] = {"networks": peers.networks(run.model, options.repeats, run.progress)}
    for peer in peers.peer_process.PEERS:
        if peer not in options.peers:
            run.skip(f"peer {peer}", f"no --peer-python {peer}=PATH; docs/performance.md describes its environment")
            continue
        try:
            found = peers.against_peer(peer, run.model, run.clip, options.peers[peer], options.repeats, run.progress)
            run.metrics["peers"][peer] = found
        except peers.PeerError as error:
            run.skip(f"peer {peer}", str(error))


def _node(run: _Run) -> None:
    try:
        run.metrics["node"] = node.measure_node(run.options.lengths, run.options.weights, run.options.device, run.clip,
                                                run.model, run.skip, run.progress)  # fmt: skip
    except node.NodeBenchmarkError as error:
        run.skip("node", str(error))


def _gpu(run: _Run) -> None:
    reason = gpu.why_not(run.options.device)
    if reason:
        run.skip("gpu", reason)
        return
    options = run.options
    run.metrics["gpu"] = gpu.gpu_sweep(options.weights, options.device, options.repeats, run.progress)


_SCENARIOS: dict[str, Callable[[_Run], None]] = {
    "model": _model,
    "stages": _stages,
    "pipeline": _pipeline,
    "floors": _floors,
    "footprint": _footprint,
    "peers": _peers,
    "node": _node,
    "gpu": _gpu,
}


def _parts(name: str, options: Options) -> int:
    """Return how often a scenario reports progress."""
    return {
        "model": len(scenarios.BATCHES) * len({1, cores()}),
        "stages": 4,
        "pipeline": scenarios.pipeline_parts(),
        "floors": 2,
        "footprint": 1,
        "peers": len(peers.NETWORKS) + len(options.peers),
        "node": node.parts(),
        "gpu": gpu.gpu_parts(),
    }[name]


def finite(value: Any) -> Any:
    """Replace every number that JSON cannot represent by None."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

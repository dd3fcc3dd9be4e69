"""The node over DDS: start bench.node_run as a process and summarise its values.

Metrics are min, median and max over the segments of a run, or over the starts.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ast_net_ros.child_process import running as run_process
from ast_net_ros.model.inference import AffectModel
from ast_net_ros.pipeline import AffectPipeline
from bench.frames import frames_of
from bench.machine import percentiles
from bench.node_processes import module_command
from bench.scenarios import PIPELINE_STAGES, Clip, Progress, run_pipeline
from bench.timing import Spread, spread

SIZE = (640, 480)
FRAMES = 40
SEGMENTS = 5
Skip = Callable[[str, str], None]
_MODULE = "bench.node_run"


class NodeBenchmarkError(ValueError):
    """The node cannot be measured here; the message gives the reason."""


@dataclass(frozen=True)
class Lengths:
    """Seconds of each part; 0 skips it.

    Attributes:
        latency: At 30 Hz.
        probe: Each rate that is tried.
        cameras: Each run with several cameras.
        growth: Sampling memory.
        starts: Number of start-ups, not seconds.
    """

    latency: float = 20.0
    probe: float = 4.0
    cameras: float = 5.0
    growth: float = 30.0
    starts: int = 3


FULL = Lengths(latency=300.0, probe=10.0, cameras=20.0, growth=600.0, starts=5)


def parts() -> int:
    """Return how often :func:`measure_node` reports progress, at most."""
    return 1 + 3 + 2 + 6 + 8 + 1


def measure_node(
    lengths: Lengths,
    weights: Path | None,
    device: str,
    clip: Clip,
    model: AffectModel,
    skip: Skip,
    progress: Progress,
) -> dict[str, Any]:
    """Measure the node.

    Args:
        lengths: Of the parts.
        weights: Weights file; None for the packaged one.
        device: Parameter of the node.
        clip: The video.
        model: Runs the pipeline without ROS, to compare with.
        skip: Called for each part that is skipped, with the reason.
        progress: Called for each part.

    Returns:
        All metrics.

    Raises:
        NodeBenchmarkError: ROS 2 or the built package is not in this shell.
    """
    for part, seconds in vars(lengths).items():
        if not seconds:
            skip(f"node, {part}", f"--{part} 0")
    frames = frames_of(clip.frames[:FRAMES], SIZE, 1, clip.box)
    bare = [run_pipeline(AffectPipeline(model), frames, clip.rate, interval=None) for _ in range(3)]
    progress("node, bare pipeline")
    parameters = [f"device:={device}"] + ([f"weights:={weights.resolve()}"] if weights else [])
    raw = _measure(lengths, parameters, frames, max(run["frames_per_second"] for run in bare), progress)
    metrics: dict[str, Any] = {
        "size": f"{SIZE[0]}x{SIZE[1]}",
        "bare_pipeline": {key: spread([run[key] for run in bare]) for key in bare[0]},
    }
    if raw["starts"]:
        metrics["start"] = {key: spread([start[key] for start in raw["starts"]]) for key in raw["starts"][0]}
    metrics |= _of_runs(raw["runs"], raw["times"], metrics["bare_pipeline"])
    if raw["growth"]:
        metrics["growth"] = growth(raw["growth"])
    return metrics


def _measure(
    lengths: Lengths, parameters: Sequence[str], frames: Sequence[np.ndarray], rate: float, progress: Progress
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, output = folder / "frames.npy", folder / "raw.json"
        np.save(file, np.stack(frames))
        arguments = ["--frames", str(file), "--output", str(output), "--pipeline-rate", f"{rate:.3f}"]
        arguments += [word for part, value in vars(lengths).items() for word in (f"--{part}", str(value))]
        arguments += [word for parameter in parameters for word in ("--parameter", parameter)]
        # In the folder: a checkout in the working directory would hide the built package with the messages.
        with run_process(
            module_command(_MODULE, arguments), folder / "log", _MODULE, 60.0, stdout=subprocess.PIPE, cwd=folder
        ) as child:
            assert child.popen.stdout is not None
            for line in child.popen.stdout:
                progress(f"node, {line.strip()}")
            child.popen.wait()
        if child.popen.returncode != 0 or not output.is_file():
            raise NodeBenchmarkError(f"{child.failure('failed')}\nsource env.sh or the workspace's setup.bash")
        return json.loads(output.read_text())


def _of_runs(runs: Sequence[dict], times: dict[str, list], bare: dict[str, Spread]) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    by_kind: dict[str, list[dict]] = {}
    for run in runs:
        by_kind.setdefault(run["kind"], []).append(run)
    if "latency" in by_kind:
        run = by_kind["latency"][0]
        metrics["at 30 Hz"] = _common(run) | _latency(run, times) | _overhead(run, times)
    if "saturated" in by_kind:
        run = by_kind["saturated"][0]
        metrics["one camera, saturated"] = _common(run) | {"stages_ms": _stages(run, times)}
        probes = [{"rate": round(r["rate"], 2), **_outcome(r)} for r in by_kind.get("probe", [])]
        clean = [probe["rate"] for probe in probes if not probe["dropped"]]
        almost = [probe["rate"] for probe in probes if probe["dropped"] <= 0.01 * probe["published"]]
        metrics["sustained"] = {
            "without_a_drop": max(clean, default=0.0),
            "at_most_1_percent_dropped": max(almost, default=0.0),
            "probes": probes,
        }
        saturated = metrics["one camera, saturated"]["frames_per_second"]["median"]
        metrics["saturated_against_bare"] = round(bare["frames_per_second"]["median"] / saturated - 1, 4)
    if "cameras" in by_kind:
        metrics["cameras"] = {str(r["cameras"]): _common(r) | _latency(r, times) for r in by_kind["cameras"]}
        crowded = {str(r["cameras"]): _common(r) for r in by_kind["crowded"]}
        single = crowded["1"]["faces_per_second"]["median"]
        for row in crowded.values():
            row["against_half_of_one_camera"] = round(row["faces_per_second"]["median"] / (single / 2), 3)
        metrics["crowded"] = crowded
        metrics["overload"] = {
            str(r["cameras"]): _common(r) | _latency(r, times) | _fairness(r, times) for r in by_kind["overload"]
        }
    return metrics


def _outcome(run: dict) -> dict[str, int]:
    published = sum(camera["published"] for camera in run["by_camera"])
    return {
        "published": published,
        "dropped": published - sum(camera["processed"] for camera in run["by_camera"]),
        "camera_late": sum(camera["late"] for camera in run["by_camera"]),
    }


def _common(run: dict) -> dict[str, Any]:
    """Return rates, drops, memory and processor time of a run."""
    counted, published = run["counted"], sum(camera["published_in_total"] for camera in run["by_camera"])
    accounted = counted["processed"] + sum(counted[key] for key in counted if key.startswith(("dropped", "lost")))
    frames = [sum(rates) for rates in zip(*(_segment_rates(camera) for camera in run["by_camera"]))]
    processed = sum(camera["processed"] for camera in run["by_camera"])
    faces = sum(camera["faces"] for camera in run["by_camera"]) / max(1, processed)
    return {
        "cameras": run["cameras"],
        "wanted_rate_each": round(run["rate"], 2),
        "seconds": round(run["by_camera"][0]["seconds"], 2),
        **_outcome(run),
        "frames_per_second": spread(frames),
        "faces_per_second": spread([rate * faces for rate in frames]),
        "counted_by_node": counted,
        "published_in_total": published,
        "unaccounted": published - accounted,
        "resident_mb": round(run["resident"] / 1e6, 1),
        "node_processor_share": round(run["node_processor_seconds"] / run["elapsed"], 3),
        "node_processor_ms_per_frame": round(1e3 * run["node_processor_seconds"] / max(1, counted["processed"]), 3),
        "cameras_processor_share": round(sum(camera["camera_processor_share"] for camera in run["by_camera"]), 3),
    }


def _segment_rates(camera: dict) -> list[float]:
    """Return processed images per second in each segment of a run."""
    edges = np.linspace(0, camera["seconds"], SEGMENTS + 1)
    counts, _ = np.histogram(camera["processed_at_s"], edges)
    return (counts / max(camera["seconds"] / SEGMENTS, 1e-9)).tolist()


def _latency(run: dict, times: dict[str, list]) -> dict[str, Any]:
    """Return milliseconds from receipt to publishing, and from the image's stamp, which includes the transport."""
    by_stamp = [value for camera in run["by_camera"] for value in camera["stamp_to_publish_ms"]]
    return {
        "receipt_to_publish_ms": _in_segments(_within(times["receipt to publish"], run["window"])),
        "stamp_to_publish_ms": percentiles(by_stamp),
    }


def _within(values: Sequence[tuple[float, float]], window: tuple[float, float]) -> list[float]:
    """Return the milliseconds measured within a window of the monotonic clock."""
    return [1e3 * value for moment, value in values if window[0] <= moment <= window[1]]


def _in_segments(values: Sequence[float]) -> dict[str, Any]:
    """Return percentiles over the run, and their min, median and max over its segments."""
    whole = percentiles(values)
    segments = [percentiles(part.tolist()) for part in np.array_split(np.array(values), SEGMENTS) if len(part)]
    return whole | {
        f"{name}_over_segments": spread([segment[name] for segment in segments]) for name in whole if segments
    }


def _stages(run: dict, times: dict[str, list]) -> dict[str, Spread]:
    """Return the median of every stage inside the node, over the segments."""
    found = {}
    for name, values in times.items():
        inside = _within(values, run["window"])
        if name != "receipt to publish" and inside:
            found[name] = spread([float(np.median(part)) for part in np.array_split(inside, SEGMENTS) if len(part)])
    return found


def _overhead(run: dict, times: dict[str, list]) -> dict[str, Any]:
    """Return what the node adds to the pipeline's time in the same run: waking up, decoding, messages.

    From means, because the parts add up to the whole; medians do not when only some frames are detected in.
    """
    window = run["window"]
    pipeline = sum(float(np.mean(_within(times[name], window))) for name in PIPELINE_STAGES if name in times)
    whole = float(np.mean(_within(times["receipt to publish"], window)))
    return {"stages_ms": _stages(run, times), "overhead": round(whole / pipeline - 1, 4)}


def _fairness(run: dict, times: dict[str, list]) -> dict[str, Any]:
    """Return how evenly the cameras were served, and the latency relative to the processing time."""
    processed = [camera["processed"] for camera in run["by_camera"]]
    processing = sum(figure["median"] for figure in _stages(run, times).values())
    latency = percentiles(_within(times["receipt to publish"], run["window"]))
    return {
        "least_served_over_most_served": round(min(processed) / max(processed, default=1), 4),
        "processing_ms": round(processing, 3),
        "latency_over_processing": {name: round(value / processing, 3) for name, value in latency.items()},
    }


def growth(raw: dict) -> dict[str, Any]:
    """Return memory and processor time of one long run; the slope excludes the first third, the warm-up."""
    moments, resident = (np.array(column, float) for column in zip(*raw["samples"]))
    settled = moments >= moments[-1] / 3
    slope = float(np.polyfit(moments[settled], resident[settled], 1)[0]) if settled.sum() > 2 else 0.0
    return {
        "seconds": round(float(moments[-1]), 1),
        "rate": raw["rate"],
        "published": raw["published"],
        "resident_mb": spread((resident[settled] / 1e6).tolist()),
        "first_mb": round(resident[0] / 1e6, 1),
        "after_warm_up_mb": round(resident[settled][0] / 1e6, 1),
        "last_mb": round(resident[-1] / 1e6, 1),
        "growth_mb_per_minute": round(slope * 60 / 1e6, 4),
        "processor_share": round(raw["processor_seconds"] / float(moments[-1]), 3) if moments[-1] else 0.0,
        "samples_mb": [round(value / 1e6, 1) for value in resident[:: max(1, len(resident) // 60)]],
    }

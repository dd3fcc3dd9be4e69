"""The targets of this package, and whether the metrics of a run meet them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from bench.scenarios import AHEAD, DEFAULTS, further_face_ms

LATENCY_SECONDS, GROWTH_SECONDS = 300.0, 600.0  # a shorter run says nothing about drops and growth
MEGABYTES_PER_MINUTE = 0.5  # growth below this comes from the allocator, not from a leak


@dataclass(frozen=True)
class Target:
    """A bound on a metric.

    Attributes:
        name: Of the metric.
        wanted: The bound.
        least: Whether it is a lower bound.
        unit: Of the metric.
        read: Returns the value from the metrics of a run; raises KeyError if it was not measured.
    """

    name: str
    wanted: float
    least: bool
    unit: str
    read: Callable[[dict], float]

    def row(self, metrics: dict) -> dict[str, Any]:
        """Compare the metrics of a run with the bound."""
        try:
            measured = self.read(metrics)
        except KeyError:
            measured = None
        met = None if measured is None else (measured >= self.wanted if self.least else measured <= self.wanted)
        return {
            "metric": self.name,
            "target": f"{'at least' if self.least else 'at most'} {self.wanted:g}{' ' * bool(self.unit)}{self.unit}",
            "measured": None if measured is None else round(measured, 4),
            "unit": self.unit,
            "met": met,
        }


def _at(*path: str) -> Callable[[dict], float]:
    def read(metrics: dict) -> float:
        return reduce(lambda inner, key: inner[key], path, metrics)  # type: ignore[return-value]

    return read


def _dropped_share(metrics: dict) -> float:
    run = _long_enough(metrics["node"]["at 30 Hz"], LATENCY_SECONDS)
    return 100 * run["dropped"] / run["published"]


def _growth(metrics: dict) -> float:
    return _long_enough(metrics["node"]["growth"], GROWTH_SECONDS)["growth_mb_per_minute"]


def _long_enough(run: dict, seconds: float) -> dict:
    """Return the run; raise KeyError, as for a run that was not made, if it was too short."""
    if run["seconds"] < 0.98 * seconds:
        raise KeyError("seconds")
    return run


def _further_face(metrics: dict) -> float:
    return further_face_ms(metrics["model"]["1 thread"])["median"]


TARGETS = (
    Target(f"pipeline, 640x360, one face, {DEFAULTS}", 200, True, "frames/s",
           _at("pipeline", f"640x360, 1 face, {DEFAULTS}", "frames_per_second", "median")),
    Target(f"pipeline, 640x360, one face, {AHEAD}", 300, True, "frames/s",
           _at("pipeline", f"640x360, 1 face, {AHEAD}", "frames_per_second", "median")),
    Target(f"frames per second against those of fer, {DEFAULTS}", 6, True, "times",
           _at("peers", "fer", "ours", DEFAULTS, "ratio", "median")),
    Target(f"frames per second against those of fer, {AHEAD}", 10, True, "times",
           _at("peers", "fer", "ours", AHEAD, "ratio", "median")),
    Target("model alone, one face, one thread", 2, False, "ms", _at("model", "1 thread", "1", "both_ms", "median")),
    Target("each further face, one thread", 2.5, False, "ms", _further_face),
    Target("node at 30 Hz, 640x480, receipt to publish, median", 10, False, "ms",
           _at("node", "at 30 Hz", "receipt_to_publish_ms", "p50")),
    Target("node at 30 Hz, 640x480, receipt to publish, 99th percentile", 20, False, "ms",
           _at("node", "at 30 Hz", "receipt_to_publish_ms", "p99")),
    Target("node at 30 Hz, 640x480, dropped in five minutes", 0, False, "%", _dropped_share),
    Target("node at 30 Hz, 640x480, processor time of a frame", 8, False, "ms",
           _at("node", "at 30 Hz", "node_processor_ms_per_frame")),
    Target("node's overhead over the pipeline", 20, False, "%",
           lambda metrics: 100 * metrics["node"]["at 30 Hz"]["overhead"]),
    Target("two cameras against half of one camera's rate", 1.8, True, "times",
           _at("node", "crowded", "2", "against_half_of_one_camera")),
    Target("start to first estimate", 1.8, False, "s", _at("node", "start", "first_estimate_s", "median")),
    Target("resident memory of the node, one camera", 260, False, "MB", _at("node", "growth", "resident_mb", "max")),
    Target("resident memory of the library after one frame", 250, False, "MB",
           _at("footprint", "resident_mb", "median")),
    Target("install size on a robot, beside ROS", 400, False, "MB", _at("footprint", "beside_ros_mb")),
    Target("growth of memory in ten minutes, after warm-up", MEGABYTES_PER_MINUTE, False, "MB/min",
           _growth),
)  # fmt: skip


def targets(metrics: dict) -> list[dict[str, Any]]:
    """Return a row for every target: metric, target, measured, unit, met (None if it was not measured)."""
    return [target.row(metrics) for target in TARGETS]

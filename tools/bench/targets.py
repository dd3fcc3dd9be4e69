"""What this package sets out to reach, and whether the figures of a run do.

In: the figures of a run. Out: a row for every target with the measured value, or why there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from bench.scenarios import WAYS, further_face_ms

LATENCY_SECONDS, GROWTH_SECONDS = 300.0, 600.0  # a shorter run does not speak of drops and of growth
MEGABYTES_A_MINUTE = 0.5  # growth below it is that of the allocator, not of a leak


@dataclass(frozen=True)
class Target:
    """name: of the figure. wanted: the bound. least: whether the bound is the least, else the most. unit: of both.
    read: finds the measured value among the figures; KeyError where it was not measured."""

    name: str
    wanted: float
    least: bool
    unit: str
    read: Callable[[dict], float]

    def row(self, figures: dict) -> dict[str, Any]:
        try:
            measured = self.read(figures)
        except KeyError:
            measured = None
        met = None if measured is None else (measured >= self.wanted if self.least else measured <= self.wanted)
        return {
            "figure": self.name,
            "target": f"{'at least' if self.least else 'at most'} {self.wanted:g}{' ' * bool(self.unit)}{self.unit}",
            "measured": None if measured is None else round(measured, 4),
            "unit": self.unit,
            "met": met,
        }


def _at(*path: str) -> Callable[[dict], float]:
    def read(figures: dict) -> float:
        return reduce(lambda inner, key: inner[key], path, figures)  # type: ignore[return-value]

    return read


def _dropped_share(figures: dict) -> float:
    run = _long_enough(figures["node"]["at 30 Hz"], LATENCY_SECONDS)
    return 100 * run["dropped"] / run["published"]


def _growth(figures: dict) -> float:
    return _long_enough(figures["node"]["growth"], GROWTH_SECONDS)["growth_mb_a_minute"]


def _long_enough(run: dict, seconds: float) -> dict:
    """The run; KeyError, as of one that was not made, where it was too short to show what it is asked for."""
    if run["seconds"] < 0.98 * seconds:
        raise KeyError("seconds")
    return run


def _further_face(figures: dict) -> float:
    return further_face_ms(figures["model"]["1 thread"])["median"]


TARGETS = (
    *(
        Target(f"pipeline, 640x360, one face, {way}", 160, True, "frames/s",
               _at("pipeline", f"640x360, 1 face, {way}", "frames_per_second", "median"))
        for way in WAYS
    ),
    *(
        Target(f"frames per second against those of fer, {way}", 4, True, "times",
               _at("peers", "fer", "ours", way, "ratio", "median"))
        for way in WAYS
    ),
    Target("model alone, one face, one thread", 3, False, "ms", _at("model", "1 thread", "1", "both_ms", "median")),
    Target("each further face, one thread", 2.5, False, "ms", _further_face),
    Target("node at 30 Hz, 640x480, receipt to publish, median", 10, False, "ms",
           _at("node", "at 30 Hz", "receipt_to_publish_ms", "p50")),
    Target("node at 30 Hz, 640x480, receipt to publish, 99th percentile", 25, False, "ms",
           _at("node", "at 30 Hz", "receipt_to_publish_ms", "p99")),
    Target("node at 30 Hz, 640x480, dropped in five minutes", 0, False, "%", _dropped_share),
    Target("node's overhead over the pipeline", 20, False, "%",
           lambda figures: 100 * figures["node"]["at 30 Hz"]["overhead"]),
    Target("two cameras against half of one camera's rate", 1.8, True, "times",
           _at("node", "crowded", "2", "against_half_of_one_camera")),
    Target("start to first estimate", 4, False, "s", _at("node", "start", "first_estimate_s", "median")),
    Target("resident memory, one camera", 600, False, "MB", _at("node", "growth", "resident_mb", "max")),
    Target("growth of memory in ten minutes, after warm-up", MEGABYTES_A_MINUTE, False, "MB/min",
           _growth),
)  # fmt: skip


def targets(figures: dict) -> list[dict[str, Any]]:
    """A row for every target: figure, target, measured, unit, met (None where it was not measured)."""
    return [target.row(figures) for target in TARGETS]

"""How fast and how completely a node answered: the figures of a live run.

In: when each image was sent, and when its answer came. Out: latency, jitter, rates and drops as a dictionary for
recording.json. What the figures mean follows ros2_benchmark (https://github.com/NVIDIA-ISAAC-ROS/ros2_benchmark):
jitter is how much the time between two answers differs from the time between the two before, a missed frame is one that
was sent and never answered. Other than there, a rate of n images counts the n - 1 intervals between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class SentImage:
    """One published image. stamp_ns: the stamp it carried, no two alike in a run. sent_ns: on the monotonic clock,
    before it was handed to the middleware. late: more than a frame period after its time."""

    loop: int
    frame: int
    stamp_ns: int
    sent_ns: int
    late: bool


def live_figures(sent: Sequence[SentImage], received_ns: Mapping[int, int]) -> dict[str, Any]:
    """The figures of a run. received_ns: stamp -> when its answer came, on the clock of `sent_ns`.

    Times are in milliseconds, rates in images a second. None stands where nothing can be said.
    """
    pairs = [(image, received_ns[image.stamp_ns]) for image in sent if image.stamp_ns in received_ns]
    latencies = np.array([(received - image.sent_ns) / 1e6 for image, received in pairs])
    sending, receiving = np.array([i.sent_ns for i in sent], np.int64), np.array([r for _, r in pairs], np.int64)
    jitters = np.abs(np.diff(np.sort(receiving), 2)) / 1e6
    dropped = len(sent) - len(pairs)
    return {
        "frames_sent": len(sent),
        "frames_answered": len(pairs),
        "frames_dropped": dropped,
        "dropped_share": round(dropped / len(sent), 6) if sent else None,
        "frames_sent_late": sum(image.late for image in sent),
        "input_rate": _rate(sending),
        "output_rate": _rate(receiving),
        "latency_ms": {
            "median": _rounded(np.median, latencies),
            "p95": _rounded(lambda values: np.percentile(values, 95), latencies),
            "p99": _rounded(lambda values: np.percentile(values, 99), latencies),
            "max": _rounded(np.max, latencies),
            "min": _rounded(np.min, latencies),
            "mean": _rounded(np.mean, latencies),
            "first": _rounded(lambda values: values[0], latencies),
            "last": _rounded(lambda values: values[-1], latencies),
        },
        "first_sent_to_first_received_ms": round((receiving.min() - sending[0]) / 1e6, 3) if pairs else None,
        "last_sent_to_last_received_ms": round((receiving.max() - sending[-1]) / 1e6, 3) if pairs else None,
        "jitter_ms": {
            "mean": _rounded(np.mean, jitters),
            "max": _rounded(np.max, jitters),
            "min": _rounded(np.min, jitters),
            "std": _rounded(np.std, jitters),
        },
        "each_loop": [_loop(loop, sent, pairs) for loop in sorted({image.loop for image in sent})],
    }


def _loop(loop: int, sent: Sequence[SentImage], pairs: Sequence[tuple[SentImage, int]]) -> dict[str, Any]:
    latencies = np.array([(received - image.sent_ns) / 1e6 for image, received in pairs if image.loop == loop])
    count = sum(image.loop == loop for image in sent)
    return {
        "sent": count,
        "answered": len(latencies),
        "dropped": count - len(latencies),
        "latency_median_ms": _rounded(np.median, latencies),
    }


def _rounded(function: Any, values: np.ndarray) -> float | None:
    """`function` of the values to the microsecond; None of none."""
    return round(float(function(values)), 3) if len(values) else None


def _rate(moments_ns: np.ndarray) -> float | None:
    span = float(np.ptp(moments_ns)) / 1e9 if len(moments_ns) > 1 else 0.0
    return round((len(moments_ns) - 1) / span, 3) if span > 0 else None

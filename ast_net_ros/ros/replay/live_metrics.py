"""Latency, jitter, rates and drops of a live run.

The definitions follow ros2_benchmark (https://github.com/NVIDIA-ISAAC-ROS/ros2_benchmark): jitter is the change of the
interval between two answers; a dropped frame was sent and never answered. Unlike there, the rate of n images is that of
the n - 1 intervals between them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

_LATENCY_STATISTICS: dict[str, Callable[[np.ndarray], Any]] = {
    "median": np.median,
    "p95": partial(np.percentile, q=95),
    "p99": partial(np.percentile, q=99),
    "max": np.max,
    "min": np.min,
    "mean": np.mean,
    "first": operator.itemgetter(0),
    "last": operator.itemgetter(-1),
}


@dataclass(frozen=True)
class SentImage:
    """One published image."""

    loop: int  # which repetition of the recording, from 0
    frame: int  # number in the recording, from 0
    stamp_ns: int  # the stamp it carried; unique in a run
    sent_ns: int  # monotonic time before it was passed to the middleware
    late: bool  # sent more than a frame period after it was due


def live_metrics(sent: Sequence[SentImage], received_ns: Mapping[int, int]) -> dict[str, Any]:
    """Return the metrics of a run for recording.json.

    Args:
        sent: All images, in order.
        received_ns: Stamp of an image -> monotonic time at which its estimates arrived.

    Returns:
        Times in milliseconds, rates in images per second. A metric without data is None.
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
        "latency_ms": _statistics(latencies, **_LATENCY_STATISTICS),
        "first_sent_to_first_received_ms": round((receiving.min() - sending[0]) / 1e6, 3) if pairs else None,
        "last_sent_to_last_received_ms": round((receiving.max() - sending[-1]) / 1e6, 3) if pairs else None,
        "jitter_ms": _statistics(jitters, mean=np.mean, max=np.max, min=np.min, std=np.std),
        "each_loop": [_loop_metrics(loop, sent, pairs) for loop in sorted({image.loop for image in sent})],
    }


def _loop_metrics(loop: int, sent: Sequence[SentImage], pairs: Sequence[tuple[SentImage, int]]) -> dict[str, Any]:
    latencies = np.array([(received - image.sent_ns) / 1e6 for image, received in pairs if image.loop == loop])
    count = sum(image.loop == loop for image in sent)
    return {
        "sent": count,
        "answered": len(latencies),
        "dropped": count - len(latencies),
        **_statistics(latencies, latency_median_ms=np.median),
    }


def _statistics(values: np.ndarray, **functions: Callable[[np.ndarray], Any]) -> dict[str, float | None]:
    """Return the results of the functions, rounded to a microsecond; None without values."""
    return {name: round(float(f(values)), 3) if len(values) else None for name, f in functions.items()}


def _rate(times_ns: np.ndarray) -> float | None:
    span = float(np.ptp(times_ns)) / 1e9 if len(times_ns) > 1 else 0.0
    return round((len(times_ns) - 1) / span, 3) if span > 0 else None

"""Latency, jitter, rates and drops of a live run.

The definitions follow ros2_benchmark (https://github.com/NVIDIA-ISAAC-ROS/ros2_benchmark): jitter is the change of the
interval between two answers; a dropped frame was sent and never answered. Unlike there, the rate of n images is that of
the n - 1 intervals between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class SentImage:
    """One published image.

    Attributes:
        loop: Which repetition of the recording, from 0.
        frame: Number of the frame in the recording, from 0.
        stamp_ns: The stamp it carried; unique in a run.
        sent_ns: Monotonic time before it was passed to the middleware.
        late: Whether it was sent more than a frame period after it was due.
    """

    loop: int
    frame: int
    stamp_ns: int
    sent_ns: int
    late: bool


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
        "each_loop": [_loop_metrics(loop, sent, pairs) for loop in sorted({image.loop for image in sent})],
    }


def _loop_metrics(loop: int, sent: Sequence[SentImage], pairs: Sequence[tuple[SentImage, int]]) -> dict[str, Any]:
    latencies = np.array([(received - image.sent_ns) / 1e6 for image, received in pairs if image.loop == loop])
    count = sum(image.loop == loop for image in sent)
    return {
        "sent": count,
        "answered": len(latencies),
        "dropped": count - len(latencies),
        "latency_median_ms": _rounded(np.median, latencies),
    }


def _rounded(function: Any, values: np.ndarray) -> float | None:
    """Return `function(values)` rounded to a microsecond; None without values."""
    return round(float(function(values)), 3) if len(values) else None


def _rate(times_ns: np.ndarray) -> float | None:
    span = float(np.ptp(times_ns)) / 1e9 if len(times_ns) > 1 else 0.0
    return round((len(times_ns) - 1) / span, 3) if span > 0 else None

"""Statistics over the last seconds: latencies, and by how much a camera's counts increased."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

WINDOW = 10.0  # seconds over which rates, means and percentiles are taken


class RecentValues:
    """The values of the last WINDOW seconds, such as latencies. One thread appends, others read."""

    def __init__(self) -> None:
        self._values: deque[tuple[float, float]] = deque(maxlen=4096)

    def append(self, value: float) -> None:
        """Add a value and drop those that are too old."""
        now = time.monotonic()
        while self._values and now - self._values[0][0] > WINDOW:
            self._values.popleft()
        self._values.append((now, value))

    def summary(self) -> tuple[float, float] | None:
        """Return (mean, 95th percentile); None when there are no values."""
        since = time.monotonic() - WINDOW
        values = [value for time_added, value in list(self._values) if time_added >= since]
        return (float(np.mean(values)), float(np.percentile(values, 95))) if values else None


@dataclass
class CameraCounts:
    """What happened to the images of a camera since the node was activated."""

    received: int = 0  # by the subscription
    processed: int = 0  # published as estimates
    late: int = 0  # replaced by a newer image before they were processed
    bad: int = 0  # could not be decoded
    failed: int = 0  # lost to an error during inference
    faces: int = 0  # in the processed images
    stamps_back: int = 0  # with a stamp before that of the previous image
    # Sent but never received, because the network dropped them or the queue replaced them. None where the middleware
    # does not number its messages or several publishers share the topic.
    lost: int | None = None


class CountHistory:
    """A camera's counts at each update of the last WINDOW seconds."""

    def __init__(self) -> None:
        self._updates: deque[tuple[float, CameraCounts]] = deque()

    def update(self, counts: CameraCounts) -> tuple[float, CameraCounts]:
        """Store the present counts.

        Returns:
            The seconds between the oldest and the present update, and by how much each count increased in them.
        """
        now = time.monotonic()
        self._updates.append((now, replace(counts)))
        while now - self._updates[0][0] > WINDOW and len(self._updates) > 2:
            self._updates.popleft()
        oldest_time, oldest = self._updates[0]
        increase = {name: (value or 0) - (vars(oldest)[name] or 0) for name, value in vars(counts).items()}
        return now - oldest_time, CameraCounts(**increase)

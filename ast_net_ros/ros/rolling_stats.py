"""Statistics over the last seconds: latencies, and by how much a camera's counts grew."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace

import numpy as np

from ast_net_ros.ros.camera import CameraCounts

WINDOW = 10.0  # seconds over which rates, means and percentiles are taken


class RecentValues:
    """The values of the last WINDOW seconds, such as latencies. One thread appends, others read."""

    def __init__(self) -> None:
        self._values: deque[tuple[float, float]] = deque(maxlen=4096)

    def append(self, value: float) -> None:
        now = time.monotonic()
        while self._values and now - self._values[0][0] > WINDOW:
            self._values.popleft()
        self._values.append((now, value))

    def summary(self) -> tuple[float, float] | None:
        """(mean, 95th percentile); None when there are no values."""
        since = time.monotonic() - WINDOW
        values = [value for moment, value in list(self._values) if moment >= since]
        return (float(np.mean(values)), float(np.percentile(values, 95))) if values else None


class CountHistory:
    """A camera's counts at each tick of the last WINDOW seconds, for rates."""

    def __init__(self) -> None:
        self._ticks: deque[tuple[float, CameraCounts]] = deque()

    def tick(self, counts: CameraCounts) -> tuple[float, CameraCounts]:
        """Note the counts of now. Returns the seconds spanned and by how much each count grew in them."""
        now = time.monotonic()
        self._ticks.append((now, replace(counts)))
        while now - self._ticks[0][0] > WINDOW and len(self._ticks) > 2:
            self._ticks.popleft()
        began, first = self._ticks[0]
        growth = CameraCounts(**{name: (value or 0) - (vars(first)[name] or 0) for name, value in vars(counts).items()})
        return now - began, growth

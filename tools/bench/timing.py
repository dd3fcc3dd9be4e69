"""Time a call and summarise repeats as min, median and max, the form of every metric in the results.

On a GPU, events on the device measure the time, elsewhere the process's most exact clock.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

Spread = dict[str, float]
"""{"min": ..., "median": ..., "max": ...} over repeats."""


def spread(values: Sequence[float], digits: int = 5) -> Spread:
    """Return min, median and max of at least one value, rounded to `digits` significant digits."""
    middle = statistics.median(values)
    return {key: _rounded(v, digits) for key, v in (("min", min(values)), ("median", middle), ("max", max(values)))}


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def milliseconds(call: Callable[[], object], device: torch.device | None = None, seconds: float = 0.1) -> float:
    """Time one call.

    Args:
        call: What is timed.
        device: Where its work is done, if not on the CPU.
        seconds: The mean is taken over as many calls as fit into this time, at least 3, after a warm-up.

    Returns:
        Milliseconds.
    """
    cuda = device is not None and device.type == "cuda"
    timed = _device_time if cuda else _clock_time
    timed(call, 3 if cuda else 1)
    calls = max(3, min(10_000, int(seconds / max(timed(call, 1), 1e-7))))
    return timed(call, calls) / calls * 1e3


def repeated(
    call: Callable[[], object], repeats: int, device: torch.device | None = None, seconds: float = 0.1
) -> Spread:
    """Repeat :func:`milliseconds` and summarise it."""
    return spread([milliseconds(call, device, seconds) for _ in range(repeats)])


def _clock_time(call: Callable[[], object], calls: int) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return time.perf_counter() - began


def _device_time(call: Callable[[], object], calls: int) -> float:
    """Return the seconds between two events around the calls, on the current GPU."""
    began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    began.record()
    for _ in range(calls):
        call()
    ended.record()
    torch.cuda.synchronize()
    return began.elapsed_time(ended) / 1e3


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use this many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

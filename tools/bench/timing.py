"""One way to time a call and to say what came of the repeats.

In: a call, or the values of several repeats. Out: a :class:`dict` of min, median and max, the form of every figure in
the results. On a GPU the time is taken by events on the device, elsewhere by the process's most exact clock.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

Figure = dict[str, float]
"""{"min": ..., "median": ..., "max": ...} over the repeats."""


def spread(values: Sequence[float], digits: int = 5) -> Figure:
    """The min, median and max of at least one value, to `digits` significant digits."""
    middle = statistics.median(values)
    return {key: _rounded(v, digits) for key, v in (("min", min(values)), ("median", middle), ("max", max(values)))}


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def milliseconds(call: Callable[[], object], device: torch.device | None = None, seconds: float = 0.1) -> float:
    """Milliseconds of one `call`: the mean over as many calls as fit into `seconds` (3 at least), after a warm-up.

    device: where the call's work is done, if not on the CPU.
    """
    cuda = device is not None and device.type == "cuda"
    timed = _device_time if cuda else _clock_time
    timed(call, 3 if cuda else 1)
    calls = max(3, min(10_000, int(seconds / max(timed(call, 1), 1e-7))))
    return timed(call, calls) / calls * 1e3


def repeated(
    call: Callable[[], object], repeats: int, device: torch.device | None = None, seconds: float = 0.1
) -> Figure:
    """:func:`milliseconds` of `call`, `repeats` times over."""
    return spread([milliseconds(call, device, seconds) for _ in range(repeats)])


def _clock_time(call: Callable[[], object], calls: int) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return time.perf_counter() - began


def _device_time(call: Callable[[], object], calls: int) -> float:
    """Seconds between two events around the calls, on the current GPU."""
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
    """Torch with this many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""What the figures were measured on: processor, memory, load, versions, and how fast it multiplies and copies.

In: the machine this runs on. Out: plain data for the results.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from bench.timing import Figure, milliseconds, spread, torch_threads

LIBRARIES = ("ast_net_ros", "torch", "onnxruntime", "openvino", "opencv-python", "numpy")
MATRIX_SIDE = 1024
COPY_BYTES = {"in the cache": 1 << 20, "in memory": 1 << 28}
QUIET_LOAD = 0.3  # of a core: with more at the start, the figures are marked as taken on a busy machine


def describe_machine(name: str | None = None) -> dict:
    """Processor, cores, memory, system, GPU, and the name under which results are kept (made up without `name`)."""
    processor, cores = _processor(), usable_cores()
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "name": name or _slug(f"{processor} {cores} cores" + (f" {gpu}" if gpu else "")),
        "processor": processor,
        "cores": cores,
        "memory_bytes": _memory_bytes(),
        "system": platform.platform(),
        "gpu": gpu,
        "niceness": os.nice(0),
    }


def describe_versions() -> dict[str, str]:
    """Python's version and those of the libraries that do the work; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found | ({"ros": os.environ["ROS_DISTRO"]} if "ROS_DISTRO" in os.environ else {})


def load() -> float:
    """Processes that wanted to run, averaged over the last minute."""
    return round(os.getloadavg()[0], 2)


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def matrix_rate(device: torch.device, threads: int, repeats: int) -> Figure:
    """float32 operations per second (a multiply-add is two) of one product of two large square matrices."""
    side = MATRIX_SIDE if device.type == "cpu" else 8 * MATRIX_SIDE
    left = torch.rand(side, side, device=device)
    with torch_threads(threads), torch.inference_mode():
        times = [milliseconds(lambda: left @ left, device) for _ in range(repeats)]
    return spread([2 * side**3 / (t / 1e3) for t in times])


def copy_rates(device: torch.device, threads: int, repeats: int) -> dict[str, Figure]:
    """Bytes per second read and written (each counts) by a plain copy, of an array that fits the cache and one that
    does not."""
    rates = {}
    with torch_threads(threads), torch.inference_mode():
        for where, size in COPY_BYTES.items():
            source = torch.zeros(size, dtype=torch.uint8, device=device)
            target = torch.zeros_like(source)
            times = [milliseconds(partial(target.copy_, source), device) for _ in range(repeats)]
            rates[where] = spread([2 * size / (t / 1e3) for t in times])
    return rates


def percentiles(values: Sequence[float], points: Sequence[float] = (50, 90, 99)) -> dict[str, float]:
    """Percentiles, and the largest value as "max"; empty for no values."""
    if not len(values):
        return {}
    found = {f"p{point:g}": round(float(np.percentile(values, point)), 3) for point in points}
    return found | {"max": round(float(max(values)), 3)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _slug(text: str) -> str:
    """A name for a folder: small letters, digits and single hyphens."""
    text = re.sub(r"\((r|tm)\)|processor|cpu|@.*?ghz", " ", text.lower())
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")

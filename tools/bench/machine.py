"""The machine that is measured on: processor, memory, load, versions, and its rates of arithmetic and copying."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from functools import partial
from importlib import metadata

import numpy as np
import psutil
import torch

from bench.timing import Spread, milliseconds, spread, torch_threads
from cpu import processor_name

LIBRARIES = ("ast_net_ros", "torch", "onnxruntime", "openvino", "opencv-python", "numpy")
MATRIX_SIDE = 1024
COPY_BYTES = {"in the cache": 1 << 20, "in memory": 1 << 28}
QUIET_LOAD = 0.3  # of a core; a higher load at the start marks the results as measured on a busy machine


def describe_machine(name: str | None = None) -> dict:
    """Describe the machine.

    Args:
        name: Directory for the results; made from the processor's name if not given.

    Returns:
        Name, processor, cores, memory, system, GPU and niceness.
    """
    processor, cores = processor_name(), usable_cores()
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "name": name or _slug(f"{processor} {cores} cores" + (f" {gpu}" if gpu else "")),
        "processor": processor,
        "cores": cores,
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "gpu": gpu,
        "niceness": os.nice(0),
    }


def describe_versions() -> dict[str, str]:
    """Return the versions of Python, ROS and the libraries that do the work, as far as installed."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found | ({"ros": os.environ["ROS_DISTRO"]} if "ROS_DISTRO" in os.environ else {})


def load() -> float:
    """Return the load average over the last minute."""
    return round(os.getloadavg()[0], 2)


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def matrix_rate(device: torch.device, threads: int, repeats: int) -> Spread:
    """Measure float32 operations per second (a multiply-add is two) with a product of large square matrices."""
    side = MATRIX_SIDE if device.type == "cpu" else 8 * MATRIX_SIDE
    left = torch.rand(side, side, device=device)
    with torch_threads(threads), torch.inference_mode():
        times = [milliseconds(lambda: left @ left, device) for _ in range(repeats)]
    return spread([2 * side**3 / (t / 1e3) for t in times])


def copy_rates(device: torch.device, threads: int, repeats: int) -> dict[str, Spread]:
    """Measure bytes per second read and written by a copy, of an array that fits the cache and one that does not."""
    rates = {}
    with torch_threads(threads), torch.inference_mode():
        for where, size in COPY_BYTES.items():
            source = torch.zeros(size, dtype=torch.uint8, device=device)
            target = torch.zeros_like(source)
            times = [milliseconds(partial(target.copy_, source), device) for _ in range(repeats)]
            rates[where] = spread([2 * size / (t / 1e3) for t in times])
    return rates


def percentiles(values: Sequence[float], points: Sequence[float] = (50, 90, 99)) -> dict[str, float]:
    """Return percentiles, and the largest value as "max"; empty without values."""
    if not len(values):
        return {}
    found = {f"p{point:g}": round(float(np.percentile(values, point)), 3) for point in points}
    return found | {"max": round(float(max(values)), 3)}


def _slug(text: str) -> str:
    """Return a directory name of lower-case letters, digits and single hyphens."""
    text = re.sub(r"\((r|tm)\)|processor|cpu|@.*?ghz", " ", text.lower())
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")

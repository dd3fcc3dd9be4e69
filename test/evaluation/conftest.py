"""A user's folder in which files lie that are named like libraries."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

LIBRARIES = ("ast_net_ros", "click", "cv2", "numpy", "onnxruntime", "ray", "rclpy", "rosbags", "torch", "tqdm", "yaml")


@dataclass(frozen=True)
class Traps:
    """folder: holds a file for every library, which does nothing but note by whom it was run."""

    folder: Path
    notes: Path

    def sprung(self) -> list[str]:
        """What was run, and by which program."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Traps:
    made = Traps(tmp_path_factory.mktemp("trapped"), tmp_path_factory.mktemp("traps") / "sprung")
    trap = f"import sys\nwith open({str(made.notes)!r}, 'a') as file: print(__name__, 'by', sys.argv, file=file)\n"
    for name in {*sys.stdlib_module_names, *LIBRARIES} - {*sys.builtin_module_names}:
        (made.folder / f"{name}.py").write_text(trap)
    return made

"""Processes that are tied to their parent run nothing but what they were told to run."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from ast_net_ros.child_process import die_with_parent


def test_the_traps_are_sprung_by_a_python_that_looks_where_it_stands(traps: Any) -> None:
    """Otherwise the tests that find them not sprung would pass whatever is run."""
    subprocess.run([sys.executable, "-c", "import ctypes"], cwd=traps.folder, env={}, check=True)
    assert traps.sprung() == ["ctypes by ['-c']"]
    traps.notes.unlink()


def test_a_tied_process_runs_nothing_that_lies_in_the_users_folder(traps: Any) -> None:
    command = die_with_parent([sys.executable, "--version"])
    done = subprocess.run(command, cwd=traps.folder, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("Python 3"), done.stderr
    assert traps.sprung() == []

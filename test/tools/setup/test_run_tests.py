"""tools/setup/run_tests.py: two pytest processes count as one run."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

PROGRAM = Path(__file__).parents[3] / "tools" / "setup" / "run_tests.py"


@pytest.fixture(scope="module")
def run_tests() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_tests", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_counts_of_both_processes_are_added(run_tests: ModuleType) -> None:
    ros = "a test\n=== 1 failed, 200 passed, 1 skipped, 1 warning in 300.12s (0:05:00) ===\n"
    others = "1 failed in a log\n=== 1100 passed, 4 skipped, 6 warnings, 2 errors in 310.00s (0:05:10) ===\nthe end\n"
    assert run_tests.total([ros, others]) == "1 failed, 1300 passed, 5 skipped, 2 error"
    assert run_tests.total(["crashed"]) == "nothing ran"


def test_skipped_tests_are_grouped_by_reason(run_tests: ModuleType) -> None:
    ros = "SKIPPED [1] test/ros/test_viewer.py:20: no rerun: tools/setup/setup.sh viewer\n"
    others = (
        "SKIPPED [3] test/a.py:7: no browser: apt-get install x\nSKIPPED [2] test/b.py: no browser: apt-get install x\n"
    )
    assert run_tests.skipped([ros, others]) == (
        "5 (no browser: apt-get install x); 1 (no rerun: tools/setup/setup.sh viewer)"
    )
    assert run_tests.skipped(["3 passed"]) == ""


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the program in a checkout whose two parts have one test each, with the given bodies."""

    def run(ros: str, others: str) -> subprocess.Popen[str]:
        for path, body in {"ros/test_ros": ros, "others/test_others": others}.items():
            file = tmp_path / "test" / f"{path}.py"
            file.parent.mkdir(parents=True)
            file.write_text(f"import os, pathlib, pytest, time\ndef test_it():\n    {body}\n")
        copy = tmp_path / "tools" / "setup" / "run_tests.py"
        copy.parent.mkdir(parents=True)
        copy.write_text(PROGRAM.read_text())
        # Without the installed plugins, which pytest takes longest to load.
        environment = {**os.environ, "PYTEST_ADDOPTS": "-ra", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return subprocess.Popen(
            [sys.executable, str(copy)], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
        )

    return run


@pytest.mark.parametrize(("ros", "others"), [("pass", "pass"), ("assert False", "pass"), ("pass", "assert False")])
def test_a_failure_in_either_process_is_reported(start: Any, ros: str, others: str) -> None:
    run = start(ros, others)
    output, _ = run.communicate(timeout=120)
    failing = "assert False" in (ros, others)
    assert run.returncode == failing, output
    assert ("1 failed, 1 passed" if failing else "2 passed") in output.splitlines()[-1]
    assert ("FAILED" in output) == failing, "the details of the failure are shown"


def test_the_last_line_says_how_to_enable_skipped_tests(start: Any) -> None:
    output, _ = start("pass", "pytest.skip('no browser: apt-get install x')").communicate(timeout=120)
    assert output.splitlines()[-1] == "skipped: 1 (no browser: apt-get install x)"


def test_no_process_outlives_a_killed_run(start: Any, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    run = start("pass", f"pathlib.Path({str(note)!r}).write_text(str(os.getpid())), time.sleep(60)")
    deadline = time.monotonic() + 60
    while not (note.exists() and note.read_text()):
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.05)
    child = psutil.Process(int(note.read_text()))
    run.kill()
    run.communicate()
    with contextlib.suppress(psutil.NoSuchProcess):
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the other process is still running"
            time.sleep(0.05)

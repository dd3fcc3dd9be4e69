"""tools/setup/run_tests.py: two halves of the tests count as one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[1] / "tools" / "setup" / "run_tests.py"


@pytest.fixture(scope="module")
def run_tests() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_tests", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_last_lines_of_both_halves_are_added_up(run_tests: ModuleType) -> None:
    ros = "a test\n=== 1 failed, 200 passed, 1 skipped, 1 warning in 300.12s (0:05:00) ===\n"
    others = "1 failed in a log\n=== 1100 passed, 4 skipped, 6 warnings, 2 errors in 310.00s (0:05:10) ===\nthe end\n"
    assert run_tests.total([ros, others]) == "1 failed, 1300 passed, 5 skipped, 2 error"
    assert run_tests.total(["crashed"]) == "nothing ran"


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the program in a checkout with one test in each half, which has this body."""

    def begin(ros: str, others: str) -> subprocess.Popen[str]:
        for path, body in {"ros/test_ros": ros, "others/test_others": others}.items():
            file = tmp_path / "test" / f"{path}.py"
            file.parent.mkdir(parents=True)
            file.write_text(f"import os, pathlib, time\ndef test_it():\n    {body}\n")
        copy = tmp_path / "setup" / "run_tests.py"
        copy.parent.mkdir()
        copy.write_text(PROGRAM.read_text())
        environment = {**os.environ, "PYTEST_ADDOPTS": ""}
        return subprocess.Popen(
            [sys.executable, str(copy)], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
        )

    return begin


@pytest.mark.parametrize(("ros", "others"), [("pass", "pass"), ("assert False", "pass"), ("pass", "assert False")])
def test_both_halves_run_and_a_failure_of_either_is_the_end_of_it(start: Any, ros: str, others: str) -> None:
    run = start(ros, others)
    output, _ = run.communicate(timeout=120)
    failing = "assert False" in (ros, others)
    assert run.returncode == failing, output
    assert ("1 failed, 1 passed" if failing else "2 passed") in output.splitlines()[-1]
    assert ("FAILED" in output) == failing, "the details of either half are shown"


def test_no_half_outlives_a_run_that_is_killed(start: Any, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    run = start("pass", f"pathlib.Path({str(note)!r}).write_text(str(os.getpid())), time.sleep(60)")
    deadline = time.monotonic() + 60
    while not (note.exists() and note.read_text()):
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.05)
    run.kill()
    run.communicate()
    status = Path(f"/proc/{note.read_text()}/status")
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < deadline, "the other half goes on"
        time.sleep(0.05)

"""setup/run_tests.py: two halves of the tests count as one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).parents[1] / "setup" / "run_tests.py"


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


@pytest.mark.parametrize("failing", ["none", "test/ros", "test/other"])
def test_both_halves_run_and_a_failure_of_either_is_the_end_of_it(tmp_path: Path, failing: str) -> None:
    (tmp_path / "setup").mkdir()
    (tmp_path / "setup" / "run_tests.py").write_text(PROGRAM.read_text())
    for folder in ("test/ros", "test/other"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f"test_{Path(folder).name}.py").write_text(f"def test_it(): assert {folder != failing}\n")
    command = [sys.executable, "setup/run_tests.py"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTEST_ADDOPTS": ""}
    )
    last = done.stdout.splitlines()[-1]
    assert done.returncode == (0 if failing == "none" else 1), done.stdout
    assert ("2 passed" if failing == "none" else "1 failed, 1 passed") in last
    assert ("FAILED" in done.stdout) == (failing != "none"), "the details of either half are shown"

"""Child processes die with their parent, report their failures, and import nothing from the user's folder."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ast_net_ros.child_process import ProcessError, die_with_parent, running, start

SLEEP = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]


def test_decoys_are_imported_by_a_plain_python(decoys: Any) -> None:
    """Otherwise the tests that find no import would pass whatever is run."""
    subprocess.run([sys.executable, "-c", "import ctypes"], cwd=decoys.folder, env={}, check=True)
    assert decoys.imported() == ["ctypes by ['-c']"]
    decoys.notes.unlink()


def test_a_child_imports_nothing_from_the_users_folder(decoys: Any) -> None:
    command = die_with_parent([sys.executable, "--version"])
    done = subprocess.run(command, cwd=decoys.folder, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("Python 3"), done.stderr
    assert decoys.imported() == []


def test_a_child_ends_with_the_block(tmp_path: Path) -> None:
    with running(SLEEP, tmp_path / "log") as child:
        child.check("at its start")
    assert child.popen.returncode is not None
    with pytest.raises(ProcessError, match=r"exited with code .* afterwards; its log ends"):
        child.check("afterwards")


def test_a_child_dies_with_its_killed_parent(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from ast_net_ros.child_process import start; import sys\n" \
           f"child = start({SLEEP!r}, Path(sys.argv[1])); child.popen.wait()"  # fmt: skip
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "log")], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "log").exists() or "ready" not in (tmp_path / "log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    while "KeyboardInterrupt" not in (tmp_path / "log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_child_that_ignores_sigint_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(2, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    child = start([sys.executable, "-c", stubborn], tmp_path / "log", stdout=subprocess.PIPE)
    assert child.popen.stdout is not None and child.popen.stdout.readline() == "ready\n"
    assert child.end(timeout=0.1) == -9

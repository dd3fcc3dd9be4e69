"""Jobs are retried once, and a worker that dies affects no other job."""

from __future__ import annotations

import sys

import pytest

from ast_net_ros.evaluation.options import EstimationSettings
from ast_net_ros.evaluation.workers import DiskFullError, RecordingJob, run_here, run_in_processes

# A job's name selects what it does. Attempts are counted in a file, since each may run in another process.
WORK = """
import errno, os, signal, time
from pathlib import Path

def work(job, tell):
    with open(job.path, "a") as attempts:
        attempts.write("x")
    first = os.path.getsize(job.path) == 1
    if job.name == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "/results/full")
    tell(3)
    if job.name == "broken" or (job.name == "flaky" and first):
        raise ValueError("broke on the way")
    if job.name == "killed" or (job.name == "killed_once" and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if job.name == "slow":
        time.sleep(0.3)
    Path(job.folder).write_text(job.name)
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A module that worker processes find by its name, as they find the package."""
    (tmp_path / "made_up_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("made_up_work").work
    sys.modules.pop("made_up_work")


def jobs(tmp_path, *names):
    return [
        RecordingJob(name, str(tmp_path / f"{i}.attempts"), str(tmp_path / f"{i}.out"), None, EstimationSettings())
        for i, name in enumerate(names)
    ]


def written(tmp_path, count):
    return [(tmp_path / f"{i}.out").exists() for i in range(count)]


def attempts(tmp_path, index):
    return (tmp_path / f"{index}.attempts").stat().st_size


def test_failures_and_deaths_are_retried_once(tmp_path, work, caplog):
    names = ("slow", "broken", "killed", "fine", "flaky", "killed_once", "fine")
    frames: list[int] = []
    outcomes = run_in_processes(jobs(tmp_path, *names), work, frames.append, workers=2)
    assert outcomes == [
        None,
        "ValueError: broke on the way",
        "its worker process died (signal SIGKILL, perhaps out of memory)",
        None, None, None, None,
    ]  # fmt: skip
    assert written(tmp_path, 7) == [True, False, False, True, True, True, True]
    assert [attempts(tmp_path, i) for i in range(7)] == [1, 2, 2, 1, 2, 2, 1]
    assert sum(frames) == 5 * 3  # those of failed attempts are reverted


def test_failures_are_retried_in_one_process_too(tmp_path, work):
    frames: list[int] = []
    outcomes = run_here(jobs(tmp_path, "flaky", "broken", "fine"), work, frames.append)
    assert outcomes == [None, "ValueError: broke on the way", None]
    assert [attempts(tmp_path, i) for i in range(3)] == [2, 2, 1] and sum(frames) == 6


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_ends_the_run_and_keeps_finished_jobs(tmp_path, work, workers):
    these = jobs(tmp_path, "fine", "full", "fine", "fine")
    with pytest.raises(DiskFullError, match=r"/results/full: No space left on device.*of full; free space"):
        run_here(these, work, print) if workers == 1 else run_in_processes(these, work, lambda _: None, workers)
    assert attempts(tmp_path, 1) == 1
    if workers == 1:  # two begin together, and either may come first
        assert written(tmp_path, 4) == [True, False, False, False]

"""Process recordings in worker processes on this machine.

A job that fails, or whose process dies, is retried once; the others continue. A full disk ends all of them.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import multiprocessing
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from ast_net_ros.child_process import chdir
from ast_net_ros.evaluation.options import EstimationSettings

Progress = Callable[[int], None]
"""Receives the number of frames processed since the last call."""


@dataclass(frozen=True)
class RecordingJob:
    """One recording to evaluate; can be sent to another process or machine."""

    name: str
    path: str  # its absolute path
    folder: str  # folder for its results
    topic: str | None
    settings: EstimationSettings
    key: str = ""  # hash of everything the results depend on; see offline.key_of
    weights_sha256: str = ""  # required hash of the weights, on whatever machine the job runs; empty to skip the check


Work = Callable[[RecordingJob, Progress], None]
"""Processes one job and reports progress; a module-level function, so that another process can import it."""

ATTEMPTS = 2
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk or an exceeded quota."""

logger = logging.getLogger(__name__)


class DiskFullError(ValueError):
    """The results do not fit on the disk; the message names the path and the fix."""


@dataclass(frozen=True)
class Failure:
    """Why a job failed, for the user, and whether it was a full disk."""

    reason: str
    disk_full: bool = False


def failure_of(error: Exception) -> Failure:
    """Describe an error. One that is neither the package's own nor a system error is a bug, and is logged."""
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        return Failure(f"{error.filename or 'output'}: {error.strerror}", disk_full=True)
    if type(error).__module__.split(".")[0] == __package__.split(".")[0]:
        return Failure(str(error))
    if isinstance(error, OSError):
        return Failure(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    logger.error("unexpected error", exc_info=error)
    return Failure(f"{type(error).__name__}: {error}")


def disk_full(reason: str, job: RecordingJob | None = None) -> DiskFullError:
    """Return the error for a full disk."""
    during = f", while writing the results of {job.name}" if job else ""
    return DiskFullError(f"{reason}{during}; free space and run the same command again: finished recordings are kept")


def run_here(jobs: Sequence[RecordingJob], work: Work, report: Progress) -> list[str | None]:
    """Process the jobs one after the other in this process; otherwise as `run_in_processes`."""
    outcomes: list[str | None] = []
    for job in jobs:
        for _ in range(ATTEMPTS):
            progress, reason = _AttemptProgress(report), None
            try:
                work(job, progress)
                break
            except Exception as error:
                failure = failure_of(error)
                if failure.disk_full:
                    raise disk_full(failure.reason, job) from error
                reason = failure.reason
                progress.revert()
        outcomes.append(reason)
    return outcomes


def run_in_processes(jobs: Sequence[RecordingJob], work: Work, report: Progress, workers: int) -> list[str | None]:
    """Process the jobs in `workers` processes; return for each None, or why it failed. DiskFullError: the disk is full.

    Processes are spawned, not forked: the libraries' threads would not survive a fork. Their working directory is an
    empty folder, because a new Python imports from it first.
    """
    outcomes: list[str | None] = [None] * len(jobs)
    waiting = deque((index, 1) for index in range(len(jobs)))
    busy: dict[Any, _Worker] = {}
    with tempfile.TemporaryDirectory() as empty_folder:

        def start_next(worker: _Worker | None = None) -> None:
            if worker is None or not worker.process.is_alive():
                worker = _Worker(work, empty_folder)
            index, attempt = waiting.popleft()
            worker.begin(index, attempt, jobs[index], report)
            busy[worker.connection] = worker

        try:
            for _ in range(min(workers, len(jobs))):
                start_next()
            while busy:
                for connection in wait(list(busy)):
                    worker = busy[connection]
                    message = worker.receive()
                    if isinstance(message, int):
                        worker.progress(message)
                        continue
                    if message is not None:
                        worker.progress.revert()
                        if message.disk_full:
                            raise disk_full(message.reason, jobs[worker.index])
                        if worker.attempt < ATTEMPTS:
                            waiting.append((worker.index, worker.attempt + 1))
                        else:
                            outcomes[worker.index] = message.reason
                    del busy[connection]
                    if waiting:
                        start_next(worker)
                    else:
                        worker.end()
        finally:
            for worker in busy.values():
                worker.process.terminate()
                worker.end()
    return outcomes


@dataclass
class _AttemptProgress:
    """Progress of one attempt, which is reverted if the attempt fails."""

    report: Progress
    frames: int = 0

    def __call__(self, frames: int) -> None:
        self.frames += frames
        self.report(frames)

    def revert(self) -> None:
        self.report(-self.frames)


class _Worker:
    """A worker process and its current job."""

    def __init__(self, work: Work, working_directory: str):
        spawning = multiprocessing.get_context("spawn")
        self.connection, theirs = spawning.Pipe()
        self.process = spawning.Process(target=_serve, args=(theirs, work), daemon=True)
        with chdir(working_directory):
            self.process.start()
        theirs.close()

    def begin(self, index: int, attempt: int, job: RecordingJob, report: Progress) -> None:
        self.index, self.attempt, self.progress = index, attempt, _AttemptProgress(report)
        with contextlib.suppress(OSError):  # a worker that died meanwhile is noticed by `receive`
            self.connection.send(job)

    def receive(self) -> int | Failure | None:
        """Return the number of frames processed since the last call; at the end None, or why the job failed."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return Failure(f"its worker process died ({_ending(self.process.exitcode)})")

    def end(self) -> None:
        self.connection.close()
        self.process.join()


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        killed = ", perhaps out of memory" if -code == signal.SIGKILL else ""
        return f"signal {signal.Signals(-code).name}{killed}"
    return f"exit code {code}"


def _serve(connection: Connection[Any, Any], work: Work) -> None:
    """Run in the worker process: process jobs until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of the terminal; the parent decides
    try:
        while True:
            job = connection.recv()
            try:
                work(job, connection.send)
                outcome = None
            except Exception as error:
                outcome = failure_of(error)
            connection.send(outcome)
    except (EOFError, OSError):
        return  # the parent has ended or needs no more

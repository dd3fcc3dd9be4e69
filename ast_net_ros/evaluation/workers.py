"""Several recordings at once, each in a worker process of this machine.

In: jobs and a function that does one. Out: for each job, in their order, None or why it failed. A job that fails, or
whose process dies, is tried once more; the others go on. A full disk ends them all, since nothing more can be kept.
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
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from ast_net_ros.child_process import chdir
from ast_net_ros.evaluation.options import EstimationSettings

Tell = Callable[[int], None]
"""Hears how many frames were added since it was last called."""


@dataclass(frozen=True)
class RecordingJob:
    """One recording to evaluate, complete enough to be sent to another process or machine.

    folder: of its results. topic: None takes the recording's only one. key: see offline.key_of. weights_sha256: what
    the weights must be, wherever the job is done; empty does not ask.
    """

    name: str
    path: str
    folder: str
    topic: str | None
    settings: EstimationSettings
    key: str = ""
    weights_sha256: str = ""


Work = Callable[[RecordingJob, Tell], None]
"""Does one job and tells its progress; a function of a module, so that another process finds it by its name."""

ATTEMPTS = 2
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
"""What a system error has for its number where a disk, or a user's share of it, is full."""

logger = logging.getLogger(__name__)


class DiskFullError(ValueError):
    """The results do not fit on the disk; the text names the place and the mend."""


@dataclass(frozen=True)
class Failure:
    """Why a job failed, in words for its user. disk_full: the disk is to blame."""

    reason: str
    disk_full: bool = False


def failure_of(error: Exception) -> Failure:
    """What to tell of an error. One that is neither the package's own nor of the system is a fault: it is logged."""
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        return Failure(f"{error.filename or 'output'}: {error.strerror}", disk_full=True)
    if type(error).__module__.split(".")[0] == __package__.split(".")[0]:
        return Failure(str(error))
    if isinstance(error, OSError):
        return Failure(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    logger.error("a fault of the program", exc_info=error)
    return Failure(f"{type(error).__name__}: {error}")


def disk_full(reason: str, job: RecordingJob | None = None) -> DiskFullError:
    during = f", while writing the results of {job.name}" if job else ""
    return DiskFullError(
        f"{reason}{during}; make room and run the same command again: recordings that were finished are kept"
    )


def run_here(jobs: Sequence[RecordingJob], work: Work, tell: Tell) -> list[str | None]:
    """One job after the other in this process. Raises DiskFullError."""
    outcomes: list[str | None] = []
    for job in jobs:
        reason = None
        for _ in range(ATTEMPTS):
            counted = _Counted(tell)
            try:
                work(job, counted)
            except Exception as error:
                failure = failure_of(error)
                if failure.disk_full:
                    raise disk_full(failure.reason, job) from error
                reason = failure.reason
                counted.take_back()
            else:
                reason = None
                break
        outcomes.append(reason)
    return outcomes


def run_in_processes(jobs: Sequence[RecordingJob], work: Work, tell: Tell, workers: int) -> list[str | None]:
    """At most `workers` jobs at a time, each worker process doing one after the other. Raises DiskFullError.

    Processes are spawned, not forked: the libraries' threads would not survive a fork. They stand in an empty folder:
    a new Python imports from where it stands, before any other place.
    """
    outcomes: list[str | None] = [None] * len(jobs)
    waiting = deque((index, 1) for index in range(len(jobs)))
    busy: list[_Worker] = []
    elsewhere = tempfile.TemporaryDirectory()
    try:
        for _ in range(min(workers, len(jobs))):
            busy.append(_Worker(work, tell, *waiting.popleft(), jobs, elsewhere.name))
        while busy:
            ready = wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                ended, failure = worker.hear()
                if not ended:
                    continue
                if failure is not None:
                    worker.counted.take_back()
                    if failure.disk_full:
                        raise disk_full(failure.reason, jobs[worker.index])
                    if worker.attempt < ATTEMPTS:
                        waiting.append((worker.index, worker.attempt + 1))
                    else:
                        outcomes[worker.index] = failure.reason
                busy.remove(worker)
                if waiting:
                    busy.append(worker.next(*waiting.popleft()))
                else:
                    worker.end()
    finally:
        for worker in busy:
            worker.end(at_once=True)
        elsewhere.cleanup()
    return outcomes


@dataclass
class _Counted:
    """Progress of one attempt, which is taken back when the attempt fails."""

    tell: Tell
    frames: int = 0

    def __call__(self, frames: int) -> None:
        self.frames += frames
        self.tell(frames)

    def take_back(self) -> None:
        self.tell(-self.frames)
        self.frames = 0


@dataclass
class _Worker:
    """A worker process and the job that it is doing. elsewhere: the folder that it stands in."""

    work: Work
    tell: Tell
    index: int
    attempt: int
    jobs: Sequence[RecordingJob]
    elsewhere: str
    counted: _Counted = field(init=False)
    connection: Connection[Any, Any] = field(init=False)
    process: BaseProcess = field(init=False)

    def __post_init__(self) -> None:
        spawning = multiprocessing.get_context("spawn")
        self.connection, theirs = spawning.Pipe()
        self.process = spawning.Process(target=_serve, args=(theirs, self.work), daemon=True)
        with chdir(self.elsewhere):
            self.process.start()
        theirs.close()
        self._send()

    def _send(self) -> None:
        self.counted = _Counted(self.tell)
        with contextlib.suppress(OSError):  # a worker that died meanwhile shows in `hear`
            self.connection.send(self.jobs[self.index])

    def hear(self) -> tuple[bool, Failure | None]:
        """One message: (whether the job has ended, why it failed)."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return True, Failure(f"its worker process died ({_ending(self.process.exitcode)})")
        if isinstance(message, int):
            self.counted(message)
            return False, None
        return True, message

    def next(self, index: int, attempt: int) -> _Worker:
        """The worker for the next job: this one, or a new one in the place of a dead one."""
        if not self.process.is_alive():
            self.end()
            return _Worker(self.work, self.tell, index, attempt, self.jobs, self.elsewhere)
        self.index, self.attempt = index, attempt
        self._send()
        return self

    def end(self, at_once: bool = False) -> None:
        """Lets the process go; at_once: in the middle of its job."""
        if at_once:
            self.process.terminate()
        self.connection.close()
        self.process.join()


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        killed = ", as when memory runs out" if -code == signal.SIGKILL else ""
        return f"signal {signal.Signals(-code).name}{killed}"
    return f"exit code {code}"


def _serve(connection: Connection[Any, Any], work: Work) -> None:
    """The worker process: does jobs until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the terminal; the parent decides
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
        return  # the parent is gone or done

"""Several recordings at once on a Ray cluster, or on a Ray of this machine alone.

In: jobs. Out: for each job, in their order, None or why it failed, as of workers.py. Ray is an optional extra
(`pip install "ast_net_ros[ray]"`).

The machines of the cluster need this package and must see the recordings under the same paths (a shared file system).
Results travel back through Ray and are written here, so that the output folder may lie on this machine alone.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ast_net_ros.atomic_files import atomic_dir
from ast_net_ros.child_process import chdir
from ast_net_ros.evaluation.workers import ATTEMPTS, Failure, RecordingJob, Tell, Work, disk_full, failure_of

LOCAL = "local"
_ANSWER_SECONDS = 10.0


class RayError(ValueError):
    """Ray is missing or cannot be reached; the text names the reason and the mend."""


@dataclass(frozen=True)
class _Answer:
    """What a task sends back: the files of a recording's folder, or why there are none."""

    files: dict[str, bytes]
    failure: Failure | None = None


def run_on_ray(
    jobs: Sequence[RecordingJob], work: Work, tell: Tell, address: str, workers: int, report: Callable[[str], None]
) -> list[str | None]:
    """All jobs as Ray tasks.

    address: "local" for `workers` processes here, else of a running cluster ("auto", HOST:PORT or ray://HOST:PORT).
    report: hears once what the cluster offers. Raises RayError and DiskFullError.
    """
    if importlib.util.find_spec("ray") is None:
        raise RayError("--ray needs Ray, which is not installed: pip install 'ray>=2.9'")
    _check_reachable(address)
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody agreed to sending statistics
    # Ray's workers import from the folder that it was begun in, before any other, and stand there until they end.
    with tempfile.TemporaryDirectory() as empty:
        try:
            with chdir(empty):
                _connect(ray, address, workers)
            report(f"Ray: {ray.cluster_resources().get('CPU', 0):g} CPUs on {len(ray.nodes())} machines")
            gpus = 1 if jobs and jobs[0].settings.device.startswith("cuda") else 0
            # Retries are counted here, where a dead process and an error count alike.
            task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(_do_remotely)
            return _collect(ray, task, jobs, work, tell)
        finally:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself tries an address that nobody answers for a very long time. "auto" it finds or refuses at once."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if address in (LOCAL, "auto"):
        return
    if not (host and colon and port.isdecimal()):
        raise RayError(f"--ray '{address}': wanted local, auto, HOST:PORT or ray://HOST:PORT")
    try:
        socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RayError(f"cannot reach a Ray cluster at '{address}': {error}; is `ray start --head` running?") from error


def _connect(ray: Any, address: str, workers: int) -> None:
    here = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, **here)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        what = "start Ray on this machine" if address == LOCAL else f"reach a Ray cluster at '{address}'"
        raise RayError(f"cannot {what}: {error}") from error


def _collect(ray: Any, task: Any, jobs: Sequence[RecordingJob], work: Work, tell: Tell) -> list[str | None]:
    """Waits for the tasks, writes what they send, and tries what failed once more."""
    outcomes: list[str | None] = [None] * len(jobs)
    running = {task.remote(job, work): (index, 1) for index, job in enumerate(jobs)}
    while running:
        (done, *_), _ = ray.wait(list(running))
        index, attempt = running.pop(done)
        failure = _receive(ray, done, jobs[index], tell)
        if failure is None:
            continue
        if failure.disk_full:
            raise disk_full(failure.reason, jobs[index])
        if attempt < ATTEMPTS:
            running[task.remote(jobs[index], work)] = (index, attempt + 1)
        else:
            outcomes[index] = failure.reason
    return outcomes


def _receive(ray: Any, done: Any, job: RecordingJob, tell: Tell) -> Failure | None:
    try:
        answer: _Answer = ray.get(done)
    except ray.exceptions.RayError as error:
        return Failure(f"its Ray worker failed ({str(error).strip().splitlines()[0]})")
    if answer.failure is not None:
        # A full disk over there is no reason to end everything here.
        return replace(answer.failure, disk_full=False)
    try:
        with atomic_dir(Path(job.folder)) as folder:
            for name, content in answer.files.items():
                (folder / name).write_bytes(content)
    except OSError as error:
        return failure_of(error)
    tell(max(0, answer.files["frames.csv"].count(b"\n") - 1))
    return None


def _do_remotely(job: RecordingJob, work: Work) -> _Answer:
    """The task: runs on some machine of the cluster."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "result"
        try:
            work(replace(job, folder=str(folder)), lambda _: None)
        except Exception as error:
            return _Answer({}, failure_of(error))
        return _Answer({path.name: path.read_bytes() for path in folder.iterdir()})

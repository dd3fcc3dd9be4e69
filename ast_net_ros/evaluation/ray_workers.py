"""Process recordings on a Ray cluster, or with Ray on this machine (`pip install "ast_net_ros[ray]"`).

The machines of the cluster need this package and the recordings under the same paths (a shared file system). Results
are sent back through Ray and written here, so the output folder may be local to this machine.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ast_net_ros.atomic_files import atomic_dir
from ast_net_ros.child_process import chdir
from ast_net_ros.evaluation.workers import ATTEMPTS, Failure, Progress, RecordingJob, Work, disk_full, failure_of


class RayError(ValueError):
    """Ray is missing or cannot be reached; the message names the reason and the fix."""


def run_on_ray(
    jobs: Sequence[RecordingJob], work: Work, report: Progress, address: str, workers: int, log: Callable[[str], None]
) -> list[str | None]:
    """Process the jobs as Ray tasks; return for each job None, or why it failed.

    `address` is "local" for `workers` processes here, or a running cluster ("auto", HOST:PORT or ray://HOST:PORT).
    `log` receives a line with the size of the cluster. RayError: Ray is missing or cannot be reached; DiskFullError.
    """
    if importlib.util.find_spec("ray") is None:
        raise RayError("--ray needs Ray, which is not installed: pip install 'ast_net_ros[ray]'")
    _check_reachable(address)
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics without consent
    # Ray's workers import from the folder that Ray was started in, before any other.
    with tempfile.TemporaryDirectory() as empty_folder:
        try:
            with chdir(empty_folder):
                _connect(ray, address, workers)
            log(f"Ray: {ray.cluster_resources().get('CPU', 0):g} CPUs on {len(ray.nodes())} machines")
            gpus = 1 if jobs and jobs[0].settings.model.device.startswith("cuda") else 0
            # Retries are counted here, where a dead process and an error are treated alike.
            task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(_do_remotely)
            return _collect(ray, task, jobs, work, report)
        finally:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise RayError if nothing listens at the address, which Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if address in ("local", "auto"):
        return
    if not (host and colon and port.isdecimal()):
        raise RayError(f"--ray '{address}': expected local, auto, HOST:PORT or ray://HOST:PORT")
    try:
        socket.create_connection((host, int(port)), timeout=10.0).close()
    except (OSError, OverflowError) as error:
        raise RayError(f"cannot reach a Ray cluster at '{address}': {error}; is `ray start --head` running?") from error


def _connect(ray: Any, address: str, workers: int) -> None:
    local = address == "local"
    try:
        ray.init(address, log_to_driver=False, **({"num_cpus": workers, "include_dashboard": False} if local else {}))
    except Exception as error:  # a timeout at startup is a bare Exception
        what = "start Ray on this machine" if local else f"reach a Ray cluster at '{address}'"
        raise RayError(f"cannot {what}: {error}") from error


def _collect(ray: Any, task: Any, jobs: Sequence[RecordingJob], work: Work, report: Progress) -> list[str | None]:
    """Wait for the tasks, write their results, and retry failed ones once."""
    outcomes: list[str | None] = [None] * len(jobs)
    running = {task.remote(job, work): (index, 1) for index, job in enumerate(jobs)}
    while running:
        (done, *_), _ = ray.wait(list(running))
        index, attempt = running.pop(done)
        failure = _receive(ray, done, jobs[index], report)
        if failure is None:
            continue
        if failure.disk_full:
            raise disk_full(failure.reason, jobs[index])
        if attempt < ATTEMPTS:
            running[task.remote(jobs[index], work)] = (index, attempt + 1)
        else:
            outcomes[index] = failure.reason
    return outcomes


def _receive(ray: Any, done: Any, job: RecordingJob, report: Progress) -> Failure | None:
    try:
        result = ray.get(done)
    except ray.exceptions.RayError as error:
        return Failure(f"its Ray worker failed ({str(error).strip().splitlines()[0]})")
    if isinstance(result, Failure):
        # A full disk on another machine does not end the whole run.
        return replace(result, disk_full=False)
    try:
        with atomic_dir(Path(job.folder)) as folder:
            for name, content in result.items():
                (folder / name).write_bytes(content)
    except OSError as error:
        return failure_of(error)
    report(max(0, result["frames.csv"].count(b"\n") - 1))
    return None


def _do_remotely(job: RecordingJob, work: Work) -> dict[str, bytes] | Failure:
    """Process one job on a machine of the cluster; return the files of its results folder, or why there are none."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "result"
        try:
            work(replace(job, folder=str(folder)), lambda _: None)
        except Exception as error:
            return failure_of(error)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

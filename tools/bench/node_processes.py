"""The processes that a measurement of the node is made of: node, cameras, and what they use of the machine.

In: module names and arguments. Out: running processes that end with their block, and their processor time and memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ast_net_ros.child_process import end_process

_LINGER_SECONDS = 20.0

RUNNER = Path(__file__).parents[1] / "run.py"
"""Starts a module of tools/ as a process."""


class MeasurementError(RuntimeError):
    """The measurement cannot go on; the message is for the user."""


@dataclass(frozen=True)
class Usage:
    """processor_seconds: of all its threads since its start. resident: bytes in RAM."""

    processor_seconds: float
    resident: int


class Process:
    """A Python module running, its log in a file. `ask` speaks with one that answers lines of JSON with such."""

    def __init__(self, module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]):
        self.module = module
        self._log = folder / f"{module}-{len(list(folder.iterdir()))}.log"
        with self._log.open("w") as log:
            # In the folder: Python puts the present one on its path, where a checkout would hide the built package.
            self.popen = subprocess.Popen(
                [sys.executable, str(RUNNER), module, *arguments],
                cwd=folder, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip

    def tell(self, message: Mapping[str, object]) -> None:
        """Send one line."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps(message) + "\n")
        self.popen.stdin.flush()

    def answer(self) -> dict:
        """The next line. Raises MeasurementError when there will be none."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if not line:
            raise self.failure("ended")
        return json.loads(line)

    def usage(self) -> Usage:
        """As of now. Linux only. Raises MeasurementError when it has ended."""
        try:
            stat = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()
            statm = Path(f"/proc/{self.popen.pid}/statm").read_text().split()
        except OSError as error:
            raise self.failure("ended") from error
        ticks = int(stat[11]) + int(stat[12])
        return Usage(ticks / os.sysconf("SC_CLK_TCK"), int(statm[1]) * os.sysconf("SC_PAGE_SIZE"))

    def check(self) -> None:
        """Raises MeasurementError when it has ended."""
        if self.popen.poll() is not None:
            raise self.failure(f"ended with code {self.popen.returncode}")

    def failure(self, what: str) -> MeasurementError:
        """What went wrong with it, with the end of its log."""
        ends = " | ".join(self._log.read_text(errors="replace").strip().splitlines()[-3:])
        return MeasurementError(f"{self.module} {what}; its log ends: {ends or 'empty'}")

    def end(self) -> None:
        """As Ctrl-C would, and return when it has ended."""
        end_process(self.popen, _LINGER_SECONDS)
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def running(
    module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """The module as a process that ends with the block."""
    process = Process(module, arguments, folder, environment or os.environ)
    try:
        yield process
    finally:
        process.end()


@contextmanager
def cameras(topics: Sequence[str], frames: Path, folder: Path) -> Iterator[list[Process]]:
    """A camera process for each topic, ready to publish."""
    started: list[Process] = []
    try:
        for topic in topics:
            command = [str(frames), topic]
            started.append(Process("bench.node_camera", command, folder, os.environ))
        for camera in started:
            camera.answer()
        yield started
    finally:
        for camera in started:
            assert camera.popen.stdin is not None
            camera.popen.stdin.close()  # its loop over the lines ends
        for camera in started:
            camera.end()

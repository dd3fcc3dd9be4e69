"""The processes of a measurement: node, cameras and peers, which exchange lines of JSON, and the resources they use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ast_net_ros.child_process import ProcessError, start

END_SECONDS = 20.0
RUNNER = Path(__file__).parents[1] / "run.py"
"""Starts a module of tools/ as a process."""


@dataclass(frozen=True)
class Usage:
    """Resources of a process.

    Attributes:
        processor_seconds: Processor time of all its threads since its start.
        resident: Bytes of resident memory.
    """

    processor_seconds: float
    resident: int


class JsonProcess:
    """A child process that reads and writes lines of JSON; its log is a file in `folder`."""

    def __init__(self, command: Sequence[str], folder: Path, name: str, environment: Mapping[str, str] | None = None):
        log = folder / f"{name}-{len(list(folder.iterdir()))}.log"
        # In the folder: Python puts the working directory on its path, where a checkout would hide the built package.
        arguments: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": folder}
        self.child = start(command, log, name, env=dict(environment or os.environ), **arguments)

    def send(self, message: Mapping[str, object] | None = None) -> None:
        """Send one line."""
        assert self.child.popen.stdin is not None
        self.child.popen.stdin.write(json.dumps(message or {}) + "\n")
        self.child.popen.stdin.flush()

    def receive(self) -> dict:
        """Return the next line; raise ProcessError if the process ends without one."""
        assert self.child.popen.stdout is not None
        line = self.child.popen.stdout.readline()
        if not line:
            self.child.popen.wait(END_SECONDS)
            raise self.child.failure("ended")
        return json.loads(line)

    def usage(self) -> Usage:
        """Return the resources used so far; raise ProcessError if the process has ended."""
        try:
            process = psutil.Process(self.child.popen.pid)
            with process.oneshot():
                times = process.cpu_times()
                return Usage(times.user + times.system, process.memory_info().rss)
        except psutil.Error as error:
            raise self.child.failure("ended") from error

    def check(self) -> None:
        """Raise ProcessError if the process has ended."""
        self.child.check("by itself")

    def close_input(self) -> None:
        """Close the process's standard input, so that its loop over the lines ends."""
        if self.child.popen.stdin is not None:
            self.child.popen.stdin.close()

    def end(self) -> None:
        """Interrupt the process as Ctrl-C does, and wait for its end."""
        self.child.end(END_SECONDS)


def module_command(module: str, arguments: Sequence[str]) -> list[str]:
    """Return the command that runs a module of this package or of tools/."""
    return [sys.executable, str(RUNNER), module, *arguments]


@contextmanager
def running(
    module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[JsonProcess]:
    """Run a module as a process that ends with the block."""
    process = JsonProcess(module_command(module, arguments), folder, module, environment)
    try:
        yield process
    finally:
        process.end()


@contextmanager
def cameras(topics: Sequence[str], frames: Path, folder: Path) -> Iterator[list[JsonProcess]]:
    """Run a camera process for each topic, ready to publish."""
    started: list[JsonProcess] = []
    try:
        for topic in topics:
            command = module_command("bench.node_camera", [str(frames), topic])
            started.append(JsonProcess(command, folder, "bench.node_camera"))
        for camera in started:
            camera.receive()
        yield started
    finally:
        for camera in started:
            camera.close_input()
        for camera in started:
            camera.end()


__all__ = ["JsonProcess", "ProcessError", "Usage", "cameras", "module_command", "running"]

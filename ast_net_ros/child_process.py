"""Start child processes that end with their parent, keep their logs, and end them in order.

A child must not import a file from the user's folder that is named like a library: `python -c` and `python -m` search
the working directory first, and PYTHONSAFEPATH prevents that only since Python 3.11.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Runs in the child between fork and exec. subprocess's preexec_fn is unsafe in a process with threads.
_SET_DEATH_SIGNAL = """
import sys
sys.path[:] = [folder for folder in sys.path if folder]  # the empty name is the working directory
import ctypes, os, signal
ctypes.CDLL(None).prctl(1, int(signal.SIGINT), 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
_TERMINATE_TIMEOUT = 15.0  # s


class ProcessError(RuntimeError):
    """A child process could not be started or failed; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class ChildProcess:
    """A running child process."""

    name: str
    popen: subprocess.Popen[str]
    log: Path

    def failure(self, what: str) -> ProcessError:
        """Return an error that says `what` went wrong and shows the end of the log."""
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return ProcessError("\n".join([f"{self.name} {what}; its log ends:", *(f"  {line}" for line in lines)]))

    def check(self, when: str) -> None:
        """Raise ProcessError if the process has ended; `when` completes the message, such as "during startup"."""
        if self.popen.poll() is not None:
            raise self.failure(f"exited with code {self.popen.returncode} {when}")

    def end(self, timeout: float = _TERMINATE_TIMEOUT) -> int:
        """Send SIGINT, as Ctrl-C does, and SIGKILL after `timeout` seconds; close the pipes.

        Returns:
            The exit code, -9 if it was killed.
        """
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGINT)
        try:
            code = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            code = self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()
        return code


def start(command: Sequence[str], log: Path, name: str = "", **popen_arguments: Any) -> ChildProcess:
    """Start a child process that dies with this one; `command` is the absolute path of an executable, and arguments.

    stderr goes to `log`, and stdout unless `popen_arguments` say otherwise. Messages use `name`, if empty the file's.
    """
    with log.open("w") as file:
        output = {"stdout": file, "stderr": subprocess.STDOUT if "stdout" not in popen_arguments else file}
        popen = subprocess.Popen(die_with_parent(command), text=True, **(output | popen_arguments))
    return ChildProcess(name or Path(command[0]).name, popen, log)


@contextmanager
def running(
    command: Sequence[str], log: Path, name: str = "", timeout: float = _TERMINATE_TIMEOUT, **popen_arguments: Any
) -> Iterator[ChildProcess]:
    """Run a child process for the duration of the block; the arguments are those of `start` and `ChildProcess.end`."""
    child = start(command, log, name, **popen_arguments)
    try:
        yield child
    finally:
        child.end(timeout)


def die_with_parent(command: Sequence[str]) -> list[str]:
    """Return a command that runs `command` (an absolute path and arguments) as a child that dies with its parent.

    The kernel sends the child SIGINT when the thread that started it ends, also when this process is killed
    (prctl(2), PR_SET_PDEATHSIG). Linux only; elsewhere the command is returned unchanged.
    """
    if not sys.platform.startswith("linux"):
        return list(command)
    return [sys.executable, "-c", _SET_DEATH_SIGNAL, str(os.getpid()), *command]


@contextmanager
def chdir(folder: str) -> Iterator[None]:
    """Change the working directory of the whole process for the duration of the block.

    For libraries that start Python in the working directory. Other threads must not use relative paths meanwhile.
    """
    previous = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(previous)

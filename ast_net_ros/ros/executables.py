"""The package's executables as processes of this one, which end with it.

In: an executable's name and its arguments. Out: the running process with its log, interrupted at the end as Ctrl-C
would; an error that shows the end of the log when it went wrong.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from ast_net_ros.child_process import die_with_parent, end_process

_LINGER_SECONDS = 15.0
_LOG_LINES = 15


class ExecutableError(RuntimeError):
    """An executable is not there or went wrong; the message is for the user and shows the end of its log."""


@dataclass(frozen=True)
class RunningExecutable:
    """A process and the file that its output goes to."""

    name: str
    popen: subprocess.Popen[str]
    log: Path

    def failure(self, what: str) -> ExecutableError:
        """What went wrong with it, with the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return ExecutableError("\n".join([f"{self.name} {what}; its log ends:", *(f"  {line}" for line in lines)]))

    def check(self, when: str) -> None:
        """Raise ExecutableError when it has ended by itself. when: such as "at its start"."""
        if self.popen.poll() is not None:
            raise self.failure(f"ended with code {self.popen.returncode} {when}")


@contextmanager
def running(name: str, arguments: Sequence[str], folder: Path) -> Iterator[RunningExecutable]:
    """Runs an executable for the length of the block, with its log in `folder`. Raises ExecutableError."""
    try:
        executable = Path(get_package_prefix("ast_net_ros")) / "lib" / "ast_net_ros" / name
    except PackageNotFoundError:
        raise ExecutableError(
            "package ast_net_ros is not in this shell: source env.sh or the workspace's setup.bash"
        ) from None
    log = folder / f"{name}.log"
    with log.open("w") as file:
        command = die_with_parent([sys.executable, str(executable), *arguments])
        popen = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, text=True)
    try:
        yield RunningExecutable(name, popen, log)
    finally:
        end_process(popen, _LINGER_SECONDS)

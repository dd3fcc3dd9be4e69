"""Run the package's ROS executables as child processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from ast_net_ros import child_process
from ast_net_ros.child_process import ChildProcess, ProcessError


def executable_command(name: str, arguments: Sequence[str] = ()) -> list[str]:
    """Return the command that runs an executable of this package. ProcessError: the package is not in this shell."""
    try:
        prefix = get_package_prefix("ast_net_ros")
    except PackageNotFoundError:
        raise ProcessError(
            "package ast_net_ros is not in this shell: source env.sh or the workspace's setup.bash"
        ) from None
    return [sys.executable, str(Path(prefix) / "lib" / "ast_net_ros" / name), *arguments]


def running(name: str, arguments: Sequence[str], folder: Path) -> AbstractContextManager[ChildProcess]:
    """Run an executable during a `with` block, with its log in `folder`. Raises what `executable_command` raises."""
    return child_process.running(executable_command(name, arguments), folder / f"{name}.log", name)

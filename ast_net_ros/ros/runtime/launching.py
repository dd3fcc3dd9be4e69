"""Checks of launch arguments, for the package's launch files."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from pathlib import Path

import yaml  # type: ignore[import-untyped]


class LaunchArgumentError(ValueError):
    """A launch argument is unknown or invalid; the message names it and the fix."""


def check_names(launch_file: str, known: Iterable[str]) -> None:
    """Reject unknown arguments of `ros2 launch`, which launch itself would ignore.

    Only if the launch file itself was launched: a launch file that includes it may have arguments of its own.

    Args:
        launch_file: Path of the launch file.
        known: The names of its arguments, including those of the files that it includes.

    Raises:
        LaunchArgumentError: An argument is unknown.
    """
    known = set(known)
    command = sys.argv[1:]
    if Path(launch_file).name not in {Path(argument).name for argument in command}:
        return
    for argument in command:
        name, separator, _ = argument.partition(":=")
        if separator and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "see --show-args"
            raise LaunchArgumentError(f"launch argument {name} is unknown; {hint}")


def check_file(name: str, path: str) -> None:
    """Reject a path that does not exist.

    Args:
        name: Name of the launch argument.
        path: Its value.

    Raises:
        LaunchArgumentError: There is no such file or folder.
    """
    if not Path(path).exists():
        raise LaunchArgumentError(f"{name}:={path}: no such file (working directory: {Path.cwd()})")


def parse_flag(name: str, text: str) -> bool:
    """Parse `true` or `false`.

    Args:
        name: Name of the launch argument.
        text: Its value.

    Raises:
        LaunchArgumentError: The value is something else.
    """
    if text.lower() not in ("true", "false"):
        raise LaunchArgumentError(f"{name}:={text}: use true or false")
    return text.lower() == "true"


def parse_positive_integer(name: str, text: str) -> int:
    """Parse a whole number above 0.

    Args:
        name: Name of the launch argument.
        text: Its value.

    Raises:
        LaunchArgumentError: The value is something else.
    """
    if not text.isdigit() or int(text) == 0:
        raise LaunchArgumentError(f"{name}:={text}: use a whole number above 0")
    return int(text)


def parse_value(name: str, text: str) -> object:
    """Parse the value of a node parameter, as YAML.

    Args:
        name: Name of the launch argument.
        text: Its value.

    Raises:
        LaunchArgumentError: The value is not valid YAML.
    """
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LaunchArgumentError(f"{name}:={text}: not valid YAML; write lists as [a, b] ({error})") from error

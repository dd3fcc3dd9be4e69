"""Checks of the arguments of launch files and executables."""

from __future__ import annotations

import argparse
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
    known, command = set(known), sys.argv[1:]
    if Path(launch_file).name not in {Path(argument).name for argument in command}:
        return
    for argument in command:
        name, separator, _ = argument.partition(":=")
        if separator and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "see --show-args"
            raise LaunchArgumentError(f"launch argument {name} is unknown; {hint}")


def check_file(name: str, path: str) -> None:
    """Raise LaunchArgumentError if `path`, the value of launch argument `name`, does not exist."""
    if not Path(path).exists():
        raise LaunchArgumentError(f"{name}:={path}: no such file (working directory: {Path.cwd()})")


def parse_flag(name: str, text: str) -> bool:
    """Return launch argument `name` as a bool. LaunchArgumentError: it is neither `true` nor `false`."""
    if text.lower() not in ("true", "false"):
        raise LaunchArgumentError(f"{name}:={text}: use true or false")
    return text.lower() == "true"


def parse_positive_integer(name: str, text: str) -> int:
    """Return launch argument `name` as an integer. LaunchArgumentError: it is not a whole number above 0."""
    if not text.isdigit() or int(text) == 0:
        raise LaunchArgumentError(f"{name}:={text}: use a whole number above 0")
    return int(text)


def parse_value(name: str, text: str) -> object:
    """Return launch argument `name`, the value of a node parameter, parsed as YAML. LaunchArgumentError: it is not."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LaunchArgumentError(f"{name}:={text}: not valid YAML; write lists as [a, b] ({error})") from error


def positive_number(text: str) -> float:
    """Return a finite number above 0; a type for argparse, which adds the name of the option to its errors."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value

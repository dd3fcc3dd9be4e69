"""The `ast_net` command.

In: a command line. Out: the exit code: 0, 1 for an error that the message names with its mend, 2 for a wrong option.

A command lives in the module of its field and is named in `_COMMANDS`; that module is imported when the command is
used, so `ast_net --help` needs neither torch nor OpenCV.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import click

# name: (module, attribute, the line shown in the list of commands)
_COMMANDS = {
    "annotate": (
        "ast_net_ros.evaluation.commands",
        "annotate",
        "Estimate valence and arousal in a video file or webcam.",
    ),
    "evaluate": (
        "ast_net_ros.evaluation.evaluate_command",
        "evaluate",
        "Evaluate rosbag2 recordings and videos: figures and a report.",
    ),
    "train-attributes": (
        "ast_net_ros.training.commands",
        "train_attributes_command",
        "Stage 1: train the discrete-emotion CNN on labelled faces.",
    ),
    "evaluate-attributes": (
        "ast_net_ros.training.commands",
        "evaluate_attributes_command",
        "Accuracy and calibration of the discrete emotions on labelled faces.",
    ),
    "train-temporal": (
        "ast_net_ros.training.commands",
        "train_temporal_command",
        "Stage 2: train the stacked LSTM on clips.",
    ),
    "evaluate-temporal": (
        "ast_net_ros.temporal_evaluation.command",
        "evaluate_temporal_command",
        "Accuracy, calm, confidence and rate independence on held-out people.",
    ),
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])


def package_version() -> str:
    """The version of the installed package, or of the checkout that this file lies in."""
    try:
        return metadata.version("ast_net_ros")
    except metadata.PackageNotFoundError:
        manifest = Path(__file__).resolve().parent.parent / "package.xml"
        return ElementTree.parse(manifest).findtext("version", "unknown") if manifest.is_file() else "unknown"


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"ast_net {package_version()}")
        ctx.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def ast_net() -> None:
    """Continuous valence and arousal of faces in video."""


def main() -> None:
    """Runs the command line and exits."""
    # The libraries' own complaints about a bad file would hide the message that names it. Read when OpenCV is loaded.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        ast_net(prog_name="ast_net")
    except Exception as error:
        message = user_message(error)
        if message is None:
            raise
        click.echo(f"Error: {message}", err=True)
        sys.exit(1)


def user_message(error: Exception) -> str | None:
    """What to tell the user of `error`, or None for a fault of the program, whose traceback is wanted.

    The errors that this package defines are worded for its users; so are the system's on files.
    """
    if type(error).__module__.split(".")[0] == __package__:
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"{error}; the Python environment is incomplete, run `make setup` or pip install it"
    if isinstance(error, ImportError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return None

"""The command line `ast_net`.

Exit codes: 0; 1 for an error that the message explains; 2 for a wrong option. Each command is imported when it is used,
so that `ast_net --help` loads neither torch nor OpenCV.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import click

# name: (module, attribute)
_COMMANDS = {
    "annotate": ("evaluation.annotate_command", "annotate"),
    "evaluate": ("evaluation.evaluate_command", "evaluate"),
    "evaluate-affect": ("evaluation.evaluate_command", "evaluate_affect"),
    "rate": ("rating.command", "rate"),
    "agree": ("evaluation.agreement.command", "agree"),
    "train-attributes": ("training.commands", "train_attributes_command"),
    "evaluate-attributes": ("training.commands", "evaluate_attributes_command"),
    "train-temporal": ("training.commands", "train_temporal_command"),
    "evaluate-temporal": ("temporal_evaluation.command", "evaluate_temporal_command"),
    "fit": ("temporal_evaluation.fitting.command", "fit_command"),
}
_SUMMARIES = (
    "Estimate valence and arousal in videos, images or a webcam.",
    "Evaluate rosbag2 recordings and videos: metrics and a report.",
    "Measure valence and arousal on rated still faces.",
    "Rate valence and arousal in a recording, in the browser.",
    "Measure inter-rater agreement and compute a gold standard.",
    "Stage 1: train the discrete-emotion CNN on labelled faces.",
    "Measure accuracy and calibration of the emotions on labelled faces.",
    "Stage 2: train the stacked LSTM on clips.",
    "Measure accuracy, smoothness and confidence on held-out people.",
    "Fit the network to ratings of your own recordings.",
)

# former name: present one, of all commands; accepted until the next release
_RENAMED_OPTIONS = {
    "--agreement": "--consistency",
    "--detection-side": "--detector-input-size",
    "--own-looks": "--independent-augmentation",
    "--pairs": "--smile-pairs",
    "--smoothing": "--smoothing-time-constant",
    "--start-from": "--init-from",
}
_MOVED_COMMANDS = {"bench": "make bench", "ablate": "python tools/run.py ablation"}

# top-level module: extra of this package that installs it
_EXTRAS = {
    **dict.fromkeys(("aiohttp", "av"), "rate"),
    **dict.fromkeys(("lz4", "mcap", "rosbags", "ruamel", "scipy", "zstandard"), "evaluate"),
    "lightning_fabric": "train",
    "ray": "ray",
    "rerun": "viewer",
    "torch": "torch",
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _MOVED_COMMANDS:
            ctx.fail(
                f"'{cmd_name}' is no longer an ast_net command; in the repository, run {_MOVED_COMMANDS[cmd_name]}"
            )
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        return getattr(importlib.import_module(f"{__package__}.{module}"), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, arguments = super().resolve_command(ctx, args)
        return name, command, [_current_option(argument) for argument in arguments]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(zip(_COMMANDS, _SUMMARIES)))


def _current_option(argument: str) -> str:
    """Replace the former name of an option, with a warning."""
    old, equals, value = argument.partition("=")
    if old not in _RENAMED_OPTIONS:
        return argument
    new = _RENAMED_OPTIONS[old]
    click.echo(f"Warning: {old} is now {new}; the old name will be removed in the next release.", err=True)
    return new + equals + value


def package_version() -> str:
    """Return the version of the installed package, or of the checkout that contains this file."""
    try:
        return metadata.version("ast_net_ros")
    except metadata.PackageNotFoundError:
        manifest = Path(__file__).resolve().parent.parent / "package.xml"
        return ElementTree.parse(manifest).findtext("version", "unknown") if manifest.is_file() else "unknown"


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_version(), message="ast_net %(version)s", help="Show the version.")
def ast_net() -> None:
    """Estimate continuous valence and arousal of faces in video."""


def main() -> None:
    """Run the command line and exit."""
    # The libraries' own messages about a bad file would hide ours. OpenCV reads this when it is loaded.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        ast_net(prog_name="ast_net")
    except Exception as error:
        if (message := user_message(error)) is None:
            raise
        click.echo(f"Error: {message}", err=True)
        sys.exit(1)


def user_message(error: Exception) -> str | None:
    """Return the message for an error that the user can fix; None for a bug, whose traceback is needed.

    Errors that this package defines, and system errors about files, are the user's.
    """
    if type(error).__module__.split(".")[0] == __package__:
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        if extra := _EXTRAS.get((error.name or "").split(".")[0]):
            return f"{error}: pip install 'ast_net_ros[{extra}]', or run `make setup` in a checkout"
        return f"{error}; the Python environment is incomplete: reinstall with pip, or run `make setup` in a checkout"
    if isinstance(error, ImportError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return None

"""Options that several commands of training and its tools share, declared once so that they mean the same.

Only click is imported here, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE_OR_FOLDER = click.Path(exists=True, path_type=Path)
SHOW_DEFAULTS = {"show_default": True}  # context settings of all training commands

cnn_option = click.option(
    "--cnn", "cnn_path", type=FILE, required=True, help="cnn.safetensors of `ast_net train-attributes`."
)
cache_option = click.option("--cache", type=FOLDER, help="Folder of cached features.  [default: OUTPUT/features]")
label_delay_option = click.option("--label-delay", default=0.0, help="Seconds by which labels lag behind the face.")
versions_option = click.option("--versions", type=click.IntRange(1), default=4, help="Augmented versions of each face.")
training_device_option = click.option("--device", default="cpu", help="cpu, cuda or cuda:N.")


def clip_options(command: Command) -> Command:
    """Add the options for the length and the clips of a Siamese training: the first fields of TemporalTraining."""
    for name, least, default, text in (
        ("--largest-shift", 1, 50, "Maximum shift between the two clips, in model steps."),
        ("--clip-steps", 2, 150, "Length of a clip in model steps."),
        ("--batch", 1, 48, "Clips per batch and process."),
        ("--iterations", 1, 1500, "Optimizer steps."),
    ):
        command = click.option(name, type=click.IntRange(least), default=default, help=text)(command)
    return command

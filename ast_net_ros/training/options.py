"""Options that several commands of training and its tools share, declared once so that they mean the same.

Only click is imported here, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

Command = Callable[..., Any]
Settings = TypeVar("Settings")

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


def from_options(kind: type[Settings], given: Mapping[str, Any]) -> Settings:
    """Make the dataclass `kind` of the options that are named like its fields; other fields keep their defaults."""
    names = [field.name for field in fields(kind) if field.name in given]  # type: ignore[arg-type]
    return kind(**{name: given[name] for name in names})


class RenamedOptionsCommand(click.Command):
    """A command that accepts former names of its options, with a warning; renamed: new name by former name."""

    def __init__(self, *args: Any, renamed: Mapping[str, str], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.renamed = renamed

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Replace former names before click parses the arguments."""
        current = []
        for argument in args:
            name, equals, value = argument.partition("=")
            if name in self.renamed:
                click.echo(f"{name} is now {self.renamed[name]}; the next release drops the old name", err=True)
            current.append(self.renamed.get(name, name) + equals + value)
        return super().parse_args(ctx, current)

"""Generates the reference pages: messages, parameters, command line, executables, launch files.

A page in docs/ contains marks such as `<!-- generate: parameters -->`; when the site is built, each is replaced by the
Markdown that the function of that name returns.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
from figures import FIGURES
from launch_arguments import launch_arguments

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class MessageEntry:
    """A field or a constant of a message, with the comment above it. `value` is empty for a field."""

    type_name: str
    name: str
    value: str
    comment: str


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    columns = list(head)
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


# Messages


def cards(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table that docs/stylesheets/site.css shows as one card per row on a narrow screen."""
    return f'<div class="cards" markdown="1">\n\n{table(head, rows)}\n</div>\n'


def read_message(text: str) -> tuple[str, list[MessageEntry]]:
    """Return the comment on the whole message, and its fields and constants in order."""
    about, entries, comments = "", [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            comments.append(line.lstrip("# "))
            continue
        if line.strip():
            declaration, _, value = line.partition("=")
            type_name, name = declaration.split()
            entries.append(MessageEntry(type_name, name, value.strip().strip('"'), " ".join(comments)))
        elif not about and not entries:
            about = " ".join(comments)
        if not line.strip() or "=" not in line:
            comments = []
    return about, entries


def messages() -> str:
    """Return every message of msg/ and every service of srv/ with its fields and constants."""
    parts = []
    for path in [*sorted((ROOT / "msg").glob("*.msg")), *sorted((ROOT / "srv").glob("*.srv"))]:
        kind = path.suffix[1:]
        about = f"## {path.stem}\n\n`ast_net_ros/{kind}/{path.stem}`: "
        for number, text in enumerate(path.read_text(encoding="utf-8").split("---\n")):
            comment, entries = read_message(text)
            parts.append(f"Response:\n\n{_fields(entries)}" if number else f"{about}{comment}\n\n{_fields(entries)}")
    return "\n".join(parts)


def _fields(entries: list[MessageEntry]) -> str:
    fields, constants = [e for e in entries if not e.value], [e for e in entries if e.value]
    text = cards(("field", "type", "meaning"), ((f"`{e.name}`", f"`{e.type_name}`", e.comment) for e in fields))
    if constants:
        rows = ((f"`{e.name}`", f"`{e.value}`") for e in constants)
        text += f"\nConstants:\n\n{table(('constant', 'value'), rows)}"
    return text


def default_text(value: object) -> str:
    """Return a parameter's default as it is written in YAML."""
    return json.dumps(value)


def parameters() -> str:
    """Return the parameters of the node, one table for each time at which they may change."""
    from ast_net_ros.ros.parameters import PARAMETERS

    parts = []
    for change in dict.fromkeys(spec.change for spec in PARAMETERS):
        rows = (
            (
                f"`{spec.name}`",
                spec.type_name,
                f"`{default_text(spec.default)}`",
                f"{spec.allowed} {spec.unit}".strip(),
                spec.description,
            )
            for spec in PARAMETERS
            if spec.change is change
        )
        parts.append(f"## {change.value[0].upper()}{change.value[1:]}\n")
        parts.append(cards(("parameter", "type", "default", "allowed", "meaning"), rows))
    return "\n".join(parts)


# Command line


def commands() -> dict[str, click.Command]:
    """Return the commands of `ast_net` by name."""
    from ast_net_ros.cli import ast_net

    context = click.Context(ast_net, info_name="ast_net")
    found = {name: ast_net.get_command(context, name) for name in ast_net.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def command_line() -> str:
    """Return every command of `ast_net` with its arguments and options."""
    return "\n".join(_command(name, command) for name, command in commands().items())


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"ast_net {name}")
    usage = " ".join(["ast_net", name, *command.collect_usage_pieces(context)])
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    text = re.sub(r"\n(?=\S)", " ", inspect.cleandoc(command.help or "").replace("\b\n", ""))
    rows = (
        (
            ", ".join(f"`{opt}`" for opt in [*sorted(option.opts, key=len, reverse=True), *option.secondary_opts]),
            f"`{_value(option.make_metavar(context))}`" if not option.is_flag else "",
            _default(option),
            option.help or "",
        )
        for option in options
    )
    options_table = cards(("option", "value", "default", "meaning"), rows)
    return f"## ast_net {name}\n\n```text\n{usage}\n```\n\n{text}\n\n{options_table}"


def _value(metavar: str) -> str:
    """Return a metavar without `|`, which a Markdown table takes for a border even in code."""
    return metavar.strip("[]").replace("|", ", ")


def _default(option: click.Option) -> str:
    if option.required:
        return "required"
    if (
        option.is_flag
        or option.default is None
        or callable(option.default)
        or type(option.default).__name__ == "Sentinel"
    ):
        return ""
    return f"`{option.default}`" if option.default not in ("", (), []) else ""


# Executables and launch files


def executable_names() -> list[str]:
    """Return what CMakeLists.txt installs for `ros2 run ast_net_ros`."""
    return re.findall(r"^  scripts/(\w+)$", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"), re.MULTILINE)


def executables() -> str:
    """Return the help of every executable except the node and the command line, which have their own pages."""
    names = [name for name in executable_names() if name not in ("ast_net", "ast_net_node")]
    with ThreadPoolExecutor() as pool:
        helps = list(pool.map(_help, names))
    return "\n".join(f"## {name}\n\n```text\n{text}\n```\n" for name, text in zip(names, helps))


def _help(name: str) -> str:
    command = [sys.executable, str(ROOT / "scripts" / name), "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd="/", env=_wide_environment(), check=False)
    if ran.returncode != 0:
        raise RuntimeError(f"{name} --help ended with {ran.returncode}: {ran.stderr.strip()[-500:]}")
    return ran.stdout.strip()


def _wide_environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "100"}


def launch_files() -> str:
    """Return every launch file with its arguments."""
    parts = []
    for path in sorted((ROOT / "launch").glob("*.launch.py")):
        about = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").replace("\n\n", "\n\n")
        rows = (
            (f"`{name}`", f"`{default}`" if default else "", meaning)
            for name, (default, meaning) in launch_arguments(path).items()
        )
        parts.append(f"## {path.name}\n\n{about}\n\n{cards(('argument', 'default', 'meaning'), rows)}")
    return "\n".join(parts)


def _example(name: str) -> Callable[[], str]:
    def example() -> str:
        return f"```python\n{(ROOT / 'examples' / f'{name}.py').read_text(encoding='utf-8').strip()}\n```\n"

    return example


def _figure(name: str) -> Callable[[], str]:
    def figure() -> str:
        return f'<figure class="drawing">{FIGURES[name]()}</figure>\n'

    return figure


def benchmark_targets() -> str:
    """Return the table of targets of every kept benchmark."""
    parts = []
    for page in sorted((ROOT / "benchmarks").glob("*/README.md")):
        targets = page.read_text(encoding="utf-8").partition("## Targets")[2].partition("\n## ")[0]
        parts.append(targets.strip() + "\n")
    return "\n".join(parts)


def from_changelog(text: str) -> str:
    """Return CHANGELOG.rst, which has three levels of headings and items, as Markdown."""
    text = re.sub(r"^\^+\n(.+)\n\^+$", r"# \1", text, flags=re.MULTILINE)
    text = re.sub(r"^(.+)\n-{3,}$", r"## \1", text, flags=re.MULTILINE)
    text = re.sub(r"^(.+)\n~{3,}$", r"### \1", text, flags=re.MULTILINE)
    return text.replace("``", "`")


GENERATORS: dict[str, Callable[[], str]] = {
    "messages": messages,
    "parameters": parameters,
    "command_line": command_line,
    "executables": executables,
    "launch_files": launch_files,
    "benchmark targets": benchmark_targets,
    "example analyse_results": _example("analyse_results"),
    "example behavior_node": _example("behavior_node"),
    "example greeter": _example("greeter"),
    "figure network": _figure("network"),
    "figure image_path": _figure("image_path"),
    "figure clip_path": _figure("clip_path"),
    "figure modules": _figure("modules"),
}
MARK = re.compile(r"^<!-- generate: ([\w ]+) -->$", re.MULTILINE)


def expand(markdown: str) -> str:
    """Return the text with every mark replaced. Raises KeyError for a mark without a generator."""
    return MARK.sub(lambda match: GENERATORS[match[1]](), markdown)

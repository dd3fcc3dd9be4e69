"""The reference pages equal the code, and the commands and links in the documentation name things that exist."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from ast_net_ros.ros.parameters import PARAMETERS

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "QUALITY_DECLARATION.md"]
)


def load(name: str) -> ModuleType:
    """A module of tools/setup/docs, which is no package."""
    folder = str(ROOT / "tools" / "docs")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


reference, links, figures = load("reference"), load("links"), load("figures")


def rows_of(markdown: str) -> list[list[str]]:
    """The cells of every row of every table, without code marks."""
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    return [
        [cell.strip().replace("\\|", "|").strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines
    ]


@pytest.mark.parametrize("name", ["ValenceArousal", "ValenceArousalArray"])
def test_the_page_on_messages_has_every_field_and_constant_of_the_built_message(name: str) -> None:
    message = getattr(importlib.import_module("ast_net_ros.msg"), name)
    section = re.split(rf"^## {name}$", reference.messages(), flags=re.MULTILINE)[1].split("\n## ")[0]
    rows = {row[0]: row[1:] for row in rows_of(section)}
    fields = message.get_fields_and_field_types()
    assert set(fields) <= set(rows)
    for field in fields:
        assert len(rows[field][1]) > 10, f"{name}.{field} is not explained"
    constants = {key: getattr(message, key) for key in vars(type(message)) if re.fullmatch("[A-Z]+", key)}
    assert (len(constants) == 8) == (name == "ValenceArousal")
    for key, value in constants.items():
        assert rows[key] == [str(value)], f"{name}.{key}"


def test_the_page_on_parameters_has_every_parameter_with_its_default_range_and_meaning() -> None:
    rows = {row[0]: row for row in rows_of(reference.parameters())}
    for spec in PARAMETERS:
        _, kind, default, allowed, meaning = rows[spec.name]
        assert (kind, meaning) == (spec.type_name, spec.description)
        assert allowed == f"{spec.allowed} {spec.unit}".strip()
        assert default == reference_default(spec.default)
    assert len(rows) == len(PARAMETERS) + 1  # the head


def reference_default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return '[""]' if value == [""] else f'"{value}"' if isinstance(value, str) else repr(value)


def test_the_page_on_the_command_line_has_every_option_with_its_meaning() -> None:
    text = reference.command_line()
    for name, command in reference.commands().items():
        section = re.split(rf"^## ast_net {name}$", text, flags=re.MULTILINE)[1].split("\n## ")[0]
        rows = {row[0].split("`")[0]: row for row in rows_of(section)}
        for option in (p for p in command.params if isinstance(p, click.Option)):
            longest = max(option.opts, key=len)
            assert longest in rows, f"ast_net {name} {longest}"
            assert rows[longest][3] == (option.help or "").replace("\n", " ")


def test_launch_arguments_are_read_as_the_launch_files_declare_them() -> None:
    arguments = reference.launch_arguments(ROOT / "launch" / "camera.launch.py")
    assert arguments["video_device"] == ("/dev/video0", "the camera")
    assert arguments["driver"][0] == "usb_cam"
    assert reference.launch_arguments(ROOT / "launch" / "demo.launch.py")["video"][0] == "required"
    declared = set(re.findall(r"LaunchConfiguration\(\"(\w+)\"\)", (ROOT / "launch" / "ast_net.launch.py").read_text()))
    assert declared <= set(reference.launch_arguments(ROOT / "launch" / "ast_net.launch.py"))


def test_every_name_on_the_python_page_exists() -> None:
    named = re.findall(r"^::: ([\w.]+)$", (ROOT / "docs" / "reference" / "python.md").read_text(), re.MULTILINE)
    assert len(named) > 15
    for path in named:
        module, _, attribute = path.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__, path


def test_every_page_is_in_the_navigation_and_every_mark_has_a_generator() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in ROOT.glob("docs/**/*.md"):
        assert f": {page.relative_to(ROOT / 'docs')}" in navigation, f"{page.name} is not in mkdocs.yml"
        for mark in reference.MARK.findall(page.read_text()):
            assert mark in reference.GENERATORS


def test_the_figure_of_the_parts_shows_the_rules_that_the_imports_are_held_to() -> None:
    allowed, _ = figures.import_rules()
    drawn = figures.modules()
    assert drawn.count('class="d-dot"') == sum(map(len, allowed.values()))
    for part in allowed:
        assert f">{part}<" in drawn and part in figures.PURPOSES, (
            f"tools/docs/figures.py: say in PURPOSES what {part} is for"
        )


def test_the_figure_of_the_network_has_the_sizes_of_the_packaged_weights() -> None:
    from ast_net_ros.model import load_model

    config, drawn = load_model(device="cpu").config, figures.network()
    assert f"{config.attributes} features" in drawn and f"{config.hidden} units" in drawn
    assert all(f"{width} ch." in drawn for width in config.widths)
    assert len(re.findall(r">LSTM \d<", drawn)) == config.layers


def test_links_into_the_project_become_links_of_the_site() -> None:
    text = "[a](../../ast_net_ros/pipeline.py#L3) [b](../behaviours.md#x) [c](https://a.b) [d](../../CONTRIBUTING.md)"
    assert links.rewrite(text, "docs/how-to/viewer.md", "how-to/viewer.md") == (
        "[a](../source/ast_net_ros/pipeline.py.md#__codelineno-0-3) [b](../behaviours.md#x) [c](https://a.b) "
        "[d](../contributing.md)"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    origin = page.relative_to(ROOT).as_posix()
    for target in re.findall(
        r"\]\((?!https?:|mailto:|#)([^)\s#]+)", re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    ):
        assert (ROOT / links.resolved(target, origin)).exists(), f"{origin}: {target}"


# Commands


def commands_of(page: Path) -> Iterator[list[str]]:
    """The commands in the page's bash blocks, one after the other, as words; comments and continued lines undone."""
    for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            for index in [i for i, word in enumerate(words) if word in ("&&", ";", "|", "||", "&")][::-1]:
                yield words[index + 1 :]
                words = words[:index]
            yield words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_on_a_page_exist_with_their_options(page: Path) -> None:
    faults = [fault for words in commands_of(page) if words and (fault := fault_of(words))]
    assert not faults, faults


def fault_of(words: list[str]) -> str:
    """What is wrong with a command of this project; empty for one of others'."""
    head = words[0].rsplit("/", 1)[-1]
    if head == "ast_net":
        return fault_of_ast_net(words[1:])
    if head == "make":
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        unknown = [word for word in words[1:] if "=" not in word and word not in targets]
        return f"make {unknown}" if unknown else ""
    if words[:3] == ["ros2", "run", "ast_net_ros"]:
        return "" if words[3] in reference.executable_names() else f"no executable {words[3]}"
    if words[:3] == ["ros2", "launch", "ast_net_ros"]:
        path = ROOT / "launch" / words[3]
        if not path.is_file():
            return f"no launch file {words[3]}"
        known = set(reference.launch_arguments(path)) | set(
            reference.launch_arguments(ROOT / "launch" / "ast_net.launch.py")
        )
        unknown = [word for word in words[4:] if ":=" in word and word.partition(":=")[0] not in known]
        return f"{words[3]}: {unknown}" if unknown else ""
    if head in ("python", "python3") and len(words) > 1 and words[1].endswith(".py"):
        return "" if (ROOT / words[1]).is_file() else f"no file {words[1]}"
    if words[0].startswith("tools/setup/"):
        return "" if (ROOT / words[0]).is_file() else f"no file {words[0]}"
    return ""


def fault_of_ast_net(words: list[str]) -> str:
    commands = reference.commands()
    if not words or words[0].startswith("-"):
        return "" if set(words) <= {"--help", "-h", "--version"} else f"ast_net {words}"
    if words[0] not in commands:
        return f"no command ast_net {words[0]}"
    known = {"--help", "-h"} | {opt for p in commands[words[0]].params for opt in (*p.opts, *p.secondary_opts)}
    given = [word.partition("=")[0] for word in words[1:] if re.fullmatch(r"--?[a-zA-Z][\w-]*(=.*)?", word)]
    unknown = [option for option in given if option not in known]
    return f"ast_net {words[0]}: {unknown}" if unknown else ""

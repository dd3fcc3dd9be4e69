"""The generated reference covers the code, and links lead to files that exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from pages import PAGES, ROOT, docs_tool

from ast_net_ros.ros import diagnostics_keys
from ast_net_ros.ros.parameters import PARAMETERS

reference, links, figures, readme, launch_arguments = (
    docs_tool(name) for name in ("reference", "links", "figures", "readme", "launch_arguments")
)


def rows_of(markdown: str) -> dict[str, list[str]]:
    """The rows of every table by their first cell, without code marks."""
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    rows = [[c.strip().replace("\\|", "|").strip("`") for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("path", sorted(ROOT.glob("msg/*.msg")), ids=lambda path: path.stem)
def test_every_message_field_and_constant_is_documented(path: Path) -> None:
    message = getattr(importlib.import_module("ast_net_ros.msg"), path.stem)
    section = re.split(rf"^## {path.stem}$", reference.messages(), flags=re.MULTILINE)[1].split("\n## ")[0]
    rows = rows_of(section)
    for field in message.get_fields_and_field_types():
        assert rows[field][1], f"{path.stem}.{field} has no comment"
    for name in (key for key in vars(type(message)) if re.fullmatch("[A-Z][A-Z_]*", key)):
        assert rows[name] == [str(getattr(message, name))]


def test_every_parameter_is_documented() -> None:
    rows = rows_of(reference.parameters())
    assert {spec.name for spec in PARAMETERS} <= set(rows)
    assert all(spec.description in rows[spec.name] for spec in PARAMETERS)


def test_every_diagnostics_key_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "node.md").read_text(encoding="utf-8")
    keys = [value for name, value in vars(diagnostics_keys).items() if name.isupper()]
    assert [key for key in keys if f"`{key}`" not in page] == []


def test_readme_table_equals_the_parameters_of_the_node() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.updated(text) == text, "run `python tools/docs/readme.py`"


def test_launch_arguments_are_read_with_their_defaults() -> None:
    read = launch_arguments.launch_arguments
    assert read(ROOT / "launch" / "camera.launch.py")["video_device"][0] == "/dev/video0"
    assert read(ROOT / "launch" / "demo.launch.py")["video"][0] == "required"
    assert {"image", "namespace", "detection_interval"} <= set(read(ROOT / "launch" / "ast_net.launch.py"))


def test_every_name_on_the_python_page_exists_with_docstring() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    for path in re.findall(r"^::: ([\w.]+)$", page, re.MULTILINE):
        module, _, attribute = path.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__, path


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/**/*.md")]
    assert [page for page in pages if f": {page}" not in navigation] == []


def test_every_generate_mark_has_a_generator() -> None:
    marks = {mark for page in ROOT.glob("docs/**/*.md") for mark in reference.MARK.findall(page.read_text())}
    assert marks <= set(reference.GENERATORS)


def test_import_figure_draws_the_imports_of_the_source() -> None:
    parts, libraries = figures.imports()
    assert {"model", "vision"} <= parts["pipeline"] and "rclpy" in libraries["ros"]
    assert figures.modules().count('class="d-dot"') == sum(map(len, parts.values()))


@pytest.mark.parametrize("steps, limit", [(figures.IMAGE_PATH, 9), (figures.CLIP_PATH, 8)], ids=["image", "clip"])
def test_path_figure_names_existing_files_within_the_limit(steps: tuple, limit: int) -> None:
    files = [step.file for step in steps]
    assert [file for file in files if not (ROOT / "ast_net_ros" / file).is_file()] == []
    assert len(set(files)) <= limit


def test_network_figure_has_the_sizes_of_the_packaged_weights() -> None:
    from ast_net_ros.model import load_model

    config, drawn = load_model(device="cpu").config, figures.network()
    assert f"{config.attributes} features" in drawn and f"{config.hidden} units" in drawn
    assert all(f"{width} ch." in drawn for width in config.widths)


def test_links_into_the_repository_become_links_of_the_site() -> None:
    text = "[a](../../ast_net_ros/pipeline.py#L3) [b](../behaviours.md#x) [c](https://a.b) [d](../../CONTRIBUTING.md)"
    assert links.rewrite(text, "docs/how-to/viewer.md", "how-to/viewer.md") == (
        "[a](../source/ast_net_ros/pipeline.py.md#__codelineno-0-3) [b](../behaviours.md#x) [c](https://a.b) "
        "[d](../contributing.md)"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    origin = page.relative_to(ROOT).as_posix()
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)\s#]+)", prose)
    assert [target for target in targets if not (ROOT / links.resolved(target, origin)).exists()] == []


@pytest.mark.parametrize("page", ["docs/reliability.md", "docs/privacy.md", "SECURITY.md"])
def test_every_test_file_that_a_page_names_exists(page: str) -> None:
    named = re.findall(r"`(test/[\w/.*]+)`", (ROOT / page).read_text(encoding="utf-8"))
    assert named and [name for name in named if not list(ROOT.glob(name))] == []

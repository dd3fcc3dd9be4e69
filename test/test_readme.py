"""The README says what the code does: its tables and the files that it names."""

import re
from pathlib import Path

from ast_net_ros.ros.parameters import render_markdown

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_parameter_table_is_that_of_the_node():
    table = re.search(r"<!-- parameters:.*?-->\n(.*?)<!-- end of parameters -->", README, re.DOTALL)
    assert table and table[1].strip() == render_markdown().strip(), (
        "put the output of `python -m ast_net_ros.ros.parameters --markdown` between the marks in README.md"
    )


def test_every_link_to_a_file_of_the_project_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_every_command_of_make_that_is_named_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)\b", README)) <= targets


def test_the_readme_stays_short():
    assert len(README.splitlines()) < 250

"""Pages that promise something name tests, and these exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("docs/reliability.md", "docs/privacy.md", "SECURITY.md")


def names_in(file: str) -> set[str]:
    """The tests in the one file of that name."""
    (path,) = (ROOT / "test").glob(f"**/{file}")
    return set(re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for folder, file, name in re.findall(r"`([\w/]*/)?(test_\w+\.py)(?:::(\w+))?`", text):
        assert names_in(file), file
        assert not name or name in names_in(file), f"{page}: {file} has no {name}"
        assert not folder or (ROOT / folder / file).is_file(), f"{page}: no {folder}{file}"


def test_every_promise_of_reliability_names_what_holds_it() -> None:
    rows = [line for line in (ROOT / "docs/reliability.md").read_text(encoding="utf-8").splitlines() if "::" in line]
    assert len(rows) >= 30
    for row in (row for row in rows if row.startswith("|")):
        promise, held_by = row.strip("| ").split(" | ")
        shown = re.sub(r"`test_\w+\.py(::test_\w+)?`", "", held_by)
        assert "::" not in shown and "..." not in shown, f"{promise}: {shown}"


def test_the_figures_on_the_performance_page_are_the_kept_ones() -> None:
    """The page shows the targets of each machine; `make bench` writes them, nobody types them."""
    shown = (ROOT / "docs/performance.md").read_text(encoding="utf-8").splitlines()
    kept = sorted((ROOT / "benchmarks").glob("*/README.md"))
    assert kept
    for page in kept:
        targets = page.read_text(encoding="utf-8").partition("## Targets")[2].partition("\n## ")[0]
        rows = [line for line in targets.splitlines() if line.startswith("| ")]
        assert len(rows) > 10 and not [row for row in rows if row not in shown], page

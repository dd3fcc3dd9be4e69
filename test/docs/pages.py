"""The documentation's pages and their fenced code blocks, for the tests in this folder."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), ROOT / "ast_net_ros" / "weights" / "MODEL_CARD.md"],
)
_BLOCK = re.compile(
    r"^(?:<!-- run(?:: (?P<wants>.*?))? -->\n)?```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.M | re.S
)
_MARK = re.compile(r"^<!-- run.*? -->\n", re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block. `marked`: stands below `<!-- run -->`; `wants`: what that mark asks for."""

    page: str
    number: int
    language: str
    text: str
    marked: bool
    wants: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.page}-{self.number}"


def blocks() -> Iterator[Block]:
    """Yield every fenced block of every page."""
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix()
        for number, match in enumerate(_BLOCK.finditer(page.read_text(encoding="utf-8")), 1):
            marked = bool(_MARK.match(match[0]))
            yield Block(name, number, match["language"], match["text"], marked, tuple((match["wants"] or "").split()))


def docs_tool(name: str) -> ModuleType:
    """Import a module of tools/docs, which is no package."""
    folder = str(ROOT / "tools" / "docs")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)

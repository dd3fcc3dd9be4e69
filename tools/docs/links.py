"""Rewrites links from the documentation into the repository so that they work on the site.

A page in docs/ links to files of the repository by relative paths, as it must to be readable there; on the site each
such file has a page of its own.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Files outside docs/ that are pages of the site.
SHOWN = {
    "CHANGELOG.rst": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "QUALITY_DECLARATION.md": "quality.md",
    "README.md": "readme.md",
    "SECURITY.md": "security.md",
    "ast_net_ros/weights/MODEL_CARD.md": "model-card.md",
}
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)((?:#[^)\s]*)?)(?=\))")
_LANGUAGES = {
    ".py": "python",
    ".msg": "text",
    ".srv": "text",
    ".yaml": "yaml",
    ".json": "json",
    ".xml": "xml",
    ".sh": "bash",
    ".toml": "toml",
}


def page_of(path: str) -> str | None:
    """Return the page (by its path in the site's sources) that shows the file `path`; None if there is none."""
    if path in SHOWN:
        return SHOWN[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"source/{path}.md" if (ROOT / path).is_file() else None


def resolved(target: str, origin: str) -> str:
    """Return the repository's file that a link in the file `origin` refers to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))


def linked_files(markdown: str, origin: str) -> Iterator[str]:
    """Yield the repository's files outside docs/ that the text links to."""
    for match in _LINK.finditer(markdown):
        path = resolved(match[1], origin)
        if (ROOT / path).is_file() and path not in SHOWN and not path.startswith("docs/"):
            yield path


def rewrite(markdown: str, origin: str, page: str) -> str:
    """Return the text of the repository's file `origin` with links as the page `page` needs them."""

    def on_site(match: re.Match[str]) -> str:
        path = resolved(match[1], origin)
        target = page_of(path)
        if target is None:
            return match[0]  # the build reports it as broken
        anchor = re.sub(r"^#L(\d+)$", r"#__codelineno-0-\1", match[2])
        return posixpath.relpath(target, posixpath.dirname(page) or ".") + anchor

    return _LINK.sub(on_site, markdown)


def source_page(path: str) -> str:
    """Return a source file as a page with line numbers, excluded from the search."""
    language = _LANGUAGES.get(Path(path).suffix, "bash" if path.startswith("scripts/") else "text")
    text = (ROOT / path).read_text(encoding="utf-8").rstrip("\n")
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", text)), 3)
    head = f"---\ntitle: {Path(path).name}\nsearch:\n  exclude: true\nhide: [toc]\n---\n\n"
    return f'{head}# `{path}`\n\n{fence}{language} linenums="1"\n{text}\n{fence}\n'

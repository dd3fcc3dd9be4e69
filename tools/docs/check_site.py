"""Checks the built documentation: every internal link has a target, and no page loads anything from other hosts.

Prints one line per fault and exits with 1 if there are any. MkDocs checks the links in the pages' sources; this
sees the built pages, with generated tables and the search index.
"""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a page loads when it is opened; an <a> is followed only on a click.
_LOADED = {("img", "src"), ("script", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")}


class _Page(HTMLParser):
    """A parsed page. ids: possible link targets. links: (tag, address) of everything the page links or loads."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and (name == "id" or (tag == "a" and name == "name")):
                self.ids.add(value)
            if value and ((tag, name) in _LOADED or (tag, name) == ("a", "href")):
                self.links.append((tag, value))


def faults(site: Path) -> tuple[list[str], int]:
    """Return what is wrong, and the number of links checked."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found, count = [], 0
    for path, page in pages.items():
        if path.name == "404.html":  # its addresses start at the root of a server
            continue
        for tag, address in page.links:
            count += 1
            fault = _fault(path, tag, address, pages)
            if fault:
                found.append(f"{path.relative_to(site)}: {address}: {fault}")
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    for document in index["docs"]:
        if not (site / urlsplit(document["location"]).path).exists():
            found.append(f"search index: {document['location']}: no such page")
    return found, count


def _fault(path: Path, tag: str, address: str, pages: dict[Path, _Page]) -> str:
    parts = urlsplit(address)
    if parts.scheme in ("mailto", "data", "javascript"):
        return ""
    if parts.scheme or parts.netloc:
        return "" if tag == "a" else "is loaded from another host when the page is opened"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        return "has no target"
    if tag == "a" and parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        return "no such anchor on that page"
    return ""


def main() -> int:
    """Check the site in the folder given on the command line."""
    site = Path(sys.argv[1]).resolve()
    found, count = faults(site)
    for fault in found:
        print(f"[docs] {fault}", file=sys.stderr)
    print(f"[docs] {site}: {count} links, {len(found)} of them broken")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

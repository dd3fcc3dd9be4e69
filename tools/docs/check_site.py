"""Checks the built documentation: every link inside it leads somewhere, and no page fetches anything from elsewhere.

In: the folder of the built site. Out: exit code 0 and a line of counts, or 1 and a line for each fault. MkDocs checks
the links in the pages' sources; this one sees the built pages, with generated tables and the search index.
"""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a page loads by itself when it is opened; an <a> only leads away when somebody clicks.
_LOADED = {("img", "src"), ("script", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")}


class _Page(HTMLParser):
    """ids: what a link may point to. links: (tag, address) of everything that the page links or loads."""

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
    """What is wrong, and how many links were looked at."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found, count = [], 0
    for path, page in pages.items():
        if path.name == "404.html":  # its addresses begin at the root of a server
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
        return "" if tag == "a" else "is loaded from elsewhere when the page is opened"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        return "leads nowhere"
    if tag == "a" and parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        return "no such place on that page"
    return ""


def main() -> int:
    site = Path(sys.argv[1]).resolve()
    found, count = faults(site)
    for fault in found:
        print(f"[docs] {fault}", file=sys.stderr)
    print(f"[docs] {site}: {count} links, {len(found)} of them broken")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

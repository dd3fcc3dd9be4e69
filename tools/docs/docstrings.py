"""Docstrings for the reference: this project explains fields as lines of `name: meaning`, which become lists.

In: docstrings as griffe collects them. Out: the same with every such line a list item and its continuation lines in it.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_FIELD = re.compile(r"^(?P<names>[a-z_][\w]*(?:, [a-z_][\w]*)*): (?=\S)")


def with_lists(text: str) -> str:
    """The text with runs of `name: meaning` as a list."""
    lines: list[str] = []
    in_list = False
    for line in text.splitlines():
        match = _FIELD.match(line)
        if match:
            if not in_list and lines and lines[-1].strip():
                lines.append("")
            names = ", ".join(f"`{name}`" for name in match["names"].split(", "))
            lines.append(f"- {names}: {line[match.end() :]}")
            in_list = True
        elif in_list and line.strip():
            lines.append(f"  {line.strip()}")
        else:
            in_list = False
            lines.append(line)
    return "\n".join(lines)


class FieldLists(griffe.Extension):
    """The extension that mkdocs.yml names."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = with_lists(obj.docstring.value)

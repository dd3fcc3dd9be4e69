"""Writes the generated parts of README.md: the parameter table.

python tools/docs/readme.py            # updates README.md
python tools/docs/readme.py --check    # exits with 1 if it is out of date
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from reference import cards, default_text

README = Path(__file__).resolve().parents[2] / "README.md"
_MARKED = re.compile(r"(<!-- parameters:.*?-->\n).*?(<!-- end of parameters -->)", re.DOTALL)
_CHANGES = {"LIVE": "live", "UNCONFIGURED": "configure", "START": "start"}


def parameter_table() -> str:
    """Return all parameters of the node as one Markdown table."""
    from ast_net_ros.ros.parameters import PARAMETERS

    rows = (
        (
            f"`{spec.name}`",
            f"`{default_text(spec.default)}`",
            f"{spec.allowed} {spec.unit}".strip(),
            _CHANGES[spec.change.name],
            spec.description,
        )
        for spec in PARAMETERS
    )
    return cards(("parameter", "default", "allowed", "change", "meaning"), rows)


def updated(text: str) -> str:
    """Return the README with the present parameter table. Raises ValueError if the marks are missing."""
    if not _MARKED.search(text):
        raise ValueError("README.md has no marks `<!-- parameters: -->` and `<!-- end of parameters -->`")
    return _MARKED.sub(lambda match: f"{match[1]}{parameter_table()}{match[2]}", text)


def main() -> int:
    """Update README.md, or with --check compare it."""
    text = README.read_text(encoding="utf-8")
    new = updated(text)
    if "--check" in sys.argv[1:]:
        if new != text:
            print("README.md: the parameter table is out of date; run `python tools/docs/readme.py`", file=sys.stderr)
        return int(new != text)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

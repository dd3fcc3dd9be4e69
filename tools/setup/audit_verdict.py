"""What pip-audit found, in words and as an exit code: `python tools/setup/audit_verdict.py out/audit/pip-audit.json`.

Exit code: 0 when nothing is known against the packages that the service knows, 1 when something is, 3 when it was not
asked or knew none of them. pip-audit itself ends well where its service knows no package at all; that is no pass.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def verdict(path: Path) -> tuple[int, str]:
    """(exit code, what to tell the user)."""
    try:
        packages = json.loads(path.read_text(encoding="utf-8"))["dependencies"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return 3, f"NOT CHECKED: the vulnerability service gave no answer ({type(error).__name__}); nothing is known"
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    if len(skipped) == len(packages):
        return (
            3,
            f"NOT CHECKED: the vulnerability service knows none of the {len(packages)} packages; it is out of reach",
        )
    found = [f"{one['name']} {one['version']}: {bug['id']}" for one in packages for bug in one.get("vulns", ())]
    rest = f"; {len(skipped)} are unknown to the service: {', '.join(skipped)}" if skipped else ""
    if found:
        return 1, "FOUND, raise the bounds in tools/setup/requirements: " + ", ".join(found) + rest
    return 0, f"nothing is known against {len(packages) - len(skipped)} packages{rest}"


if __name__ == "__main__":
    code, text = verdict(Path(sys.argv[1]))
    print(f"[audit] {text}", file=sys.stderr if code else sys.stdout)
    sys.exit(code)

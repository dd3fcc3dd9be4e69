"""Print the result of pip-audit: `python tools/setup/audit_verdict.py out/audit/pip-audit.json`.

Exit code: 0 for no known vulnerability, 1 for some, 3 when the service did not answer or knows none of the packages.
pip-audit itself succeeds when its service knows no package at all; that is not a pass.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def verdict(path: Path) -> tuple[int, str]:
    """Summarise the report of pip-audit.

    Args:
        path: The JSON report.

    Returns:
        The exit code and the message for the user.
    """
    try:
        packages = json.loads(path.read_text(encoding="utf-8"))["dependencies"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return 3, f"NOT CHECKED: the vulnerability service gave no answer ({type(error).__name__})"
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    if len(skipped) == len(packages):
        return (
            3,
            f"NOT CHECKED: the vulnerability service knows none of the {len(packages)} packages; it may be unreachable",
        )
    found = [f"{one['name']} {one['version']}: {bug['id']}" for one in packages for bug in one.get("vulns", ())]
    rest = f"; {len(skipped)} are unknown to the service: {', '.join(skipped)}" if skipped else ""
    if found:
        return 1, "FOUND, raise the lower bounds in tools/setup/requirements: " + ", ".join(found) + rest
    return 0, f"no known vulnerability in {len(packages) - len(skipped)} packages{rest}"


if __name__ == "__main__":
    code, text = verdict(Path(sys.argv[1]))
    print(f"[audit] {text}", file=sys.stderr if code else sys.stdout)
    sys.exit(code)

"""`make audit`: an answer without information never counts as a pass."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CLEAN = {"name": "click", "version": "8.1", "vulns": []}
BAD = {"name": "torch", "version": "2.0", "vulns": [{"id": "PYSEC-2000-1"}]}
UNKNOWN = {"name": "own", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([CLEAN], 0, "no known vulnerability in 1 packages"),
        ([CLEAN, UNKNOWN], 0, "1 are unknown to the service: own"),
        ([CLEAN, BAD], 1, "torch 2.0: PYSEC-2000-1"),
        ([BAD, UNKNOWN], 1, "FOUND"),
        ([UNKNOWN, UNKNOWN], 3, "NOT CHECKED"),
        ([], 3, "NOT CHECKED"),
        (None, 3, "gave no answer"),
    ],
)
def test_verdict_names_known_vulnerabilities(
    packages: list[dict] | None, code: int, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "pip-audit.json"
    if packages is not None:
        path.write_text(json.dumps({"dependencies": packages}))
    command = [sys.executable, str(ROOT / "tools" / "setup" / "audit_verdict.py"), str(path)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == code and words in ended.stdout + ended.stderr

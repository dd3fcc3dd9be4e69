"""The soak test: all of `make soak` in half a minute, and checks that fail when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soak.report import CameraRun, SoakRun, report
from soak.watch import Issues, Sample, SeenFace

RUNNER = str(Path(__file__).parents[2] / "tools" / "run.py")
SECOND = 10**9


def test_a_short_soak_passes_and_writes_its_metrics(
    client: Any, start: Any, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AST_NET_MEDIA", str(media))
    monkeypatch.delenv("ROS_DOMAIN_ID")
    options = ("--minutes", "0.25", "--pace", "6", "--cameras", "2", "--output", str(tmp_path / "soak"))
    soak = start(RUNNER, "soak", *options)
    assert soak.process.wait(180) == 0, soak.log[-4000:]
    results = json.loads((tmp_path / "soak" / "soak.json").read_text())
    assert results["passed"] and results["responses"] > 20
    assert {"reset", "parameter set", "subscriber joins"} <= set(results["events"])
    assert (tmp_path / "soak" / "soak.png").stat().st_size > 20_000


def _run(**changes: Any) -> SoakRun:
    """Thirty minutes without an issue: one camera with one image per second."""
    stamps = [1000 * SECOND + n * SECOND for n in range(1800)]
    observer: Any = _SeenNode(stamps)
    samples = [Sample(float(n), 400.0 + n % 3, 20 + n % 2, 22, n / 5, 20.0, n) for n in range(1800)]
    camera = CameraRun("/cam1", "film.mp4", 0.0, 1800.0, None, stamps)
    run = SoakRun(30.0, 0.0, 1000 * SECOND, samples, [camera], observer, [], 0.1, 2.0, 0, "[INFO] fine")
    return replace(run, **changes)


class _SeenNode:
    """What the report reads from an Observer, without a node."""

    def __init__(self, stamps: list[int]):
        self.responses = {"/cam1": list(stamps)}
        self.received_at = {"/cam1": [(s - stamps[0]) / SECOND + 0.1 for s in stamps]}
        self.faces = {"face_1": SeenFace({"/cam1"}, stamps[0], stamps[-1], SECOND)}
        self.issues = Issues()
        self.response_count = len(stamps)
        self.counts = {"received": len(stamps), "processed": len(stamps)}

    def value(self, status: str, key: str) -> float:
        return float(self.counts.get(key, 0))


def _failed(run: SoakRun) -> list[str]:
    return [check["name"] for check in report(run)["checks"] if not check["passed"]]


def test_a_run_without_issues_passes() -> None:
    assert _failed(_run()) == []


def _leaking(run: SoakRun) -> SoakRun:
    return replace(run, samples=[replace(s, memory=400 + s.seconds * 0.02) for s in run.samples])


def _more_threads(run: SoakRun) -> SoakRun:
    return replace(run, samples=[replace(s, threads=20 + int(s.seconds) // 300) for s in run.samples])


def _more_files(run: SoakRun) -> SoakRun:
    return replace(run, samples=[replace(s, files=20 + int(s.seconds) // 60) for s in run.samples])


def _slower(run: SoakRun) -> SoakRun:
    return replace(run, samples=[replace(s, latency=20 + s.seconds / 6) for s in run.samples])


def _lost_response(run: SoakRun) -> SoakRun:
    del run.observer.responses["/cam1"][700]
    return run


def _uncounted_loss(run: SoakRun) -> SoakRun:
    observer: Any = run.observer
    observer.counts = {"received": 1790, "processed": 1790}
    del observer.responses["/cam1"][700:710]
    return run


def _twice(run: SoakRun) -> SoakRun:
    run.observer.responses["/cam1"][5] = run.observer.responses["/cam1"][4]
    return run


def _not_a_number(run: SoakRun) -> SoakRun:
    run.observer.issues.add("not a number", "face_1")
    return run


def _shared_id(run: SoakRun) -> SoakRun:
    run.observer.faces["face_1"].cameras.add("/cam2")
    return run


def _returning_id(run: SoakRun) -> SoakRun:
    run.observer.faces["face_1"].longest_gap = 3 * SECOND
    return run


def _silent(run: SoakRun) -> SoakRun:
    moments = run.observer.received_at["/cam1"]
    moments[900:] = [moment + 8.0 for moment in moments[900:]]
    return replace(run, camera_runs=[replace(run.camera_runs[0], end=2000.0)])


@pytest.mark.parametrize(
    "spoil, failed",
    [
        (_leaking, "memory"),
        (_more_threads, "threads"),
        (_more_files, "files"),
        (_slower, "latency"),
        (_lost_response, "every received image"),
        (_uncounted_loss, "every sent image"),
        (_twice, "responses arrive once"),
        (_not_a_number, "is a number"),
        (_shared_id, "in two cameras"),
        (_returning_id, "returns after its track"),
        (_silent, "never without a response"),
        (lambda run: replace(run, log="Traceback (most recent call last):"), "no error and no exception"),
        (lambda run: replace(run, exit_code=1), "exits with code 0"),
        (lambda run: replace(run, slowest_service=30.0), "responds within"),
    ],
)
def test_checks_fail_on_each_kind_of_issue(spoil: Callable[[SoakRun], SoakRun], failed: str) -> None:
    names = _failed(spoil(_run()))
    assert any(failed in name for name in names), names

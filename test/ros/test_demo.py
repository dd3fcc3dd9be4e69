"""The demo, as `make demo` runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from ast_net_ros.evaluation.estimates import read_estimates

RUNNER = str(Path(__file__).parents[2] / "tools" / "run.py")


@pytest.fixture(scope="module")
def runs(start_for_module: Any, media: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Path]]:
    """The demo with a face and without one, at the same time, each in a ROS domain of its own."""
    started = {}
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("ROS_DOMAIN_ID")
        for video in ("single_face", "no_face"):
            out = tmp_path_factory.mktemp(video) / "out"
            started[video] = (
                start_for_module(RUNNER, "demo", "--video", str(media / f"{video}.mp4"), "--output", str(out)),
                out,
            )
    return started


def test_demo_writes_estimates_plots_and_metrics(runs: dict[str, tuple[Any, Path]]) -> None:
    demo, out = runs["single_face"]
    assert demo.process.wait(150) == 0, demo.log
    summary = json.loads((out / "summary.json").read_text())
    estimates = read_estimates(out / "estimates.csv")
    assert {path.name for path in out.iterdir()} == {
        "estimates.csv",
        "plot.png",
        "overlay.png",
        "summary.json",
    }
    assert summary["frames_published"] == 72
    assert len(estimates) == summary["estimates"] >= 0.9 * summary["frames_processed"] > 0
    assert summary["frames_processed"] + summary["frames_dropped"] <= 72
    assert len({row.face.face_id for row in estimates}) == summary["faces"]
    assert summary["latency_p95_ms"] >= summary["latency_median_ms"] > 0
    assert summary["device"] in ("cpu", "cuda:0") and len(summary["weights_sha256"]) == 64
    # Each row belongs to its frame: 30 frames per second, in order, without duplicates.
    assert all(row.time == pytest.approx(row.frame / 30, abs=2e-3) for row in estimates)
    assert [row.frame for row in estimates] == sorted({row.frame for row in estimates})
    assert estimates[-1].face.valence > estimates[0].face.valence, "neutral to a grin"
    for name in ("plot.png", "overlay.png"):
        image = cv2.imread(str(out / name))
        assert image is not None and image.std() > 10
    assert "72 frames published" in demo.log and summary["weights_sha256"][:12] in demo.log


def test_demo_fails_when_no_estimate_arrives(runs: dict[str, tuple[Any, Path]]) -> None:
    demo, out = runs["no_face"]
    assert demo.process.wait(150) == 1
    assert "error: no estimate arrived" in demo.log and "Traceback" not in demo.log
    assert list(out.iterdir()) == []


def test_demo_rejects_a_file_that_is_no_video(start: Any, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("no video")
    demo = start(RUNNER, "demo", "--video", str(tmp_path / "film.mp4"), "--output", str(tmp_path / "out"))
    assert demo.process.wait(60) == 1
    assert demo.log.startswith(f"error: video {tmp_path / 'film.mp4'}")
    assert not (tmp_path / "out").exists()

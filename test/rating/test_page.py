"""The page in Chromium with a scripted rater: what it follows is what the CSV contains, whatever happens meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ast_net_ros.ratings import read_ratings

LAG = 0.4
VALENCE, AROUSAL = "0.7 * Math.sin(s / 1.6)", "0.6 * Math.cos(s / 2.1)"
NOISE = "0.01 * (Math.random() + Math.random() + Math.random() - 1.5)"


def following(curve: str) -> str:
    """A rater who follows a curve of s with LAG and NOISE, at media time t."""
    return f"((s) => {curve})(t - {LAG}) + {NOISE}"


def curves(times: np.ndarray) -> np.ndarray:
    """M x 2 values of both curves."""
    return np.stack([0.7 * np.sin(times / 1.6), 0.6 * np.cos(times / 2.1)], axis=1)


def csv(folder: Path, rater: str) -> Path:
    return folder / f"walk.{rater}.face_1.csv"


@pytest.fixture
def recording(clip: Path, tmp_path: Path) -> Path:
    path = tmp_path / "walk.mp4"
    path.symlink_to(clip)
    return path


def test_the_csv_contains_the_curve_that_was_followed(
    recording: Path, rate: Callable, open_page: Callable, browser: Any
) -> None:
    process = rate(recording, "anna")
    page = open_page(process.url)
    page.begin()
    page.move(following(VALENCE), following(AROUSAL))
    page.click("play")
    page.play_to_the_end()
    page.saved()
    found = read_ratings(csv(recording.parent / "ratings", "anna"))
    assert found.times[0] == 0 and found.times[-1] == pytest.approx(8.96) and found.remarks == ()
    lags = np.arange(0.0, 1.0, 0.01)
    inside = found.times > 1
    errors = [np.abs(found.values - curves(found.times - lag))[inside].mean() for lag in lags]
    assert abs(lags[np.argmin(errors)] - LAG) <= 0.05
    assert np.sqrt(np.mean((found.values - curves(found.times - LAG))[inside] ** 2)) < 0.02
    assert (found.info.protocol, found.info.device) == ("both", "mouse")
    assert browser.console() == []
    assert [url for url in browser.requests() if not url.startswith(process.url)] == []


def test_a_killed_server_and_a_reload_lose_at_most_a_second(
    recording: Path, rate: Callable, open_page: Callable
) -> None:
    process = rate(recording, "anna")
    page = open_page(process.url)
    page.begin()
    page.move("0.5", "-0.5")
    page.click("play")
    page.play_until(3.0)
    process.end(signal.SIGKILL)
    killed = page.time()
    page.until("return document.getElementById('video').paused")
    page.until("return document.getElementById('problem').textContent.includes('start it again')")
    ratings = csv(recording.parent / "ratings", "anna")
    before = read_ratings(ratings)
    assert killed - 1 <= before.times[-1] <= killed + 0.3
    assert np.allclose(before.values[1:], [0.5, -0.5], atol=0.001)

    page = open_page(rate(recording, "anna").url)
    shown = page.browser.run("return document.getElementById('begin').textContent")
    assert shown == f"Continue at 0:0{int(before.times[-1] + 0.04)}"

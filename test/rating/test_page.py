"""The page in Chromium with a scripted rater: what it follows is what the CSV contains, whatever happens meanwhile."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ast_net_ros.cli import ast_net
from ast_net_ros.rating.playback import prepare_playback
from ast_net_ros.ratings import Ratings, rating_rows, ratings_path, read_ratings, write_ratings

LAG = 0.4
VALENCE = "0.5 * Math.sin(s / 1.6) + 0.3 * Math.sin(1.7 * s + 1)"
AROUSAL = "0.4 * Math.cos(s / 2.1) + 0.3 * Math.sin(1.3 * s)"
NOISE = "0.01 * (Math.random() + Math.random() + Math.random() - 1.5)"


def following(curve: str) -> str:
    """A rater who follows a curve of s with LAG and NOISE, at media time t."""
    return f"((s) => {curve})(t - {LAG}) + {NOISE}"


def curves(s: np.ndarray) -> np.ndarray:
    """M x 2 values of both curves."""
    valence = 0.5 * np.sin(s / 1.6) + 0.3 * np.sin(1.7 * s + 1)
    return np.stack([valence, 0.4 * np.cos(s / 2.1) + 0.3 * np.sin(1.3 * s)], axis=1)


@pytest.fixture
def recording(clip: Path, tmp_path: Path) -> Path:
    path = tmp_path / "walk.mp4"
    path.write_bytes(clip.read_bytes())
    return path


def ratings(recording: Path, rater: str) -> Ratings:
    return read_ratings(recording.parent / "ratings" / f"walk.{rater}.face_1.csv")


def text_of(page: Any, identifier: str) -> str:
    return page.browser.run(f"return document.getElementById('{identifier}').textContent")


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
    found = ratings(recording, "anna")
    assert found.times[0] == 0 and found.times[-1] == pytest.approx(6.96) and found.remarks == ()
    errors = (found.values - curves(found.times - LAG))[found.times > 1]
    assert np.sqrt(np.mean(errors**2)) < 0.02
    assert (found.info.protocol, found.info.device) == ("both", "mouse")
    assert browser.console() == []
    assert [url for url in browser.requests() if not url.startswith(process.url)] == []
    page.click("leave")
    page.click("finish")
    assert process.process.wait(10) == 0
    assert "walk.anna.face_1.csv" in process.end()

    folder = recording.parent / "ratings"
    generator = np.random.default_rng(0)
    for rater in ("ben", "carl"):  # without lag
        values = curves(found.times) + generator.normal(0, 0.01, (len(found.times), 2))
        info = replace(found.info, rater=rater)
        write_ratings(ratings_path(folder, "walk", rater, "face_1"), info, rating_rows(found.times, values))
    result = CliRunner().invoke(ast_net, ["agree", str(folder), "--output", str(folder / "agreement")])
    assert result.exit_code == 0, result.output
    agreement = json.loads((folder / "agreement" / "agreement.json").read_text())
    assert agreement["raters"]["anna"]["lag"]["seconds"] == pytest.approx(LAG, abs=0.05)


def test_a_killed_server_and_a_reload_lose_at_most_a_second(
    recording: Path, rate: Callable, open_page: Callable
) -> None:
    process = rate(recording, "anna")
    page = open_page(process.url)
    page.begin()
    page.move("0.5", "-0.5")
    page.click("play")
    page.play_until(2.0)
    process.end(signal.SIGKILL)
    killed = page.time()
    page.until("return document.getElementById('video').paused")
    page.until("return document.getElementById('problem').textContent.includes('start it again')")
    before = ratings(recording, "anna")
    assert killed - 1 <= before.times[-1] <= killed + 0.3
    assert np.allclose(before.values[1:], [0.5, -0.5], atol=0.001)

    process = rate(recording, "anna")
    page = open_page(process.url)
    assert text_of(page, "begin") == f"Continue at 0:0{int(before.times[-1] + 0.04)}"
    page.begin()
    page.move("-0.5", "0.5")
    page.click("play")
    page.play_until(before.times[-1] + 1.5)
    reloaded = page.time()
    open_page(process.url)
    after = ratings(recording, "anna")
    assert reloaded - 1 <= after.times[-1] and after.remarks == ()
    last = len(before.times)
    assert np.allclose(after.values[1:last], [0.5, -0.5], atol=0.001)
    assert np.allclose(after.values[last + 3 :], [-0.5, 0.5], atol=0.001)


def test_two_raters_at_once_do_not_mix(recording: Path, rate: Callable, open_page: Callable, browser: Any) -> None:
    processes = [rate(recording, rater) for rater in ("anna", "ben")]
    first = browser.driver.current_window_handle
    windows = []
    try:
        for process, at in zip(processes, ("0.6", "-0.6")):
            browser.driver.switch_to.new_window("window")
            windows.append(browser.driver.current_window_handle)
            page = open_page(process.url)
            page.begin()
            page.move(at, at)
            page.click("play")
        for window in windows:
            browser.driver.switch_to.window(window)
            page.play_until(1.5)
    finally:
        for window in windows:
            browser.driver.switch_to.window(window)
            browser.driver.close()
        browser.driver.switch_to.window(first)
    for rater, value in (("anna", 0.6), ("ben", -0.6)):
        found = ratings(recording, rater)
        assert found.info.rater == rater and len(found.times) > 20
        assert np.allclose(found.values[1:], value, atol=0.001)


def test_a_keyboard_is_enough_and_a_stretch_is_rated_again(
    recording: Path, rate: Callable, open_page: Callable
) -> None:
    page = open_page(rate(recording, "anna", "--no-faces", "--protocol", "arousal").url)
    assert page.browser.run("return document.activeElement.id") == "begin"
    page.click("begin")  # as Enter does on the button that has the focus
    page.press("ArrowUp", "down")
    page.press(" ")
    page.play_until(1.5)
    page.press("ArrowUp", "up")
    page.press(" ")
    page.saved()
    first = ratings(recording, "anna")
    assert (first.values[:, 1] > 0.5).all(), "the key was held in the countdown as well"
    assert first.values[-1, 1] == 1 and np.isnan(first.values[:, 0]).all()
    assert (first.info.protocol, first.info.device) == ("arousal", "keyboard")

    page.press("Home")
    page.press("PageDown")
    page.until("return !document.getElementById('video').seeking")
    assert page.time() == pytest.approx(1.0, abs=0.01)
    page.press("0")
    page.press(" ")
    page.play_until(2.2)
    page.press("Escape")
    page.saved()
    again = ratings(recording, "anna")
    moment = 25
    assert (again.values[:moment, 1] == first.values[:moment, 1]).all() and (again.values[moment:, 1] == 0).all()
    assert again.times[-1] >= 2.1
    assert page.browser.run("return document.body.dataset.screen") == "setup"


def test_on_a_phone_the_page_fits_and_is_rated_by_touch(recording: Path, rate: Callable, open_page: Callable) -> None:
    process = rate(recording, "anna")
    for width, height in ((1280, 720), (844, 390), (390, 844)):
        page = open_page(process.url, width, height)
        for protocol in ("valence", "arousal", "both"):
            page.begin(protocol)
            boxes = page.browser.run(
                "return ['player', 'pad', 'trace', 'timeline', 'play', 'back', 'leave'].map((id) => {"
                "const box = document.getElementById(id).getBoundingClientRect();"
                "return [id, box.left, box.top, box.right, box.bottom]})"
            )
            for name, left, top, right, bottom in boxes:
                assert 0 <= left < right <= width and 0 <= top < bottom <= height, (width, protocol, name)
                assert name in ("trace", "timeline") or (right - left >= 44 and bottom - top >= 36), (protocol, name)
            page.click("leave")
        assert page.browser.run("return document.documentElement.scrollWidth") <= width
    page.begin()
    page.move("0.25", "0.75", "touch")
    page.browser.run("document.getElementById('count').value = 0")
    for seconds in (0.3, 0.7, 1.0, 1.3):
        page.click("play")
        page.play_until(seconds)
        page.click("play")
    page.saved()
    found = ratings(recording, "anna")
    assert found.info.device == "touch" and np.allclose(found.values, [0.25, 0.75], atol=0.001)
    assert found.remarks == () and len(found.times) > 1.2 * 25, "pauses leave no gap"


GAMEPAD = """
    window.pressed = false;
    navigator.getGamepads = () => [null, {connected: true, axes: [0.5, 0.25], buttons: [{pressed: window.pressed}]}];
"""


def test_a_chosen_face_is_rated_with_a_gamepad(recording: Path, rate: Callable, open_page: Callable) -> None:
    cache = recording.parent / "ratings" / ".playback"
    prepare_playback(recording, cache, find_faces=False, show_progress=False)
    (about,) = cache.glob("*.json")
    faces = [{"face": f"face_{n}", "times": [0.0], "boxes": [[n / 4, 0.2, 0.2, 0.4]]} for n in (1, 2)]
    about.write_text(json.dumps(json.loads(about.read_text()) | {"faces": faces, "faces_looked_for": True}))
    page = open_page(rate(recording, "anna", "--faces").url)
    page.browser.run("document.querySelector('[value=face_2]').click();" + GAMEPAD)
    page.begin()
    page.browser.run("window.pressed = true")
    page.play_until(1.0)
    page.browser.run("window.pressed = false")
    page.click("leave")
    page.saved()
    (written,) = (recording.parent / "ratings").glob("*.csv")
    assert written.name == "walk.anna.face_2.csv"
    found = read_ratings(written)
    assert np.allclose(found.values, [0.5, -0.25]) and found.info.device == "gamepad"
    assert found.info.face_box == (0.5, 0.2, 0.2, 0.4)


def test_practice_is_scored_and_not_saved(waiting: Any, open_page: Callable) -> None:
    page = open_page(waiting.url)
    late = """return import(location.href + "practice.js").then(({CURVES, followed}) => {
        const ratings = Array.from({length: 751}, (_, moment) => CURVES.arousal(moment / 25 - 0.6) + 0.1);
        return [followed(ratings, "arousal", 25), followed(ratings.fill(0), "arousal", 25)]})"""
    found, nothing = page.browser.run(late)
    assert (found["lag"], found["error"]) == pytest.approx((0.6, 0.1), abs=0.001) and nothing is None
    page.click("practise")
    page.press(" ")
    page.until("return document.getElementById('time').textContent.startsWith('0:01')")
    page.press("Escape")
    assert list(waiting.output.glob("*.csv")) == []
    assert text_of(page, "begin") == "Start"


def test_a_browser_without_the_codec_is_told(waiting: Any, browser: Any) -> None:
    code = "HTMLMediaElement.prototype.canPlayType = () => ''"
    added = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": code})
    try:
        browser.open(waiting.url)
        for _ in range(100):
            if text := browser.run("return document.getElementById('problem').textContent"):
                break
        assert "cannot play WebM videos in VP8. Use Firefox" in text
        assert browser.run("return document.getElementById('begin').disabled") is True
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
        browser.open("about:blank")


def test_the_address_without_its_token_says_so(waiting: Any, browser: Any) -> None:
    browser.open(waiting.url.rsplit("/", 2)[0] + "/")
    assert "lacks the token" in browser.run("return document.body.innerText")
    browser.open("about:blank")

"""Short recordings to rate, `ast_net rate` as a process, and pages of it in the browser."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ast_net_ros.rating.playback import Playback, prepare_playback


def write_video(path: Path, seconds: float, size: tuple[int, int] = (160, 120), rate: float = 25.0) -> Path:
    """A video whose frames get brighter from 0 to its end."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
    count = round(seconds * rate)
    for index in range(count):
        writer.write(np.full((*size[::-1], 3), 20 + 200 * index // count, np.uint8))
    writer.release()
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 7 s without a face."""
    return write_video(tmp_path_factory.mktemp("clip") / "walk.mp4", 7.0)


@pytest.fixture(scope="session")
def playback(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Playback:
    """The same, ready to be played."""
    return prepare_playback(clip, tmp_path_factory.mktemp("cache"), find_faces=False, show_progress=False)


class Rating:
    """A process `ast_net rate` and the address of its page."""

    output: Path

    def __init__(self, recording: Path, rater: str, *options: str):
        command = [sys.executable, "-c", "from ast_net_ros.cli import main; main()", "rate", str(recording)]
        command += ["--rater", rater, "--no-browser", *(options or ["--no-faces"])]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        assert self.process.stdout is not None
        self.lines = [self.process.stdout.readline()]
        assert " in http://" in self.lines[0], self.lines[0] + self.process.stdout.read()
        self.url = self.lines[0].split(" in ")[1].strip()

    def end(self, number: int = signal.SIGINT) -> str:
        """Send a signal and return what else was printed."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.communicate(timeout=20)[0]


@pytest.fixture
def rate() -> Iterator[Callable[..., Rating]]:
    """Starts `ast_net rate RECORDING --rater NAME OPTIONS`."""
    started: list[Rating] = []

    def start(*arguments: Any) -> Rating:
        started.append(Rating(*arguments))
        return started[-1]

    yield start
    for rating in started:
        rating.end(signal.SIGKILL)


MOVING = """
    const [pad, video] = ["pad", "video"].map((id) => document.getElementById(id));
    const step = () => {
        const box = pad.getBoundingClientRect();
        const [valence, arousal] = window.curves.map((curve) => curve(video.currentTime));
        const at = (start, length, value) => start + length * (0.5 + 0.44 * value);
        pad.dispatchEvent(new PointerEvent("pointermove", {
            bubbles: true, pointerType: window.pointer, buttons: window.pointer === "mouse" ? 0 : 1, pressure: 0.5,
            clientX: at(box.left, box.width, valence), clientY: at(box.top, box.height, -arousal),
        }));
        window.moving = requestAnimationFrame(step);
    };
    cancelAnimationFrame(window.moving);
    step();"""


@pytest.fixture(scope="session")
def waiting(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rating]:
    """A session in which nothing is rated, for all tests; its ratings would be in the folder `output`."""
    output = tmp_path_factory.mktemp("waiting")
    rating = Rating(clip, "nobody", "--no-faces", "--output", str(output))
    rating.output = output
    yield rating
    rating.end()


class RaterPage:
    """The page, as a rater uses it: what is shown, and events as a hand or a keyboard makes them."""

    def __init__(self, browser: Any, url: str, width: int = 1280, height: int = 800):
        self.browser = browser
        browser.open(url, width, height)
        self.until("return !document.getElementById('begin').disabled")
        browser.run("document.getElementById('count').value = 1")

    def until(self, script: str, seconds: float = 20.0) -> Any:
        """Wait until a script returns something."""
        end = time.monotonic() + seconds
        while not (result := self.browser.run(script)):
            assert time.monotonic() < end, f"{script}: {self.browser.run('return document.body.innerText')}"
            time.sleep(0.05)
        return result

    def click(self, identifier: str) -> None:
        self.browser.run(f"document.getElementById({json.dumps(identifier)}).click()")

    def begin(self, protocol: str = "both") -> None:
        """Leave the first screen."""
        self.browser.run(f"document.querySelector('[value={protocol}]').click()")
        self.click("begin")

    def time(self) -> float:
        return float(self.browser.run("return document.getElementById('video').currentTime"))

    def play_to_the_end(self) -> None:
        self.until("return document.getElementById('paused').textContent.match(/^(End|All)/)", 60)

    def play_until(self, seconds: float) -> None:
        self.until(f"return document.getElementById('video').currentTime >= {seconds}", seconds + 20)

    def move(self, valence: str, arousal: str = "0", pointer: str = "mouse") -> None:
        """From now on, give at media time t the value of two expressions in JavaScript."""
        self.browser.run(
            f"window.pointer = {json.dumps(pointer)}; window.curves = [(t) => {valence}, (t) => {arousal}];" + MOVING
        )

    def stop_moving(self) -> None:
        self.browser.run("cancelAnimationFrame(window.moving)")

    def press(self, key: str, kind: str = "down up") -> None:
        """Press a key and release it, or only one of these."""
        for part in kind.split():
            self.browser.run(
                f"document.activeElement.dispatchEvent(new KeyboardEvent('key{part}', "
                f"{{key: {json.dumps(key)}, bubbles: true, cancelable: true}}))"
            )

    def saved(self) -> None:
        """Wait until the server has saved everything."""
        self.until("return ['Saved', 'Finished'].includes(document.getElementById('status').textContent)")


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., RaterPage]]:
    """Opens a page in the browser that all tests share, and leaves it afterwards."""
    yield lambda *arguments: RaterPage(browser, *arguments)
    browser.open("about:blank")

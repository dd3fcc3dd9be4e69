"""Replay: when images are published, and what is rejected."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ast_net_ros.ros.replay.replay import main, schedule
from ast_net_ros.ros.replay.source import ReplaySource, open_source, with_due_times


def three_images() -> ReplaySource:
    image = np.zeros((4, 4, 3), np.uint8)
    return ReplaySource("three", 0.1, lambda: iter([(0.0, image), (0.1, image), (0.25, image)]))


def test_loops_go_on_in_time_and_a_rate_divides_it() -> None:
    frames = list(islice(schedule(three_images(), loop=True, rate=2.0, limit=None), 7))
    assert [frame.due for frame in frames] == pytest.approx([0, 0.05, 0.125, 0.175, 0.225, 0.3, 0.35])
    assert [(frame.loop, frame.frame) for frame in frames] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]


def test_the_number_of_frames_can_be_limited() -> None:
    assert len(list(schedule(three_images(), loop=True, rate=1.0, limit=4))) == 4
    assert len(list(schedule(three_images(), loop=False, rate=1.0, limit=None))) == 3


def test_a_photograph_is_repeated_at_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.full((6, 8, 3), 7, np.uint8))
    source = open_source(str(path), photo_rate=10.0)
    frames = list(islice(source.play(), 3))
    assert [seconds for seconds, _ in frames] == pytest.approx([0, 0.1, 0.2])
    assert frames[2][1].shape == (6, 8, 3)


@pytest.mark.parametrize("content", [b"", b"no video at all\n", bytes(range(256)) * 40])
def test_a_file_that_is_not_a_video_is_rejected(tmp_path: Path, capsys: Any, start: Any, content: bytes) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    replay = start("replay", str(path))
    assert replay.process.wait(60) == 1
    assert f"error: video {path}" in replay.log and "Traceback" not in replay.log


@pytest.mark.parametrize("options, repeated", [([], False), (["--same-stamps"], True)])
def test_loops_go_on_in_time_or_repeat_their_stamps(
    start: Any, media: Path, tmp_path: Path, options: list[str], repeated: bool
) -> None:
    stamps = tmp_path / "stamps.csv"
    arguments = ("--loop", "--rate", "10", "--size", "64x48", "--frames", "150", "--stamps", str(stamps))
    replay = start("replay", str(media / "single_face.mp4"), *arguments, *options)
    assert replay.process.wait(60) == 0, replay.log
    rows = np.loadtxt(stamps, delimiter=",", skiprows=1, usecols=(0, 1, 3), dtype=np.int64)
    first, second = (rows[rows[:, 0] == loop] for loop in (0, 1))
    shared = min(len(first), len(second))
    assert shared > 50
    later = second[:shared, 2] - first[:shared, 2]
    assert (later == 0).all() if repeated else later.min() > 0.1e9


@pytest.mark.parametrize("storage, jpeg", [("mcap", False), ("sqlite3", True)])
def test_a_bag_is_played_at_its_own_pace(
    start: Any, bags: Any, media: Path, tmp_path: Path, storage: str, jpeg: bool
) -> None:
    bag = bags.video_bag(tmp_path / "bag", media / "single_face.mp4", storage, jpeg=jpeg, frames=20)
    stamps = tmp_path / "stamps.csv"
    replay = start("replay", str(bag), "--rate", "2", "--stamps", str(stamps))
    assert replay.process.wait(60) == 0, replay.log
    played = np.loadtxt(stamps, delimiter=",", skiprows=1, usecols=3, dtype=np.int64)
    assert np.diff(played) == pytest.approx(1e9 / 30 / 2, rel=0.05), "the recording's distances, at twice its speed"
    assert '"published": 20' in replay.log


def test_of_a_bag_with_several_image_topics_one_must_be_chosen(
    start: Any, bags: Any, media: Path, tmp_path: Path
) -> None:
    topics = ("/left/image", "/right/image")
    bag = bags.video_bag(tmp_path / "bag", media / "single_face.mp4", frames=4, topics=topics)
    undecided = start("replay", str(bag))
    assert undecided.process.wait(60) == 1
    assert undecided.log.startswith("error: ") and all(topic in undecided.log for topic in topics)
    decided = start("replay", str(bag), "--recorded-topic", "/right/image")
    assert decided.process.wait(60) == 0 and '"published": 4' in decided.log


@dataclass(frozen=True)
class Stamped:
    stamp_ns: int


@pytest.mark.parametrize(
    "stamps, due",
    [
        ([5.0, 5.5, 6.5], [0, 0.5, 1.5]),
        ([5.0, 5.5, 5.4, 5.6], [0, 0.5, 0.5, 0.6]),  # out of order
        ([5.0, 6.0, 500.0, 501.0], [0, 1, 11, 12]),  # a long pause
        ([500.0, 501.0, 5.0, 6.0], [0, 1, 1, 2]),  # a clock that was set back
    ],
)
def test_due_times_follow_stamps_within_limits(stamps: list[float], due: list[float]) -> None:
    frames: Any = [Stamped(round(seconds * 1e9)) for seconds in stamps]
    assert [seconds for seconds, _ in with_due_times(frames)] == pytest.approx(due)


def test_a_missing_file_is_refused(start: Any) -> None:
    replay = start("replay", "/nowhere/film.mp4")
    assert replay.process.wait(60) == 1
    assert replay.log.startswith("error: video /nowhere/film.mp4: no such file")


@pytest.mark.parametrize(
    "arguments", [["x.mp4", "--rate", "0"], ["x.mp4", "--size", "big"], ["x.mp4", "--rate", "nan"]]
)
def test_arguments_that_cannot_be_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2

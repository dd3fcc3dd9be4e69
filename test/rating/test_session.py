"""What a session keeps: later takes replace, it goes on where it stopped, and nothing of another is touched."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ast_net_ros.rating import RatingError
from ast_net_ros.rating.playback import Playback, RatedFace
from ast_net_ros.rating.session import LONGEST_BATCH, RatingSession
from ast_net_ros.rating_files import DataError
from ast_net_ros.ratings import read_ratings

PLAYBACK = Playback(Path("walk.webm"), "walk", "ab" * 32, "", 0, 2.0, (RatedFace("face_1"), RatedFace("face_4")))
PATH = "walk.anna.face_1.csv"


def ones(count: int, value: float = 1.0, *dimensions: str) -> dict[str, list[float]]:
    return dict.fromkeys(dimensions or ("valence", "arousal"), [value] * count)


def rated(session: RatingSession, face: str = "face_1") -> list[int]:
    return np.flatnonzero(np.isfinite(session.values(face)).all(axis=1)).tolist()


def test_later_takes_replace_earlier_ones(tmp_path: Path) -> None:
    with RatingSession(tmp_path, PLAYBACK, "anna") as session:
        session.add("face_1", 0, ones(50), "mouse")
        session.add("face_1", 10, ones(20, -0.5), "keyboard")
    found = read_ratings(tmp_path / PATH)
    assert len(found.times) == 50
    assert (found.values[10:30] == -0.5).all() and (np.delete(found.values, np.s_[10:30], 0) == 1).all()
    assert found.info.device == "keyboard+mouse"


def test_one_dimension_leaves_the_other_as_it_is(tmp_path: Path) -> None:
    with RatingSession(tmp_path, PLAYBACK, "anna") as session:
        session.add("face_1", 0, ones(51, 0.5, "valence"), "mouse")
        session.add("face_1", 20, ones(10, -0.5, "arousal"), "mouse")
    found = read_ratings(tmp_path / PATH)
    assert (found.values[:, 0] == 0.5).all() and np.flatnonzero(np.isfinite(found.values[:, 1])).tolist() == [
        *range(20, 30)
    ]
    assert found.info.protocol == "arousal+valence"
    assert found.remarks == (f"{PATH}: 2 gaps without valence or arousal, 80 % of its 51 moments",)


def test_a_session_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with RatingSession(tmp_path, PLAYBACK, "anna") as session:
        session.add("face_1", 5, ones(10, 0.25), "mouse")
    with RatingSession(tmp_path, PLAYBACK, "anna") as session:
        assert rated(session) == [*range(5, 15)] and rated(session, "face_4") == []
        session.add("face_1", 30, ones(5), "gamepad")
        session.add("face_4", 0, ones(5), "touch")
    found = read_ratings(tmp_path / PATH)
    assert np.flatnonzero(np.isfinite(found.values[:, 0])).tolist() == [*range(5, 15), *range(30, 35)]
    assert found.info.device == "gamepad+mouse"
    assert read_ratings(tmp_path / "walk.anna.face_4.csv").info.device == "touch"


def test_a_name_is_used_by_one_process_at_a_time(tmp_path: Path) -> None:
    with RatingSession(tmp_path, PLAYBACK, "anna"):
        with pytest.raises(RatingError, match="rater 'anna': is already rating this recording in another process"):
            RatingSession(tmp_path, PLAYBACK, "anna")
        with (
            RatingSession(tmp_path, PLAYBACK, "ben") as other,
            RatingSession(tmp_path, replace(PLAYBACK, name="run"), "anna"),
        ):
            other.add("face_1", 0, ones(5), "mouse")
    with RatingSession(tmp_path, PLAYBACK, "anna") as session:
        assert rated(session) == []


def test_ratings_of_other_images_are_left_alone(tmp_path: Path) -> None:
    with RatingSession(tmp_path, PLAYBACK, "anna") as session:
        session.add("face_1", 0, ones(5), "mouse")
    before = (tmp_path / PATH).read_bytes()
    for _ in range(2):  # the name is free again after a refusal
        with pytest.raises(DataError, match="they are of other images than walk has"):
            RatingSession(tmp_path, replace(PLAYBACK, sha256="cd" * 32), "anna")
    assert (tmp_path / PATH).read_bytes() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,valence,arousal\n0,0,0\n0.05,0,0\n", "not multiples of 0.04 s"),
        ("a,b\n1,2\n", "expected a header time,valence,arousal"),
    ],
)
def test_a_csv_of_another_kind_is_left_alone(tmp_path: Path, text: str, message: str) -> None:
    with RatingSession(tmp_path, PLAYBACK, "anna") as session:
        session.add("face_1", 0, ones(5), "mouse")
    (tmp_path / PATH).write_text(text)
    with pytest.raises((DataError, RatingError), match=message):
        RatingSession(tmp_path, PLAYBACK, "anna")
    assert (tmp_path / PATH).read_text() == text


def test_labels_without_description_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / PATH).write_text("time,valence,arousal\n0,0,0\n")
    with pytest.raises(DataError, match=r"walk\.anna\.face_1\.json: no such file"):
        RatingSession(tmp_path, PLAYBACK, "anna")


@pytest.mark.parametrize(
    ("face", "first", "given", "device"),
    [
        ("face_2", 0, ones(5), "mouse"),
        ("face_1", 47, ones(5), "mouse"),
        ("face_1", -1, ones(5), "mouse"),
        ("face_1", 0, {}, "mouse"),
        ("face_1", 0, ones(0), "mouse"),
        ("face_1", 0, ones(5, 1.5), "mouse"),
        ("face_1", 0, ones(5, float("nan")), "mouse"),
        ("face_1", 0, {"valence": ["0.1"]}, "mouse"),
        ("face_1", 0, {"valence": [0.1], "arousal": [0.1, 0.2]}, "mouse"),
        ("face_1", 0, {"joy": [0.1]}, "mouse"),
        ("face_1", 0, ones(5), "eyes"),
    ],
)
def test_ratings_that_do_not_fit_are_refused_whole(
    tmp_path: Path, face: str, first: int, given: dict, device: str
) -> None:
    with RatingSession(tmp_path, PLAYBACK, "anna") as session:
        with pytest.raises(RatingError):
            session.add(face, first, given, device)
        assert rated(session) == [] and not (tmp_path / PATH).exists()


def test_ratings_that_cannot_be_saved_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "ratings"
    with RatingSession(folder, PLAYBACK, "anna") as session:
        session.add("face_1", 0, ones(5), "mouse")
        folder.rename(tmp_path / "away")
        folder.touch()
        with pytest.raises(OSError):
            session.add("face_1", 5, ones(5), "mouse")
        folder.unlink()
        (tmp_path / "away").rename(folder)
        session.add("face_1", 10, ones(5), "mouse")
    assert len(read_ratings(folder / PATH).times) == 15


def test_an_hour_is_saved_in_a_small_part_of_a_second(tmp_path: Path) -> None:
    with RatingSession(tmp_path, replace(PLAYBACK, duration=3600.0), "anna") as session:
        for first in range(0, 90_000, LONGEST_BATCH):
            began = time.process_time()
            session.add("face_1", first, ones(LONGEST_BATCH), "mouse")
        assert time.process_time() - began < 0.25
    assert len(read_ratings(tmp_path / PATH).times) == 90_000

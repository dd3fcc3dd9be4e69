"""The files of ratings: both commands read them as labels, gaps stay gaps, and what does not fit is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ast_net_ros.bags.content_hash import recording_sha256
from ast_net_ros.evaluation.labels.ground_truth import LabelOptions, ground_truth_of
from ast_net_ros.rating_files import DataError
from ast_net_ros.ratings import (
    RatingInfo,
    check_rated_recording,
    file_sha256,
    find_ratings,
    rating_rows,
    ratings_path,
    read_ratings,
    write_ratings,
)
from ast_net_ros.training.data.datasets.manifest import read_labels, read_manifest

INFO = RatingInfo("walk", "ab" * 32, "anna", "face_1", 2.0, device="mouse", face_box=(0.1, 0.2, 0.3, 0.4))
TIMES = np.arange(51) / 25
VALUES = np.stack([np.sin(TIMES), np.cos(TIMES)], axis=1)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    values = VALUES.copy()
    values[10:20] = np.nan
    path = ratings_path(tmp_path, "walk", "anna", "face_1")
    write_ratings(path, INFO, rating_rows(TIMES, values))
    return path


def test_ratings_are_read_as_they_were_written(written: Path) -> None:
    assert written.read_text().splitlines()[:2] == ["time,valence,arousal", "0.000,0.0000,1.0000"]
    found = read_ratings(written)
    assert found.info == INFO and np.allclose(found.times, TIMES)
    rated = np.isfinite(found.values).all(axis=1)
    assert np.flatnonzero(~rated).tolist() == list(range(10, 20))
    assert np.allclose(found.values[rated], VALUES[rated], atol=1e-4)
    assert found.remarks == ("walk.anna.face_1.csv: 1 gaps without valence or arousal, 20 % of its 51 moments",)


@pytest.fixture
def video(written: Path) -> Path:
    """The video that was rated, as far as its hash says."""
    path = written.parent / "walk.mp4"
    path.write_bytes(b"images")
    about = written.with_suffix(".json")
    about.write_text(about.read_text().replace(INFO.recording_sha256, file_sha256(path)))
    return path


def test_evaluation_and_training_read_them_as_labels(written: Path, video: Path) -> None:
    truth = ground_truth_of(video, "walk", LabelOptions(str(written.parent / "{name}.anna.face_1.csv")))
    assert truth is not None and not truth.epoch
    stamps, values, _ = read_labels(written)
    (face,) = truth.faces
    for times, labels in ((face.times, face.values), (stamps, values)):
        assert np.allclose(times, TIMES)
        assert np.isnan(labels[10:20]).all() and np.isfinite(labels[20:]).all()


def test_evaluation_and_training_refuse_those_of_other_images(written: Path, video: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text(f"frames,labels,split,person\n{video.name},{written.name},train,anna\n")
    assert len(read_manifest(manifest).recordings) == 1
    video.write_bytes(b"other images")
    assert "they are of other images than" in read_manifest(manifest).left_out[0]
    with pytest.raises(DataError, match="they are of other images than"):
        ground_truth_of(video, "walk", LabelOptions(str(written)))


def test_ratings_in_a_folder_are_found_beside_other_tables(written: Path) -> None:
    (written.parent / "walk.csv").write_text("time,valence,arousal\n0,0,0\n")
    assert find_ratings([written.parent, written]) == [written]
    with pytest.raises(DataError, match="no ratings in this folder"):
        (written.parent / "empty").mkdir()
        find_ratings([written.parent / "empty"])


def test_times_beyond_the_recording_are_left_out(written: Path) -> None:
    with written.open("a") as file:
        file.write("2.04,0,0\n7.0,0.5,0.5\n")
    found = read_ratings(written)
    assert found.times[-1] == 2.0
    assert "2 ratings outside the recording (0 to 2.00 s) left out" in found.remarks[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "another"}, "does not describe ratings"),
        ({"version": 2}, "newer than 1"),
        ({"duration_seconds": "long"}, "does not describe ratings"),
        ({"rater": None}, "does not describe ratings"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(written: Path, change: dict, message: str) -> None:
    about = written.with_suffix(".json")
    about.write_text(json.dumps(json.loads(about.read_text()) | change))
    with pytest.raises(DataError, match=message):
        read_ratings(written)


def test_ratings_without_description_are_refused(written: Path) -> None:
    written.with_suffix(".json").unlink()
    with pytest.raises(DataError, match=r"walk.anna.face_1.json: no such file"):
        read_ratings(written)


@pytest.mark.parametrize("name", ["", "../anna", "a.b", "x" * 41, "anna lee", "1st", "zoë"])
def test_names_that_no_file_should_have_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="use a letter and up to 39"):
        ratings_path(tmp_path, "walk", name, "face_1")


def test_ratings_of_another_recording_are_refused(tmp_path: Path) -> None:
    video = tmp_path / "walk.mp4"
    video.write_bytes(b"images")
    info = replace(INFO, recording_sha256=file_sha256(video))
    check_rated_recording(info, recording_sha256(video), video)
    video.write_bytes(b"other images")
    with pytest.raises(DataError, match=r"ratings of 'walk' by anna: they are of other images than .*walk\.mp4"):
        check_rated_recording(info, recording_sha256(video), video)

"""`ast_net fit` on videos: a gain gives weights that state where they come from; unusable ratings are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ast_net_ros.bags.content_hash import recording_sha256
from ast_net_ros.evaluation.labels.ground_truth import LabelOptions
from ast_net_ros.model import load_model
from ast_net_ros.model.inference import DEFAULT_WEIGHTS
from ast_net_ros.model.network import load_weights
from ast_net_ros.model.weights import read_weights
from ast_net_ros.rating_files import DataError
from ast_net_ros.ratings import RatingInfo, rating_rows, ratings_path, write_ratings
from ast_net_ros.temporal_evaluation.fitting.command import fit_command
from ast_net_ros.temporal_evaluation.fitting.rated_recordings import (
    ReadingOptions,
    open_rated_recordings,
    person_of,
    rated_chips,
    with_gaps,
)
from ast_net_ros.training.fitting.rated_faces import outputs_of
from ast_net_ros.vision.video import open_video

PARTS = {"anna": (0.0, 3.8), "ben": (3.8, 7.6), "carl": (7.6, 11.4), "dora": (11.4, 15.2), "emil": (15.2, 19.0)}
"""Seconds of one video that pass for recordings of five people."""
RATE, DELAY = 12.0, 0.6


@dataclass(frozen=True)
class Study:
    """Five recordings, what the network says of them, and their cached features."""

    videos: Path
    cache: Path
    estimates: dict[str, tuple[np.ndarray, np.ndarray]]  # times, T x 2


@pytest.fixture(scope="module")
def study(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("study")
    with open_video(media / "WolfgangLanger_Pexels.mp4") as video:
        frames = [(stamp, cv2.resize(frame, (320, 180))) for stamp, frame in video][::2]
    for name, (first, last) in PARTS.items():
        writer = cv2.VideoWriter(str(folder / f"{name}.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (320, 180))
        for stamp, frame in frames:
            if first <= stamp < last:
                writer.write(frame)
        writer.release()
        (folder / f"{name}.csv").write_text("time,valence,arousal\n0,0,0\n5,0.1,0.1\n")
    net = load_weights(DEFAULT_WEIGHTS)[0]
    options = ReadingOptions(folder / "cache", LabelOptions(max_gap=9.0))
    opened, _ = open_rated_recordings([folder / f"{name}.mp4" for name in PARTS], net, options)
    tracks = {one.name: list(outputs_of(net, one.face)) for one in opened}
    estimates = {
        name: (np.concatenate([t.ends for t in found]), np.concatenate([t.affect for t in found]))
        for name, found in tracks.items()
    }
    for name in PARTS:
        (folder / f"{name}.csv").unlink()
    return Study(folder, folder / "cache", estimates)


def rate(study: Study, folder: Path, rating: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write NAME.csv: `rating` of the estimates, DELAY later, 25 times a second."""
    folder.mkdir(exist_ok=True)
    times = np.arange(0, 3.8, 0.04)
    for name, (moments, affect) in study.estimates.items():
        columns = rating(affect).T
        values = np.stack([np.interp(times - DELAY, moments, column) for column in columns], axis=1)
        rows = rating_rows(times, np.clip(values, -1, 1))
        (folder / f"{name}.csv").write_text("\n".join(["time,valence,arousal", *rows]) + "\n")


def fit(study: Study, labels: Path, output: Path, *more: str) -> str:
    """Run the command on the videos that have ratings; returns what it prints."""
    videos = [str(study.videos / f"{name}.mp4") for name in PARTS if any(labels.glob(f"{name}.*"))]
    options = ["--labels", str(labels), "--output", str(output), "--cache", str(study.cache), "--stages", "map"]
    answer = CliRunner().invoke(fit_command, [*videos, *options, *more])
    if answer.exception and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return answer.output


def metrics(output: Path) -> dict:
    return json.loads((output / "metrics.json").read_text())


def test_a_gain_gives_weights_that_state_their_origin(study, tmp_path):
    rate(study, tmp_path / "labels", lambda affect: 0.5 * affect + np.array([0.4, -0.4]))
    printed = fit(study, tmp_path / "labels", tmp_path / "out")
    found = metrics(tmp_path / "out")
    assert found["label_delay"]["seconds"] == pytest.approx(DELAY, abs=0.2)
    assert found["gain"]["interval"][0] > 0 and found["stages"][0]["kept"]
    stored = read_weights(tmp_path / "out" / "ast_net.safetensors")
    about = json.loads(stored.provenance)
    assert about["parent_sha256"] == read_weights(DEFAULT_WEIGHTS).info.sha256 == found["parent_sha256"]
    video_hashes = {recording_sha256(study.videos / f"{name}.mp4") for name in PARTS}
    assert {images for images, _ in about["data_sha256"]} == video_hashes
    assert len({ratings for _, ratings in about["data_sha256"]}) == len(PARTS)
    assert about["gain"]["ccc"] == found["gain"]["ccc"] and "anna" not in stored.provenance
    assert load_model(tmp_path / "out" / "ast_net.safetensors", "cpu").weights_hash == found["weights_sha256"]
    assert (tmp_path / "out" / "summary.txt").read_text().strip() in printed
    with pytest.raises(DataError, match="exists from an earlier fit"):
        fit(study, tmp_path / "labels", tmp_path / "out")


def test_without_a_gain_no_weights_are_written(study, tmp_path):
    rate(study, tmp_path / "labels", lambda affect: affect)
    printed = fit(study, tmp_path / "labels", tmp_path / "out")
    assert "No gain was found" in printed and "no weights were written" in printed
    assert not (tmp_path / "out" / "ast_net.safetensors").exists()
    assert metrics(tmp_path / "out")["gain"] is None


def test_ratings_of_another_recording_are_left_out(study, tmp_path):
    """Those of `ast_net rate` name the images that were rated."""
    rate(study, tmp_path, lambda affect: affect)
    for name in ("dora", "emil"):
        (tmp_path / f"{name}.csv").unlink()
    for name in ("anna", "ben", "carl"):
        info = RatingInfo(name, recording_sha256(study.videos / f"{name}.mp4"), "eva", "face_1", 5.0)
        if name == "ben":
            info = replace(info, recording_sha256="0" * 64)
        rows = (tmp_path / f"{name}.csv").read_text().splitlines()[1:]
        write_ratings(ratings_path(tmp_path, name, "eva", "face_1"), info, rows)
        (tmp_path / f"{name}.csv").unlink()
    with pytest.raises(DataError, match=r"ratings of 2 people \(anna, carl\)"):
        fit(study, tmp_path, tmp_path / "out")
    paths = [study.videos / f"{name}.mp4" for name in ("anna", "ben", "carl")]
    options = ReadingOptions(study.cache, LabelOptions(str(tmp_path)))
    opened, left_out = open_rated_recordings(paths, load_weights(DEFAULT_WEIGHTS)[0], options)
    assert [one.ratings for one in opened] == [str(tmp_path / f"{name}.eva.face_1.csv") for name in ("anna", "carl")]
    assert "they are of other images than" in left_out["ben"]


def _altered(study: Study, folder: Path, change: Callable[[list[str]], list[str]]) -> list[str]:
    """What is logged when the ratings of anna are changed; also why she is left out, if she is."""
    rate(study, folder, lambda affect: affect)
    path = folder / "anna.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *change(rows)]) + "\n")
    logged: list[str] = []
    options = ReadingOptions(study.cache, LabelOptions(str(folder)))
    open_rated_recordings([study.videos / "anna.mp4"], load_weights(DEFAULT_WEIGHTS)[0], options, logged.append)
    return logged


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda rows: rows[:20] + rows[60:], "1 gaps between ratings are longer than 1 s"),
        (lambda rows: [*rows, "9.0,0.1,0.2"], "the last label is at 9.0 s"),
        (lambda rows: [f"{100 + i},0.1,0.{i}" for i in range(9)], "no face is visible while it is rated"),
        (lambda rows: [",".join([*row.split(",")[:2], "0.3"]) for row in rows], "arousal is rated 0.3 throughout"),
        (lambda rows: [row.split(",")[0] + ",0.1,0.3" for row in rows], "its ratings never change"),
        (lambda rows: [row.split(",")[0] + ",40,0.3" for row in rows], "expected valence and arousal in"),
        (lambda rows: [row.split(",")[0] + ",," for row in rows], "no face is visible while it is rated"),
    ],
)
def test_unusable_ratings_are_named(study, tmp_path, change, named):
    assert named in "\n".join(_altered(study, tmp_path / "labels", change))


def test_nothing_is_interpolated_across_a_gap():
    times, values = with_gaps(np.array([0.0, 0.5, 3.0]), np.ones((3, 2)), 1.0)
    assert times.tolist() == [0, 0.5, 1.75, 3] and np.isnan(values[2]).all() and np.isfinite(values[[0, 1, 3]]).all()


def test_several_raters_of_a_recording_are_not_mixed(study, tmp_path):
    for rater in ("eva", "tom"):
        info = RatingInfo("anna", "0" * 64, rater, "face_1", 5.0)
        write_ratings(ratings_path(tmp_path, "anna", rater, "face_1"), info, ["0,0,0", "1,0.1,0.1"])
    options = ReadingOptions(study.cache, LabelOptions(str(tmp_path)))
    _, left_out = open_rated_recordings([study.videos / "anna.mp4"], load_weights(DEFAULT_WEIGHTS)[0], options)
    assert "2 ratings of it" in left_out["anna"] and "ast_net agree" in left_out["anna"]


def test_ratings_are_found_where_rate_puts_them(study, tmp_path):
    """In `ratings` beside the recording, by the hash of its images where several recordings have one name."""
    video, ratings = tmp_path / "anna.mp4", tmp_path / "ratings"
    video.write_bytes((study.videos / "anna.mp4").read_bytes())
    ratings.mkdir()
    rows = rating_rows(np.arange(0, 3, 0.5), np.linspace(-0.5, 0.5, 12).reshape(6, 2))
    for rater, sha256 in (("eva", recording_sha256(video)), ("tom", "0" * 64)):
        info = RatingInfo("anna", sha256, rater, "face_1", 3.8)
        write_ratings(ratings_path(ratings, "anna", rater, "face_1"), info, rows)
    options = ReadingOptions(tmp_path / "cache")
    opened, left_out = open_rated_recordings([video], load_weights(DEFAULT_WEIGHTS)[0], options)
    assert not left_out and opened[0].ratings == str(ratings / "anna.eva.face_1.csv")


def test_the_rated_one_of_two_faces_is_taken(media, tmp_path):
    """By its id, even if the other face is larger; without an id the largest one."""
    writer = cv2.VideoWriter(str(tmp_path / "two.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 12.0, (640, 240))
    with open_video(media / "single_face.mp4") as first, open_video(media / "WolfgangLanger_Pexels.mp4") as second:
        for (_, left), (_, right), _ in zip(first, second, range(12)):
            beside = np.zeros((240, 640, 3), np.uint8)
            beside[:240, :320], beside[60:195, 360:600] = cv2.resize(left, (320, 240)), cv2.resize(right, (240, 135))
            writer.write(beside)
    writer.release()

    def chips(face_id: str) -> np.ndarray:
        return np.array([chip for *_, chip in rated_chips(tmp_path / "two.mp4", None, 0, 0, face_id, 48)], int)

    one, other, largest = (chips(face_id) for face_id in ("face_1", "face_2", ""))
    assert one.shape == other.shape == (12, 48, 48) and np.abs(one - other).mean() > 10
    assert sorted(np.array_equal(largest, each) for each in (one, other)) == [False, True]
    with pytest.raises(DataError, match="the rated face face_9 is not visible; the recording has face_1, face_2"):
        chips("face_9")


def test_a_lone_face_counts_whatever_its_id(study):
    video = study.videos / "anna.mp4"
    assert len(list(rated_chips(video, None, 0, 0, "face_7", 48))) == len(list(rated_chips(video, None, 0, 0, "", 48)))


def test_one_recording_cannot_be_two_people(study, tmp_path):
    rate(study, tmp_path, lambda affect: affect)
    (tmp_path / "twin.mp4").write_bytes((study.videos / "anna.mp4").read_bytes())
    (tmp_path / "twin.csv").write_bytes((tmp_path / "anna.csv").read_bytes())
    options = ReadingOptions(study.cache, LabelOptions(str(tmp_path)))
    paths = [study.videos / "anna.mp4", tmp_path / "twin.mp4"]
    with pytest.raises(DataError, match="anna and twin have the same images"):
        open_rated_recordings(paths, load_weights(DEFAULT_WEIGHTS)[0], options)


def test_ratings_are_read_from_a_bag(study, bags, media, tmp_path):
    labels = [(0.1 * i, 0.02 * i - 0.3, 0.01 * i) for i in range(20)]
    bag = bags.video_bag(tmp_path / "session", media / "single_face.mp4", frames=40, labels=labels)
    options = ReadingOptions(tmp_path / "cache")
    opened, left_out = open_rated_recordings([bag], load_weights(DEFAULT_WEIGHTS)[0], options)
    assert not left_out and opened[0].sha256 == recording_sha256(bag)
    recording = opened[0].face.recording
    np.testing.assert_allclose(recording.labels[:, 0], 0.2 * recording.label_stamps - 0.3, atol=1e-3)


@pytest.mark.parametrize(
    ("rule", "person"),
    [("recording", "anna_2"), ("folder", "study"), (r"([a-z]+)_\d", "anna"), (r"^[a-z]+", "anna")],
)
def test_a_person_is_named_by_a_rule(tmp_path, rule, person):
    assert person_of(tmp_path / "study" / "anna_2.mp4", "anna_2", rule) == person


@pytest.mark.parametrize(("rule", "reason"), [("(", "nor a regular expression"), (r"ben\d", "does not match")])
def test_a_rule_that_names_nobody_is_refused(tmp_path, rule, reason):
    with pytest.raises(DataError, match=reason):
        person_of(tmp_path / "anna_2.mp4", "anna_2", rule)


def test_a_folder_without_ratings_is_an_error(study, tmp_path):
    with pytest.raises(DataError, match="no recording can be used"):
        (tmp_path / "anna.txt").touch()
        fit(study, tmp_path, tmp_path / "out")


def test_unknown_stages_are_refused(study, tmp_path):
    (tmp_path / "anna.csv").touch()
    assert "expected some of map,lstm,cnn" in fit(study, tmp_path, tmp_path / "out", "--stages", "map,gan")

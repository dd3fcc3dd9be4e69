"""Ratings in a bag: a copy with topics that other commands read as labels, and back to the same files."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner
from rosbags.highlevel import AnyReader

from ast_net_ros.bags.content_hash import recording_sha256
from ast_net_ros.cli import ast_net
from ast_net_ros.evaluation.labels.ground_truth import LabelOptions, ground_truth_of
from ast_net_ros.ratings import RatingInfo, rating_rows, ratings_path, read_ratings, write_ratings


def rate(*arguments: object) -> str:
    """Run `ast_net rate`: what it prints, or the message of its error."""
    result = CliRunner().invoke(ast_net, ["rate", *map(str, arguments)])
    return f"{type(result.exception).__name__}: {result.exception}" if result.exit_code else result.output


@pytest.fixture(params=["mcap", "sqlite3"])
def rated(tmp_path: Path, bags: ModuleType, clip: Path, request: pytest.FixtureRequest) -> Path:
    """A bag of 1 s with the ratings of two people beside it, the second with a gap."""
    bag: Path = bags.video_bag(tmp_path / "walk", clip, request.param, frames=26)
    times = np.arange(26) / 25
    for rater, phase in (("anna", 0.0), ("ben", 1.0)):
        values = np.stack([np.sin(times + phase), np.cos(times + phase)], axis=1).round(4)
        values[5 : 5 + int(5 * phase)] = np.nan
        info = RatingInfo("walk", recording_sha256(bag), rater, "face_1", 1.0, bags.START_NS, bags.TOPIC)
        write_ratings(ratings_path(tmp_path / "ratings", "walk", rater, "face_1"), info, rating_rows(times, values))
    return bag


def test_a_copy_has_the_ratings_and_everything_else(rated: Path, bags: ModuleType, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in rated.iterdir()}
    copy = tmp_path / "copies" / "rated"
    assert "2 rating topics" in rate(rated, "--write-bag", copy)
    assert {path: path.read_bytes() for path in rated.iterdir()} == before
    assert recording_sha256(copy) == recording_sha256(rated)
    with AnyReader([rated]) as one, AnyReader([copy]) as other:
        images = {c.topic: c for c in other.connections}[bags.TOPIC]
        assert [data for _, _, data in other.messages([images])] == [data for _, _, data in one.messages()]
        assert len(other.connections) == 1 + 2 * 2
    assert [path.name for path in copy.parent.iterdir()] == ["rated"]


def test_evaluation_reads_the_topic_as_labels(rated: Path, tmp_path: Path) -> None:
    rate(rated, "--write-bag", tmp_path / "copy")
    truth = ground_truth_of(tmp_path / "copy", "copy", LabelOptions("topic:/ratings/anna/face_1"))
    assert truth is not None
    expected = read_ratings(tmp_path / "ratings" / "walk.anna.face_1.csv")
    assert np.allclose(truth.faces[0].values, expected.values, atol=1e-6)
    assert np.allclose(truth.faces[0].times - truth.faces[0].times[0], expected.times, atol=1e-6)
    assert truth.faces[0].face_id == "face_1"


def test_ratings_come_back_out_of_a_bag(rated: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "walk"
    rate(rated, "--write-bag", copy)
    assert rate(copy, "--read-bag").count("ratings in") == 2
    for rater in ("anna", "ben"):
        path = Path("ratings") / f"walk.{rater}.face_1.csv"
        for suffix in (".csv", ".json"):
            one, other = ((folder / path).with_suffix(suffix).read_bytes() for folder in (tmp_path, tmp_path / "copy"))
            assert one == other
    assert "exist already" in rate(copy, "--read-bag")
    assert rate(copy, "--read-bag", "--rater", "ben", "-o", tmp_path / "bens").count("ratings in") == 1


def test_nothing_is_overwritten(rated: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    assert "exists already" in rate(rated, "--write-bag", copy)
    assert list(copy.iterdir()) == []
    rate(rated, "--write-bag", tmp_path / "walk2" / "walk", "--rater", "anna")
    again = rate(tmp_path / "walk2" / "walk", "-o", tmp_path / "ratings", "--write-bag", tmp_path / "again")
    assert "has the topic /ratings/anna/face_1 already" in again and not (tmp_path / "again").exists()


def test_ratings_of_other_images_are_not_written(rated: Path, bags: ModuleType, clip: Path, tmp_path: Path) -> None:
    other = bags.video_bag(tmp_path / "other" / "walk", clip, frames=5)
    assert "they are of other images" in rate(other, "-o", tmp_path / "ratings", "--write-bag", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("option", ["--write-bag=copy", "--read-bag"])
def test_a_recording_without_ratings_is_named(bags: ModuleType, clip: Path, tmp_path: Path, option: str) -> None:
    bag = bags.video_bag(tmp_path / "walk", clip, frames=5)
    (tmp_path / "ratings").mkdir()
    assert re.search("no ratings in this folder|has no topic /ratings/RATER/FACE", rate(bag, option))


def test_a_video_has_no_topics(clip: Path, tmp_path: Path) -> None:
    info = RatingInfo(clip.stem, recording_sha256(clip), "anna", "face_1", 8.96)
    write_ratings(ratings_path(tmp_path, clip.stem, "anna", "face_1"), info, ["0.000,0.0000,0.0000"])
    assert "a video has no topics" in rate(clip, "-o", tmp_path, "--write-bag", tmp_path / "copy")
    assert "a video has no topics" in rate(clip, "-o", tmp_path, "--read-bag")


def test_a_damaged_bag_is_named(rated: Path, tmp_path: Path) -> None:
    (rated / "metadata.yaml").unlink()
    assert "cannot be copied" in rate(rated, "--write-bag", tmp_path / "copy")
    assert not (tmp_path / "copy").exists() and not list(tmp_path.glob(".unfinished*"))

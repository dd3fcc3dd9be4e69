"""The estimates file has the documented columns, reads back as written, and is refused if damaged."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from ast_net_ros.evaluation.estimates import (
    ESTIMATE_COLUMNS,
    EstimateRow,
    EstimatesError,
    EstimatesWriter,
    format_row,
    read_estimates,
)
from ast_net_ros.face_affect import FaceAffect, HeadPose
from ast_net_ros.model import EMOTIONS

EVEN = (0.125,) * 8
FACE = FaceAffect(
    "face_1",
    (10.126, 20.0, 30.5, 40.25),
    *(-0.5, 0.25, 0.875, (0.125,) * 8, 1.5, 0.1, 0.2, 0.9, 0.75, -0.0625),
    head_pose=HeadPose(0.125, -0.25, 0.5, (0.125, 0.25, 0.0625)),
    engagement=0.75,
)


def written(path, frames):
    with EstimatesWriter(path) as writer:
        for index, (time, faces) in enumerate(frames):
            writer.write(index, time, faces)
    return path


def test_the_columns_are_the_documented_ones():
    assert ",".join(ESTIMATE_COLUMNS) == (
        "frame,time,face_id,box_x,box_y,box_width,box_height,valence,arousal,confidence,state_age,"
        "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,valence_sigma,arousal_sigma,"
        "detection_score,quality,baseline,"
        "head_roll,head_pitch,head_yaw,head_roll_sigma,head_pitch_sigma,head_yaw_sigma,engagement"
    )
    assert ESTIMATE_COLUMNS[11:19] == EMOTIONS
    assert len(format_row(0, 0.0, FACE)) == len(ESTIMATE_COLUMNS)


@pytest.mark.parametrize("missing", [7, 10, 12])
def test_files_of_former_versions_are_read(tmp_path, missing):
    path = written(tmp_path / "e.csv", [(0.0, [FACE])])
    lines = path.read_text().splitlines()
    path.write_text("".join(",".join(line.split(",")[:-missing]) + "\n" for line in lines))
    (row,) = read_estimates(path)
    expected = replace(FACE, box=(10.13, 20.0, 30.5, 40.25), head_pose=None, engagement=0.0)
    if missing >= 10:
        expected = replace(expected, detection_score=0.0, quality=1.0, baseline=0.0)
    if missing == 12:
        expected = replace(expected, valence_sigma=0.0, arousal_sigma=0.0)
    assert row.face == expected


def test_rows_read_back_as_written(tmp_path):
    other = FaceAffect('a "name", with comma', (0.0, 0.0, 1.0, 1.0), 1.0, -1.0, 0.0, (0.0,) * 7 + (1.0,), 0.0)
    path = written(tmp_path / "e.csv", [(0.0, [FACE]), (0.04, []), (1 / 3, [other, FACE])])
    rows = read_estimates(path)
    assert [(row.frame, row.face.face_id) for row in rows] == [(0, "face_1"), (2, other.face_id), (2, "face_1")]
    assert rows[0] == EstimateRow(0, 0.0, replace(FACE, box=(10.13, 20.0, 30.5, 40.25)))
    assert rows[1].time == pytest.approx(1 / 3, abs=1e-6) and rows[1].face.emotions == other.emotions


def test_the_file_is_plain_csv_for_other_programs(tmp_path):
    path = written(tmp_path / "e.csv", [(0.5, [FACE])])
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["valence"]) == -0.5 and float(row["box_width"]) == 30.5 and row["frame"] == "0"
    assert b"\r" not in path.read_bytes()


def test_a_file_without_rows_is_empty_not_wrong(tmp_path):
    assert read_estimates(written(tmp_path / "e.csv", [])) == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: "", ["the header is ''", "it must be frame,time"]),
        (lambda text: text.replace("valence", "mood"), ["mood"]),
        (lambda text: text[:-30], ["line 3", "fields instead of 31"]),
        (lambda text: text.replace("-0.500000", "nan", 1), ["line 2", "not finite"]),
        (lambda text: text.replace("0.875000", "much", 1), ["line 2", "much"]),
        (lambda text: "\udcff" + text, ["not a CSV file"]),
    ],
)
def test_a_damaged_file_is_refused_by_file_line_and_reason(tmp_path, damage, words):
    path = written(tmp_path / "e.csv", [(0.0, [FACE]), (0.1, [FACE])])
    path.write_bytes(damage(path.read_text()).encode(errors="surrogateescape"))
    with pytest.raises(EstimatesError) as raised:
        read_estimates(path)
    assert all(word in str(raised.value) for word in [str(path), *words]), str(raised.value)

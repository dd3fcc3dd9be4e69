"""The match rule chooses the face that the labels are compared with."""

from __future__ import annotations

import numpy as np
import pytest

from ast_net_ros.evaluation.estimates import EstimatesWriter
from ast_net_ros.evaluation.labels.matching import (
    MatchError,
    best_faces,
    check_rule,
    largest_faces,
    named_faces,
    read_face_table,
)
from ast_net_ros.face_affect import FaceAffect

FRAMES = 40
TRUTH = np.stack([np.sin(np.arange(FRAMES) / 5), np.cos(np.arange(FRAMES) / 7)], axis=1)


def face(face_id, width, valence, arousal):
    return FaceAffect(face_id, (0.0, 0.0, width, width), valence, arousal, 0.5, (0.125,) * 8, 1.0)


@pytest.fixture
def table(tmp_path):
    """`anna` agrees with the truth until frame 19 and comes back as `anna_2` from 25; `bob` is larger in odd frames."""
    with EstimatesWriter(tmp_path / "estimates.csv") as rows:
        for frame, (valence, arousal) in enumerate(TRUTH):
            faces = [face("bob", 60.0 if frame % 2 else 40.0, -valence, 0.3)]
            if frame < 20:
                faces.append(face("anna", 50.0, 0.9 * valence, 0.9 * arousal))
            if frame >= 25:
                faces.append(face("anna_2", 50.0, 0.8 * valence, arousal))
            rows.write(frame, frame / 10, faces if frame != 30 else [])
    return read_face_table(tmp_path / "estimates.csv")


def chosen(table, rows):
    return ["" if row < 0 else table.names[table.face[row]] for row in rows]


def test_the_largest_of_each_frame_is_the_nodes_primary_face(table):
    names = chosen(table, largest_faces(table, FRAMES))
    assert names[:3] == ["anna", "bob", "anna"] and names[20:25] == ["bob"] * 5
    assert names[30] == "" and names[31:33] == ["bob", "anna_2"]


def test_named_faces_join_the_pieces_of_one_person(table):
    names = chosen(table, named_faces(table, FRAMES, ["anna", "anna_2"]))
    assert names[:20] == ["anna"] * 20 and names[20:25] == [""] * 5 and names[31:] == ["anna_2"] * 9
    assert chosen(table, named_faces(table, FRAMES, ["bob", "anna"]))[:20] == ["bob"] * 20
    with pytest.raises(MatchError, match=r"no such face; the recording has: bob, anna, anna_2"):
        named_faces(table, FRAMES, ["carl"])


def test_the_best_match_joins_the_tracks_of_one_person(table):
    names, ccc = best_faces(table, TRUTH)
    assert set(names) == {"anna", "anna_2"} and ccc > 0.9
    without = np.full((FRAMES, 2), np.nan)
    assert best_faces(table, without) == ((), 0.0)


def test_a_face_of_a_few_frames_cannot_be_the_best(tmp_path):
    with EstimatesWriter(tmp_path / "estimates.csv") as rows:
        for frame, (valence, arousal) in enumerate(TRUTH):
            faces = [face("steady", 50.0, 0.5 * valence, 0.5 * arousal)]
            rows.write(frame, 0, [*faces, face("glimpse", 20.0, valence, arousal)] if frame < 3 else faces)
    assert best_faces(read_face_table(tmp_path / "estimates.csv"), TRUTH)[0] == ("steady",)


@pytest.mark.parametrize("rule", ["", "id:", "id:a,,b", "smallest"])
def test_an_unknown_rule_is_refused(rule):
    with pytest.raises(MatchError, match=r"unknown; expected largest, best or id:NAME"):
        check_rule(rule)

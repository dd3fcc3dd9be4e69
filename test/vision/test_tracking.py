"""One person keeps one number, two people never share one."""

import cv2
import numpy as np
import pytest

from ast_net_ros.vision.alignment import CHIP_SIDE
from ast_net_ros.vision.appearance import Appearance, edge_orientations
from ast_net_ros.vision.detection import Detection
from ast_net_ros.vision.tracking import FaceTracker, intersection_over_union


def _appearance(person: int, view: int = 0) -> Appearance:
    """An appearance of its own for every person; the views of one share nothing but the hair colour."""
    rng = np.random.default_rng(person)
    hair = rng.uniform(-20, 20, 3)
    coarse = np.random.default_rng([person, view]).integers(0, 255, (8, 8), dtype=np.uint8)
    return Appearance(edge_orientations(cv2.resize(coarse, (CHIP_SIDE, CHIP_SIDE))), hair)


def _face(x: float, y: float, size: float = 100, score: float = 0.9) -> Detection:
    return Detection((x, y, size, size), np.zeros((5, 2), np.float32), score)


def _show(tracker: FaceTracker, stamp: float, *people: tuple[int, Detection], view: int = 0) -> list[int | None]:
    appearances = [_appearance(person, view) for person, _ in people]
    tracks = tracker.update([face for _, face in people], appearances, stamp)
    return [track.number if track else None for track in tracks]


def test_a_moving_face_keeps_its_number():
    tracker = FaceTracker()
    numbers = [_show(tracker, i / 10, (1, _face(20 * i, 0))) for i in range(20)]
    assert numbers == [[1]] * 20


@pytest.mark.parametrize("rate", [30, 15, 10, 5])
def test_a_turning_head_keeps_its_number(rate):
    tracker = FaceTracker()
    for i in range(20):
        assert _show(tracker, i / rate, (1, _face(5 * (i % 4), 0)), view=i) == [1]


def test_a_head_that_turned_is_known_again_after_a_miss():
    tracker = FaceTracker()
    for i in range(4):
        assert _show(tracker, i / 5, (1, _face(0, 0)), view=i) == [1]
    assert _show(tracker, 0.8) == []
    assert _show(tracker, 1.2, (1, _face(5, 0)), view=0) == [1]


def test_followed_faces_keep_their_tracks_unless_one_has_ended():
    tracker = FaceTracker(timeout=1.0)
    tracks = tracker.update([_face(0, 0), _face(300, 0)], [_appearance(1), _appearance(2)], 0.0)
    assert tracker.follow(tracks[::-1], [_face(305, 0), _face(5, 0)], 0.1)
    assert [track.detection.box[0] for track in tracker.tracks] == [5, 305]
    assert not any(track.missed for track in tracker.tracks)
    assert tracker.follow(tracks[:1], [_face(10, 0)], 0.2)
    assert [track.missed for track in tracker.tracks] == [False, True]
    assert not tracker.follow(tracks, [_face(10, 0), _face(310, 0)], 1.15)


def test_a_short_miss_is_bridged_and_a_long_one_is_not():
    tracker = FaceTracker(timeout=1.0)
    assert _show(tracker, 0.0, (1, _face(0, 0))) == [1]
    assert _show(tracker, 0.5) == []
    assert tracker.tracks[0].missed
    assert _show(tracker, 0.9, (1, _face(5, 0))) == [1]
    assert _show(tracker, 2.0, (1, _face(5, 0))) == [2]


@pytest.mark.parametrize("gap", [0.4, 0.8])
def test_another_person_in_the_same_place_gets_another_number(gap):
    tracker = FaceTracker()
    assert _show(tracker, 0.0, (1, _face(0, 0))) == [1]
    assert _show(tracker, gap / 2) == []
    assert _show(tracker, gap, (2, _face(0, 0))) == [2]


def test_a_face_beside_the_last_place_must_look_alike():
    tracker = FaceTracker()
    assert _show(tracker, 0.0, (1, _face(0, 0))) == [1]
    assert _show(tracker, 0.2, (2, _face(60, 0))) == [2]


def test_two_people_who_change_places_keep_their_numbers():
    tracker = FaceTracker()
    for i in range(21):
        numbers = _show(tracker, i / 20, (1, _face(20 * i, 0)), (2, _face(400 - 20 * i, 10)))
        assert numbers == [1, 2]


def test_between_rivals_appearance_decides():
    tracker = FaceTracker()
    assert _show(tracker, 0.0, (1, _face(0, 0)), (2, _face(60, 0))) == [1, 2]
    assert _show(tracker, 0.2, (2, _face(10, 0)), (1, _face(50, 0))) == [2, 1]


def test_the_order_of_detections_does_not_matter():
    tracker = FaceTracker()
    assert _show(tracker, 0.0, (1, _face(0, 0)), (2, _face(300, 0))) == [1, 2]
    assert _show(tracker, 0.1, (2, _face(303, 0)), (1, _face(2, 0))) == [2, 1]


def test_a_face_cannot_jump_or_change_its_size_at_once():
    tracker = FaceTracker()
    assert _show(tracker, 0.0, (1, _face(0, 0))) == [1]
    assert _show(tracker, 0.04, (1, _face(500, 0))) == [2]
    assert _show(tracker, 0.08, (1, _face(500, 0, size=250))) == [3]


def test_an_unlikely_detection_begins_no_track():
    tracker = FaceTracker()
    assert _show(tracker, 0.0, (1, _face(0, 0, score=0.4))) == [None]
    assert _show(tracker, 0.1, (1, _face(0, 0))) == [1]
    assert _show(tracker, 0.2, (1, _face(3, 0, score=0.4)), (2, _face(300, 0, score=0.4))) == [1, None]


def test_numbers_go_on_after_a_reset():
    tracker = FaceTracker()
    assert _show(tracker, 5.0, (1, _face(0, 0))) == [1]
    tracker.reset()
    assert _show(tracker, 0.0, (1, _face(0, 0))) == [2]


def test_stamps_that_go_backward_are_refused():
    tracker = FaceTracker()
    _show(tracker, 5.0, (1, _face(0, 0)))
    with pytest.raises(ValueError, match="4.0"):
        _show(tracker, 4.0, (1, _face(0, 0)))


def test_intersection_over_union():
    assert intersection_over_union((0, 0, 2, 2), (1, 0, 2, 2)) == pytest.approx(1 / 3)
    assert intersection_over_union((0, 0, 2, 2), (5, 5, 2, 2)) == 0

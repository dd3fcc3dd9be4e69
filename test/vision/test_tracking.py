"""Ids that hold: one face keeps its number, two people never share one."""

import cv2
import numpy as np
import pytest

from ast_net_ros.vision.alignment import CHIP_SIDE
from ast_net_ros.vision.detection import Detection
from ast_net_ros.vision.tracking import FaceTracker, appearance, intersection_over_union


def _chip(person: int) -> np.ndarray:
    """A chip with a look of its own for every person."""
    coarse = np.random.default_rng(person).integers(0, 255, (8, 8), dtype=np.uint8)
    return cv2.resize(coarse, (CHIP_SIDE, CHIP_SIDE), interpolation=cv2.INTER_CUBIC)


def _face(x: float, y: float, size: float = 100) -> Detection:
    return Detection((x, y, size, size), np.zeros((5, 2), np.float32), 0.9)


def _show(tracker: FaceTracker, stamp: float, *people: tuple[int, Detection]) -> list[int]:
    tracks = tracker.update([face for _, face in people], [_chip(person) for person, _ in people], stamp)
    return [track.number for track in tracks]


def test_a_moving_face_keeps_its_number():
    tracker = FaceTracker()
    numbers = [_show(tracker, i / 10, (1, _face(20 * i, 0))) for i in range(20)]
    assert numbers == [[1]] * 20


def test_a_short_miss_is_bridged_and_a_long_one_is_not():
    tracker = FaceTracker(timeout=1.0)
    assert _show(tracker, 0.0, (1, _face(0, 0))) == [1]
    assert _show(tracker, 0.5) == []
    assert tracker.tracks[0].missed
    assert _show(tracker, 0.9, (1, _face(5, 0))) == [1]
    assert _show(tracker, 2.0, (1, _face(5, 0))) == [2]


def test_another_person_in_the_same_place_gets_another_number():
    tracker = FaceTracker()
    assert _show(tracker, 0.0, (1, _face(0, 0))) == [1]
    assert _show(tracker, 0.04, (2, _face(0, 0))) == [2]
    assert _show(tracker, 0.08) == []
    assert _show(tracker, 0.3, (3, _face(0, 0))) == [3]


def test_two_people_who_change_places_keep_their_numbers():
    tracker = FaceTracker()
    for i in range(21):
        numbers = _show(tracker, i / 20, (1, _face(20 * i, 0)), (2, _face(400 - 20 * i, 10)))
        assert numbers == [1, 2]


def test_two_people_keep_their_numbers_whatever_the_order_of_detections():
    tracker = FaceTracker()
    assert _show(tracker, 0.0, (1, _face(0, 0)), (2, _face(300, 0))) == [1, 2]
    assert _show(tracker, 0.1, (2, _face(303, 0)), (1, _face(2, 0))) == [2, 1]


def test_a_face_cannot_leap_across_the_picture_or_change_size_at_once():
    tracker = FaceTracker()
    assert _show(tracker, 0.0, (1, _face(0, 0))) == [1]
    assert _show(tracker, 0.04, (1, _face(500, 0))) == [2]
    assert _show(tracker, 0.08, (1, _face(500, 0, size=250))) == [3]


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


def test_looks_do_not_depend_on_light():
    chip = _chip(4)
    darker = (chip * 0.6 + 20).astype(np.uint8)
    assert float(appearance(chip) @ appearance(darker)) > 0.9
    assert float(appearance(chip) @ appearance(_chip(5))) < 0.5


def test_a_blank_chip_has_finite_looks():
    assert np.isfinite(appearance(np.zeros((CHIP_SIDE, CHIP_SIDE), np.uint8))).all()


def test_intersection_over_union():
    assert intersection_over_union((0, 0, 2, 2), (1, 0, 2, 2)) == pytest.approx(1 / 3)
    assert intersection_over_union((0, 0, 2, 2), (5, 5, 2, 2)) == 0


@pytest.mark.parametrize("side", [48, 64])
def test_looks_are_those_of_the_plain_formula(side):
    """Every pixel against every orientation, every cell by itself; exact where the cells are whole pixels."""
    for chip in [cv2.resize(_chip(person), (side, side)) for person in range(20)] + [np.zeros((side, side), np.uint8)]:
        grey = chip.astype(np.float32)
        dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
        angle = np.mod(np.arctan2(dy, dx), np.pi) * (8 / np.pi)
        votes = np.clip(1 - np.abs(np.mod(angle[..., None] - np.arange(8) + 4, 8) - 4), 0, None)
        votes = (votes * np.hypot(dx, dy)[..., None]).astype(np.float32)
        cells = np.stack(
            [cv2.resize(v, (6, 6), interpolation=cv2.INTER_AREA) for v in np.moveaxis(votes, 2, 0)], axis=2
        )
        cells = np.sqrt(cells / (np.linalg.norm(cells, axis=2, keepdims=True) + 20))
        cells -= cells.mean(axis=(0, 1))
        expected = (cells / max(float(np.linalg.norm(cells)), 1e-6)).ravel()
        assert np.abs(appearance(chip) - expected).max() < 1e-5

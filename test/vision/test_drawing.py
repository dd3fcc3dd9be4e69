"""What is drawn shows the right face in the right colour at any image size, and stays within the image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ast_net_ros.face_affect import FaceAffect, shared_area
from ast_net_ros.vision import drawing
from ast_net_ros.vision.drawing import AffectPlane, draw_faces, face_color


def make_face(face_id="face_1", box=(200.0, 120.0, 120.0, 150.0), valence=0.5, arousal=-0.25, confidence=0.8):
    return FaceAffect(face_id, box, valence, arousal, confidence, (0.125,) * 8, state_age=1.0)


def grey(height=360, width=640):
    return np.full((height, width, 3), 128, np.uint8)


def near(image, color, tolerance=30):
    return np.abs(image.astype(int) - color).max(axis=2) <= tolerance


def changed_area(image):
    """Left, top, right, bottom of everything drawn on grey."""
    rows, columns = np.nonzero((image != 128).any(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_colours_are_stable_and_differ_among_ten_faces():
    assert face_color("face_3") == face_color("face_3") == face_color("cam_7f_3")
    assert len({face_color(f"face_{number}") for number in range(1, 11)}) == 10
    assert face_color("anna") == face_color("anna")
    for name in ("", "face_0", "face_99999999999999", "ä"):
        assert len(face_color(name)) == 3


@pytest.mark.parametrize("scale", [0.5, 1, 2, 3])
def test_a_box_is_in_its_place_and_scales_with_the_image(scale):
    image = grey(int(360 * scale), int(640 * scale))
    draw_faces(image, [make_face(box=tuple(v * scale for v in make_face().box))])
    drawn = near(image, face_color("face_1"))
    x, y, width, height = (v * scale for v in make_face().box)
    middle = int(y + height / 2)
    left_line = np.flatnonzero(drawn[middle, : int(x + width / 2)])
    right_line = np.flatnonzero(drawn[middle, int(x + width / 2) :]) + int(x + width / 2)
    assert left_line.mean() == pytest.approx(x, abs=1.5) and right_line.mean() == pytest.approx(x + width, abs=1.5)
    assert len(left_line) == pytest.approx(max(1, scale), abs=0.8 + 0.5 * scale)


def test_the_label_states_id_confidence_and_signed_values(monkeypatch):
    written: list[str] = []
    monkeypatch.setattr(cv2, "putText", lambda image, text, *style: written.append(text))
    draw_faces(grey(), [make_face()])
    assert written == ["face_1", "80%", "V +0.50  A -0.25"]


@pytest.mark.parametrize(
    "box", [(0, 0, 640, 360), (600, 340, 40, 20), (-30, -30, 50, 50), (3, 300, 0, 0), (9e3, 9e3, 5, 5)]
)
@pytest.mark.parametrize("size", [(360, 640), (1, 1), (8, 300), (40, 20)])
def test_any_box_in_any_image_is_drawn_without_error(box, size):
    image = grey(*size)
    face = make_face(box=box)
    draw_faces(image, [face])
    plane = AffectPlane()
    plane.update([face], 0.0)
    plane.draw(image)
    assert image.shape == (*size, 3)


def test_labels_hide_neither_faces_nor_each_other():
    places: list[drawing.Box] = []
    faces = [
        make_face(f"face_{i}", (x, y, 60.0, 70.0))
        for i, (x, y) in enumerate([(120, 0), (220, 20), (220, 150), (500, 290)])
    ]
    for face in faces:
        size = (110, 40)
        others = [*places, *(other.box for other in faces if other is not face)]
        place = drawing._label_place((360, 640, 3), face.box, size, 4, others)
        places.append((*place, *size))
    for index, label in enumerate(places):
        assert 0 <= label[0] <= 640 - 110 and 0 <= label[1] <= 360 - 40
        own_allowance = 0.3 * 110 * 40
        assert all(shared_area(label, face.box) <= (own_allowance if face is faces[index] else 0) for face in faces)
        assert all(shared_area(label, other) == 0 for other in places[:index])


def test_the_plane_shows_each_faces_value_in_its_colour():
    plane = AffectPlane()
    plane.update([make_face("face_1", valence=0.8, arousal=0.8), make_face("face_2", valence=-0.8, arousal=-0.8)], 0.0)
    image = grey()
    plane.draw(image)
    left, top, right, bottom = changed_area(image)
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    for face_id, sign in (("face_1", 1), ("face_2", -1)):
        rows, columns = np.nonzero(near(image, face_color(face_id)))
        assert len(rows) > 10
        assert (columns.mean() - middle_x) * sign > 0.25 * (right - left)
        assert (middle_y - rows.mean()) * sign > 0.25 * (bottom - top)  # arousal points up


def plane_after(stamps_and_faces):
    plane = AffectPlane()
    plane.trail_seconds = 2.0
    for stamp, faces in stamps_and_faces:
        plane.update(faces, stamp)
    return plane


def pixels_of(plane, face_id):
    image = grey()
    plane.draw(image)
    return int(near(image, face_color(face_id), 60).sum())


def test_a_trail_grows_fades_and_ends_with_its_time():
    walk = [(i * 0.1, [make_face(valence=i / 20 - 0.5)]) for i in range(20)]
    assert pixels_of(plane_after(walk), "face_1") > pixels_of(plane_after(walk[-1:]), "face_1")
    gone = [*walk, (3.0, []), (4.2, [])]
    assert pixels_of(plane_after(gone), "face_1") == 0


def test_a_step_backward_in_time_clears_the_trails():
    walk = [(i * 0.1, [make_face(valence=i / 20 - 0.5)]) for i in range(20)]
    looped = plane_after([*walk, (0.0, [make_face(valence=0.45)])])
    assert pixels_of(looped, "face_1") == pixels_of(plane_after([(0.0, [make_face(valence=0.45)])]), "face_1")


def test_the_plane_leaves_a_corner_that_a_face_fills():
    in_right_corner, small_move = make_face(box=(480.0, 200.0, 150.0, 160.0)), make_face(box=(250.0, 200.0, 90.0, 90.0))
    plane = AffectPlane()
    lefts = []
    for stamp, face in enumerate([small_move, in_right_corner, small_move]):
        plane.update([face], stamp)
        image = grey()
        plane.draw(image)
        lefts.append(changed_area(image)[0])
    assert lefts[0] > 320 and lefts[1] < 320 and lefts[2] == lefts[1]

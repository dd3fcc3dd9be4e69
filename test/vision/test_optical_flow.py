"""Between detections, faces move with the image; a face that cannot be followed is reported as lost."""

import cv2
import numpy as np
import pytest

from ast_net_ros.settings import PipelineSettings
from ast_net_ros.vision.alignment import LANDMARK_TEMPLATE
from ast_net_ros.vision.detection import Detection
from ast_net_ros.vision.face_finder import FaceFinder, Frame
from ast_net_ros.vision.optical_flow import follow_faces, make_reference


def _scene() -> np.ndarray:
    coarse = np.random.default_rng(1).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    return cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)


def _face(x: float, y: float, size: float) -> Detection:
    return Detection((x, y, size, size), (LANDMARK_TEMPLATE * size + [x, y]).astype(np.float32), 0.9)


@pytest.mark.parametrize("size", [40.0, 90.0, 200.0])
def test_a_shifted_rotated_and_scaled_face_is_followed(size):
    scene = _scene()
    motion = cv2.getRotationMatrix2D((320, 240), 4, 1.03)
    motion[:, 2] += (5, -3)
    face = _face(280, 200, size)
    followed = follow_faces(make_reference(scene, [face]), cv2.warpAffine(scene, motion, (640, 480)))
    assert followed is not None
    wanted = face.landmarks @ motion[:, :2].T + motion[:, 2]
    assert np.abs(followed.faces[0].landmarks - wanted).max() < 0.02 * size
    assert followed.faces[0].box[2] == pytest.approx(size * 1.03, rel=0.02)


def test_faces_that_move_apart_are_followed_each_on_its_own():
    scene = _scene()
    moved = np.roll(scene, 4, axis=1)
    moved[:, 320:] = np.roll(scene, -4, axis=1)[:, 320:]
    followed = follow_faces(make_reference(scene, [_face(80, 200, 80), _face(450, 200, 80)]), moved)
    assert followed is not None
    left, right = followed.faces
    assert left.box[0] == pytest.approx(84, abs=1)
    assert right.box[0] == pytest.approx(446, abs=1)


def test_another_image_loses_the_face():
    reference = make_reference(_scene(), [_face(200, 200, 100)])
    assert follow_faces(reference, np.ascontiguousarray(_scene()[::-1, ::-1])) is None
    assert follow_faces(reference, np.full((480, 640, 3), 128, np.uint8)) is None
    assert follow_faces(reference, np.zeros((240, 320, 3), np.uint8)) is None


class _Counting:
    """A detector that always finds the same faces, and counts how often it is asked."""

    def __init__(self, *faces: Detection):
        self.faces, self.calls = list(faces), 0

    def detect(self, image_bgr, score_threshold=0.7, input_size=320):
        self.calls += 1
        return self.faces


@pytest.mark.parametrize(("second", "detections"), [(420, 1), (240, 4)])
def test_overlapping_faces_are_detected_in_every_frame(second, detections):
    detector = _Counting(_face(200, 200, 80), _face(second, 200, 80))
    finder, scene = FaceFinder(detector, 48), _scene()
    for index in range(4):
        found = finder.find(Frame(scene, index * 0.04), PipelineSettings())
        assert len(found.detections) == 2
    assert detector.calls == detections

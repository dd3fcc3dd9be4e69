"""Cropped images: one rule finds the face in them, whatever their size and format."""

import cv2
import numpy as np
import pytest

from ast_net_ros.vision.detection import Detection, largest_detection, make_detector
from ast_net_ros.vision.face_crops import crop_chip, find_face_in_crop


@pytest.fixture(scope="module")
def detector():
    return make_detector(threads=1)


@pytest.fixture(scope="module")
def crop(media, detector) -> np.ndarray:
    """A face with a quarter of its size around it."""
    frame = cv2.VideoCapture(str(media / "WolfgangLanger_Pexels.mp4")).read()[1]
    found = largest_detection(detector.detect(frame))
    assert found is not None
    x, y, w, h = found.box
    return frame[max(0, int(y - h / 8)) : int(y + h * 9 / 8), max(0, int(x - w / 8)) : int(x + w * 9 / 8)]


@pytest.mark.parametrize("side", [48, 96, 224, 400])
def test_the_same_landmarks_are_found_at_every_size(detector, crop, side):
    face = find_face_in_crop(detector, crop)
    assert face is not None
    scaled = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    found = find_face_in_crop(detector, scaled)
    assert found is not None
    to_side = np.array([side / crop.shape[1], side / crop.shape[0]])
    assert np.abs(found.landmarks - face.landmarks * to_side).max() < 0.04 * side
    assert 0.5 < found.box[2] / side < 1.1


def test_grey_and_colour_crops_give_nearly_the_same_chip(detector, crop):
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    (chip, found), (other, other_found) = crop_chip(detector, crop), crop_chip(detector, grey)
    assert found and other_found
    assert np.abs(chip.astype(int) - other).mean() < 6


def test_a_crop_without_a_face_gives_the_whole_image(detector):
    chip, found = crop_chip(detector, np.full((90, 60, 3), 128, np.uint8), side=32)
    assert not found
    assert chip.shape == (32, 32) and (chip == 128).all()


@pytest.mark.parametrize(("width", "accepted"), [(0.3, False), (0.8, True), (1.6, False)])
def test_detections_of_an_implausible_size_are_rejected(width, accepted):
    class FixedDetector:
        def detect(self, image_bgr, score_threshold=0.7, input_size=320):
            return [Detection((24.0, 24.0, 144 * width, 150.0), np.full((5, 2), 96.0, np.float32), 0.9)]

    face = find_face_in_crop(FixedDetector(), np.zeros((288, 288, 3), np.uint8))
    assert (face is not None) == accepted
    if face is not None:
        assert face.box == pytest.approx((0, 0, 288 * width, 300))

"""The quality of a face falls when it cannot be read, and only then."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ast_net_ros.vision.alignment import CHIP_SIDE, LANDMARK_TEMPLATE, align_face
from ast_net_ros.vision.detection import Detection, largest_detection, make_detector
from ast_net_ros.vision.quality import QUALITY_THRESHOLD, face_quality, sideways_turn


@pytest.fixture(scope="module")
def detector():
    return make_detector(threads=1)


@pytest.fixture(scope="module")
def portrait(media):
    """A clear frame and its face."""
    video = cv2.VideoCapture(str(media / "single_face.mp4"))
    frame = video.read()[1]
    return frame, largest_detection(make_detector(threads=1).detect(frame))


def quality(frame, face):
    return face_quality(face, align_face(frame, face.landmarks, CHIP_SIDE))


def test_a_clear_face_is_trusted(portrait):
    assert quality(*portrait).score > 0.9


def test_a_small_face_is_doubted(portrait, detector):
    frame, face = portrait
    scale = 20 / face.box[2]
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small = cv2.copyMakeBorder(small, 60, 60, 60, 60, cv2.BORDER_REPLICATE)
    assert quality(small, largest_detection(detector.detect(small))).score < QUALITY_THRESHOLD


def test_a_blurred_face_is_doubted(portrait):
    frame, face = portrait
    judged = quality(cv2.GaussianBlur(frame, (0, 0), 0.07 * face.box[2]), face)
    assert judged.sharpness < QUALITY_THRESHOLD and judged.score <= judged.sharpness


def test_a_dark_face_is_doubted(portrait):
    frame, face = portrait
    assert quality((frame * 0.15).astype(np.uint8), face).light < QUALITY_THRESHOLD


def test_a_covered_mouth_is_doubted(portrait):
    frame, face = portrait
    covered = frame.copy()
    covered[int(face.landmarks[2, 1]) :] = 120
    judged = quality(covered, face)
    assert judged.occlusion < QUALITY_THRESHOLD and judged.sharpness > QUALITY_THRESHOLD


def test_dark_glasses_are_doubted(portrait):
    frame, face = portrait
    covered = frame.copy()
    (left, right), distance = face.landmarks[:2], float(np.hypot(*(face.landmarks[1] - face.landmarks[0])))
    for eye in (left, right):
        cv2.ellipse(covered, (eye.astype(int).tolist(), (0.8 * distance, 0.6 * distance), 0), (25, 25, 25), -1)
    judged = quality(covered, face)
    assert judged.occlusion < QUALITY_THRESHOLD and judged.sharpness > QUALITY_THRESHOLD


def test_one_covered_eye_is_accepted(portrait):
    frame, face = portrait
    covered, eye = frame.copy(), face.landmarks[0].astype(int)
    radius = int(0.3 * np.hypot(*(face.landmarks[1] - face.landmarks[0])))
    cv2.circle(covered, eye.tolist(), radius, (120, 120, 120), -1)
    assert quality(covered, face).occlusion > QUALITY_THRESHOLD


def test_covered_eyes_are_doubted(portrait):
    frame, face = portrait
    (left, top), (right, bottom) = face.landmarks[:2].min(axis=0), face.landmarks[:2].max(axis=0)
    margin = 0.45 * (right - left)
    rows, columns = slice(int(top - margin), int(bottom + margin)), slice(int(left - margin), int(right + margin))
    covered = frame.copy()
    covered[rows, columns] = cv2.GaussianBlur(frame, (0, 0), margin)[rows, columns]  # as smooth as a hand
    judged = quality(covered, face)
    assert judged.occlusion < QUALITY_THRESHOLD and judged.sharpness > QUALITY_THRESHOLD


@pytest.mark.parametrize("side", [-1, 1])
def test_a_head_that_turns_away_is_doubted(portrait, side):
    frame, face = portrait
    turned = face.landmarks.copy()
    turned[2, 0] += side * 0.3 * (turned[1, 0] - turned[0, 0])
    assert quality(frame, replace(face, landmarks=turned)).pose < QUALITY_THRESHOLD


def test_a_tilted_head_is_not_turned():
    frontal = LANDMARK_TEMPLATE * 100
    angle = np.radians(40)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert sideways_turn(frontal) == pytest.approx(0, abs=1e-6)
    assert sideways_turn(frontal @ rotation.T) == pytest.approx(0, abs=1e-5)


def test_coinciding_landmarks_have_no_quality():
    face = Detection((0.0, 0.0, 50.0, 50.0), np.full((5, 2), 25.0, np.float32), 0.9)
    assert face_quality(face, np.zeros((CHIP_SIDE, CHIP_SIDE), np.uint8)).score == 0

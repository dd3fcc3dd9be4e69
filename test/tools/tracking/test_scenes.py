"""Real faces in rendered scenes keep their ids; so does the scenes' own truth hold."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tracking import scenes
from tracking.actors import Portrait, Pose
from tracking.observations import at_rate, observe

from ast_net_ros.vision.detection import make_detector
from ast_net_ros.vision.tracking import FaceTracker, intersection_over_union


def _portrait(name: str, path, numbers: tuple[int, int], left: int, detector) -> Portrait:
    """A square part of two frames of a video, neutral and smiling."""
    capture = cv2.VideoCapture(str(path))
    images = []
    for number in numbers:
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        frame = np.asarray(capture.read()[1])
        images.append(frame[:, left : left + len(frame)])
    neutral, smiling = images
    return Portrait(name, neutral, smiling, detector)


@pytest.fixture(scope="module")
def detector():
    return make_detector()


@pytest.fixture(scope="module")
def man(media, detector):
    return _portrait("man", media / "single_face.mp4", (0, 40), 110, detector)


@pytest.fixture(scope="module")
def woman(media, detector):
    return _portrait("woman", media / "WolfgangLanger_Pexels.mp4", (250, 280), 270, detector)


@pytest.fixture(autouse=True)
def short_scenes(monkeypatch):
    monkeypatch.setattr(scenes, "SECONDS", 4.0)


def _ids(frames) -> dict[str, list[int]]:
    """The track numbers of each person, one for every frame that shows the face."""
    tracker = FaceTracker()
    ids: dict[str, list[int]] = {}
    for frame in frames:
        tracks = tracker.update(frame.detections, frame.appearances, frame.time)
        for track, face in zip(tracks, frame.detections):
            true = max(frame.truth, key=lambda true: intersection_over_union(true.box, face.box))
            if track is not None and true.visible > 0.5:
                ids.setdefault(true.person, []).append(track.number)
    return ids


def test_a_turning_head_keeps_one_id_at_every_rate(man, detector):
    def turning(time: float) -> Pose:
        return Pose(320, 170, 100, yaw=42 * np.sin(4 * time), pitch=12 * np.sin(3 * time), smile=abs(np.sin(time)))

    scene = observe(scenes.Scene("turning", "turning", ((man, turning),)), detector)
    for rate in (30, 15, 10, 5):
        assert set(_ids(at_rate(scene.frames, rate, 0.0, 0))["man"]) == {1}


def test_one_person_in_place_of_another_gets_an_id(man, woman, detector):
    def first(time: float) -> Pose:
        return Pose(320, 170, 90, present=time < 1.5)

    def second(time: float) -> Pose:
        return Pose(325, 170, 90, yaw=10 * np.sin(time), present=time > 2)

    scene = observe(scenes.Scene("replacing", "replacing", ((man, first), (woman, second))), detector)
    for rate in (30, 15, 10, 5):
        ids = _ids(at_rate(scene.frames, rate, 0.0, 0))
        assert set(ids["man"]).isdisjoint(ids["woman"])


def test_the_true_box_is_where_the_detector_finds_the_face(man, detector):
    def turning(time: float) -> Pose:
        return Pose(300, 170, 90, roll=20 * np.sin(time), yaw=30 * np.sin(2 * time))

    scene = observe(scenes.Scene("turning", "turning", ((man, turning),)), detector)
    overlaps = [
        intersection_over_union(frame.truth[0].box, face.box) for frame in scene.frames for face in frame.detections
    ]
    assert len(overlaps) >= len(scene.frames) and min(overlaps) > 0.5

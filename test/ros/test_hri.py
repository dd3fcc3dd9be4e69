"""The running node among ROS4HRI nodes (REP-155), with the installed hri_msgs or, without one, one built here."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import Header

from ast_net_ros.face_affect import FaceAffect, HeadPose
from ast_net_ros.model import EMOTIONS
from ast_net_ros.ros.camera import Camera
from ast_net_ros.ros.conversions import image_message, nanoseconds, time_message
from ast_net_ros.ros.hri.face_messages import (
    EXPRESSIONS,
    cropped_face,
    engagement_level,
    expression_of,
    landmarks_message,
    roi_message,
)
from ast_net_ros.ros.hri.matches import MATCHES
from ast_net_ros.ros.hri.messages import FACES, PERSONS, TRACKED, load_hri_messages
from ast_net_ros.ros.hri.output import HriOutput
from ast_net_ros.ros.inference_thread import Estimate
from ast_net_ros.vision.detection import make_detector
from ast_net_ros.vision.image_decoding import decode_image

HEADER = "std_msgs/Header header\n"
# The names and fields of hri_msgs 2, as far as they are used.
MESSAGES = {
    "IdsList": HEADER + "string[] ids\n",
    "IdsMatch": ""
    + "".join(f"int8 {name}={n}\n" for n, name in enumerate(("UNSET", "PERSON", "FACE", "BODY", "VOICE")))
    + "string id1\nint8 id1_type\nstring id2\nint8 id2_type\nfloat32 confidence\n",
    "NormalizedRegionOfInterest2D": HEADER
    + "".join(f"float32 {name}\n" for name in ("xmin", "ymin", "xmax", "ymax", "c")),
    "Expression": HEADER
    + "".join(
        f'string {name.upper()}="{name}"\n'
        for name in ("neutral", "angry", "sad", "happy", "surprised", "disgusted", "scared")
    )
    + "string expression\nfloat32 valence\nfloat32 arousal\nfloat32 confidence\n",
    "EngagementLevel": HEADER
    + "".join(
        f"uint8 {name}={value}\n"
        for value, name in enumerate(("UNKNOWN", "DISENGAGED", "ENGAGING", "ENGAGED", "DISENGAGING"))
    )
    + "uint8 level\n",
    "NormalizedPointOfInterest2D": "float32 x\nfloat32 y\nfloat32 c\n",
    "FacialLandmarks": HEADER
    + "uint8 NOSE=30\nuint8 MOUTH_OUTER_RIGHT=48\nuint8 MOUTH_OUTER_LEFT=54\n"
    + "uint8 RIGHT_PUPIL=68\nuint8 LEFT_PUPIL=69\n"
    + "NormalizedPointOfInterest2D[] landmarks\nuint32 height\nuint32 width\n",
}


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 60
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within a minute: {what}"
        time.sleep(0.02)
    return value


@pytest.fixture(scope="module")
def hri_msgs(message_package: Any) -> Iterator[Any]:
    """The module hri_msgs.msg, for this process and those that it starts."""
    with message_package.usable("hri_msgs", MESSAGES, ["std_msgs"]) as messages:
        yield messages


class Human:
    """Another node of a ROS4HRI robot: hears of the faces and follows each one's topics."""

    def __init__(self, client: Any, hri_msgs: Any):
        self.tracked: list[Any] = []
        self.rois: dict[str, list[Any]] = {}
        self.expressions: dict[str, list[Any]] = {}
        self.client, self._messages = client, hri_msgs
        self.subscriptions = [client.create_subscription(hri_msgs.IdsList, TRACKED, self._on_tracked, 100)]

    def _on_tracked(self, message: Any) -> None:
        self.tracked.append(message)
        for face_id in message.ids:
            if face_id not in self.rois:
                self.follow(face_id)

    def follow(self, face_id: str) -> None:
        rois, expressions = self.rois.setdefault(face_id, []), self.expressions.setdefault(face_id, [])
        types = (
            ("roi", self._messages.NormalizedRegionOfInterest2D, rois),
            ("expression", self._messages.Expression, expressions),
        )
        self.subscriptions += [
            self.client.create_subscription(kind, f"{FACES}/{face_id}/{name}", kept.append, 100)
            for name, kind, kept in types
        ]

    def topics(self) -> set[str]:
        """Those that somebody publishes below /humans/faces."""
        names = (name for name, _ in self.client.get_topic_names_and_types() if name.startswith(FACES + "/"))
        return {name for name in names if self.client.count_publishers(name)}

    def end(self) -> None:
        for subscription in self.subscriptions:
            self.client.destroy_subscription(subscription)


@pytest.fixture
def human(client: Any, hri_msgs: Any) -> Iterator[Human]:
    one = Human(client, hri_msgs)
    yield one
    one.end()


def await_expression(human: Human, show: Callable[[], Any]) -> tuple[str, Any, Any]:
    """Show crops until a face's region and expression have come; the face's id, and both."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        show()
        for face_id, expressions in human.expressions.items():
            if expressions and human.rois[face_id]:
                return face_id, human.rois[face_id][-1], expressions[-1]
    pytest.fail("no expression within a minute")


def test_faces_are_published_as_rep_155_specifies(
    client: Any, start: Any, human: Human, face_frames: list[np.ndarray], empty_frames: list[np.ndarray], policies: Any
) -> None:
    node = start("ast_net_node", "--ros-args", "-p", "hri:=true", "-p", "track_timeout:=0.5")
    node.said("waiting for images")
    face_id, roi, expression = await_expression(human, lambda: client.show(face_frames[0], frame_id="optical"))

    face = next(m for m in client.faces if m.header == expression.header).faces[0]
    assert face.face_id == face_id and expression.header.frame_id == "optical"
    assert (expression.valence, expression.arousal, expression.confidence) == (
        face.valence, face.arousal, face.confidence
    )  # fmt: skip
    likeliest = EMOTIONS[int(np.argmax(face.emotions[:7]))]
    assert expression.expression == getattr(human._messages.Expression, EXPRESSIONS[likeliest])
    height, width = face_frames[0].shape[:2]
    pixels = [roi.xmin * width, roi.ymin * height, (roi.xmax - roi.xmin) * width, (roi.ymax - roi.ymin) * height]
    assert pixels == pytest.approx([face.roi.x_offset, face.roi.y_offset, face.roi.width, face.roi.height], abs=8)
    assert 0.7 < roi.c <= 1, "the score of the detection, not the threshold"
    wait_until(lambda: human.tracked[-1].ids == [face_id], "the face in the list")
    own = {f"{FACES}/{face_id}/{name}" for name in ("roi", "cropped", "expression", "landmarks", "engagement_status")}
    assert human.topics() == {TRACKED, *own}
    policy = "ast_net_hri_output.policy.xml"
    wait_until(lambda: not policies.unused(client, "ast_net", policy), "all that the policy allows")
    assert not policies.denied(client, "ast_net", policy)

    # The face's landmarks, crop and engagement are published to subscribers.
    levels: list[Any] = []
    landmarks: list[Any] = []
    for kind, name, kept in (
        ("EngagementLevel", "engagement_status", levels),
        ("FacialLandmarks", "landmarks", landmarks),
    ):
        topic = f"{FACES}/{face_id}/{name}"
        human.subscriptions.append(client.create_subscription(getattr(human._messages, kind), topic, kept.append, 1))
    crops: list[Any] = []
    human.subscriptions.append(client.create_subscription(Image, f"{FACES}/{face_id}/cropped", crops.append, 1))
    while not (crops and levels and landmarks):
        client.show(face_frames[0])
    assert levels[-1].level in (human._messages.EngagementLevel.DISENGAGED, human._messages.EngagementLevel.ENGAGING)
    points = landmarks[-1].landmarks
    assert len(points) == 70 and (landmarks[-1].width, landmarks[-1].height) == (width, height)
    right, left = (points[getattr(human._messages.FacialLandmarks, name)] for name in ("RIGHT_PUPIL", "LEFT_PUPIL"))
    assert [right.x * width, right.y * height, left.x * width, left.y * height] == pytest.approx(
        face.landmarks[:4].tolist(), abs=4
    )
    assert right.c > 0.7 and points[0].c == 0, "ears are not known"
    crop = decode_image(crops[-1])
    assert crop.shape == (128, 128, 3) and not crop[:, 0].any(), "a high face has black to its sides"
    assert np.abs(crop.astype(int) - crop_of(face_frames[0])).mean() < 12
    wait_until(lambda: human.tracked[-1].ids == [face_id], "still the same face")

    # A short miss changes nothing, a long one ends the face.
    client.show(empty_frames[0], step=0.1)
    client.show(face_frames[1])
    wait_until(lambda: nanoseconds(human.tracked[-1].header.stamp) == client._stamp_ns, "the list of this image")
    assert human.tracked[-1].ids == [face_id]
    for image in empty_frames:
        client.show(image, step=0.1)
    wait_until(lambda: human.tracked[-1].ids == [], "the list without the face")
    wait_until(lambda: human.topics() == {TRACKED}, "the face's topics taken back")

    # A camera that dies takes its faces along, though no image tells of it.
    client.show(face_frames[2], step=0.2)  # the time between two detections
    wait_until(lambda: len(human.tracked[-1].ids) == 1 and human.tracked[-1].ids != [face_id], "a new face")
    wait_until(lambda: human.tracked[-1].ids == [], "the silent camera's face is lost")

    client.show(face_frames[3])
    assert client.transition(Transition.TRANSITION_DEACTIVATE)
    wait_until(lambda: human.topics() == {TRACKED}, "an inactive node follows nobody")
    assert client.transition(Transition.TRANSITION_CLEANUP)
    wait_until(lambda: human.topics() == set(), "cleanup takes every topic back")
    assert node.end() == 0 and "Traceback" not in node.log


def crop_of(image: np.ndarray) -> np.ndarray:
    """A face as REP-155's `cropped` has it: cut at its box, scaled and padded with black to 128 x 128."""
    x, y, width, height = (round(value) for value in make_detector().detect(image)[0].box)
    face = image[max(y, 0) : y + height, max(x, 0) : x + width]
    scale = 128 / max(face.shape[:2])
    face = cv2.resize(face, None, fx=scale, fy=scale)[:128, :128]
    crop = np.zeros((128, 128, 3), np.uint8)
    top, left = (128 - face.shape[0]) // 2, (128 - face.shape[1]) // 2
    crop[top : top + face.shape[0], left : left + face.shape[1]] = face
    return crop


class Detector:
    """A ROS4HRI face detector that reports the faces it is given."""

    def __init__(self, client: Any, hri_msgs: Any):
        self.client, self.messages = client, hri_msgs
        self._tracked = client.create_publisher(hri_msgs.IdsList, TRACKED, 1)
        self._pictures: dict[str, Any] = {}
        self._others: list[Any] = [self._tracked]

    def tell(self, *face_ids: str) -> None:
        stamp = time_message(self.client._stamp_ns)
        self._tracked.publish(self.messages.IdsList(header=Header(stamp=stamp), ids=list(face_ids)))

    def show(self, face_id: str, crop: np.ndarray, name: str = "cropped") -> Any:
        """Report the face and publish its crop until it is answered."""
        topic = f"{FACES}/{face_id}/{name}"
        if topic not in self._pictures:
            self._pictures[topic] = self.client.create_publisher(Image, topic, 1)
        deadline = time.monotonic() + 60
        while not self._pictures[topic].get_subscription_count():
            self.tell(*(key.split("/")[3] for key in self._pictures))  # again and again, as detectors do
            assert time.monotonic() < deadline, f"nobody subscribes to {topic}"
            time.sleep(0.1)
        header = Header(stamp=time_message(self.client.next_stamp()), frame_id="optical")
        return self.client.answer_to(image_message(header, crop), self._pictures[topic])

    def measure(self, face_id: str, side: float) -> None:
        """Publish the face's region, again and again until the node must have it."""
        roi = self.messages.NormalizedRegionOfInterest2D(xmin=0.0, ymin=0.0, xmax=side, ymax=side)
        publisher = self.client.create_publisher(type(roi), f"{FACES}/{face_id}/roi", 1)
        self._others.append(publisher)
        wait_until(publisher.get_subscription_count, "a subscriber of the region")
        for _ in range(3):
            publisher.publish(roi)
            time.sleep(0.2)

    def end(self) -> None:
        for publisher in (*self._others, *self._pictures.values()):
            self.client.destroy_publisher(publisher)
        self._others, self._pictures = [], {}


@pytest.fixture
def detector(client: Any, hri_msgs: Any) -> Iterator[Detector]:
    one = Detector(client, hri_msgs)
    yield one
    one.end()


def test_the_faces_of_another_detector_are_taken_under_its_ids(
    client: Any, start: Any, detector: Detector, human: Human, face_frames: list[np.ndarray], policies: Any
) -> None:
    node = start("ast_net_node", "--ros-args", "-p", "face_source:=hri", "-p", "hri:=true")
    node.said(f"waiting for images on the topics in {TRACKED}")
    assert client.count_subscribers("image") == 0
    crops = [crop_of(image) for image in face_frames[:6]]
    human.follow("anna")
    answers = [detector.show("anna", crop) for crop in crops]
    assert {answer.source for answer in answers} == {f"{FACES}/anna/cropped"}
    assert [face.face_id for answer in answers for face in answer.faces] == ["anna"] * len(crops)
    ages = [answer.faces[0].state_age for answer in answers]
    assert ages == sorted(ages) and ages[-1] > 0, "the state lives on from crop to crop"
    wait_until(lambda: human.expressions["anna"], "the expression under the detector's id")
    assert human.rois["anna"] == [], "regions are the detector's own to publish"

    # A second face, of which only the aligned crop is offered, is larger and becomes the primary one.
    assert detector.show("bert", crops[0], "aligned").faces[0].face_id == "bert"
    detector.measure("anna", 0.1)
    detector.measure("bert", 0.5)
    client.primary.clear()
    for crop in crops[:3]:
        detector.show("anna", crop)
        detector.show("bert", crop, "aligned")
    wait_until(lambda: client.primary, "a primary face")
    time.sleep(0.3)
    assert {face.face_id for face in client.primary} == {"bert"}
    policy = "ast_net_hri_input.policy.xml"
    wait_until(lambda: not policies.unused(client, "ast_net", policy), "all that the policy allows")
    assert not policies.denied(client, "ast_net", policy)

    # Who is no longer in the list is forgotten, and known by nothing when the id comes back.
    detector.tell("bert")
    wait_until(lambda: client.count_subscribers(f"{FACES}/anna/cropped") == 0, "anna's topics are left")
    assert detector.show("anna", crops[5]).faces[0].state_age == 0

    # Ids that can be no topic, and a detector that dies.
    detector.tell("anna", "1st", "no/good", "")
    node.said("ignoring id '1st', which cannot be part of a topic name")
    detector.end()
    wait_until(lambda: client.count_subscribers(f"{FACES}/anna/cropped") == 0, "nobody is followed any more")
    node.said(f"{TRACKED} has no publisher; start a ROS4HRI face detector")
    assert node.end() == 0 and "Traceback" not in node.log


@pytest.mark.skipif(importlib.util.find_spec("hri_msgs") is not None, reason="hri_msgs is installed here")
@pytest.mark.parametrize("argument", ["hri:=true", "face_source:=hri"])
def test_without_hri_msgs_the_options_are_refused_clearly(start: Any, argument: str, monkeypatch: Any) -> None:
    # Another test of this run may have put it on the path.
    for variable in ("PYTHONPATH", "AMENT_PREFIX_PATH"):
        parts = os.environ[variable].split(os.pathsep)
        monkeypatch.setenv(variable, os.pathsep.join(part for part in parts if "hri_msgs" not in part))
    node = start("ast_net_node", "--ros-args", "-p", argument)
    assert node.process.wait(60) == 1
    assert "cannot configure: parameters hri and face_source: hri require the package hri_msgs" in node.log
    assert "Traceback" not in node.log


def test_a_region_is_in_pixels_with_old_hri_msgs() -> None:
    face: Any = SimpleNamespace(box=(10.0, 20.0, 30.0, 40.0))
    roi = roi_message(RegionOfInterest, Header(), face, (640, 480))
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (10, 20, 30, 40)


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.0, 5.0), (600.0, 0.0, 40.0, 480.0), (639.6, 479.6, 0.3, 0.3)])
def test_a_face_at_the_edge_still_has_a_picture(box: tuple[float, float, float, float]) -> None:
    white = np.full((480, 640, 3), 255, np.uint8)
    crop = cropped_face(white, box)
    assert crop.shape == (128, 128, 3)
    assert crop.any() == (box[2] > 1)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_every_emotion_becomes_an_expression_that_rep_155_lists(emotion: str) -> None:
    likely = [0.9 if name == emotion else 0.3 if name == "sadness" else 0.0 for name in EMOTIONS]
    assert expression_of(likely) == EXPRESSIONS.get(emotion, "SAD")


def estimate_of(**changes: Any) -> FaceAffect:
    pose = HeadPose(0.0, 0.0, 0.0, (0.1, 0.1, 0.1))
    face = FaceAffect("face_1", (10.0, 10.0, 50.0, 50.0), 0.0, 0.0, 0.5, (0.125,) * 8, 1.0, head_pose=pose)
    return replace(face, **changes)


def test_engagement_passes_through_the_levels_with_hysteresis() -> None:
    level, levels = "UNKNOWN", []
    for share in (0.0, 0.25, 0.35, 0.25, 0.15, 0.35, 0.77, 0.72, 0.65, 0.77, 0.85, 0.6, 0.22):
        level = engagement_level(estimate_of(engagement=share), level)
        levels.append(level[0] + level[-3:].lower())
    assert levels == [
        *("Dged", "Dged", "Eing", "Eing", "Dged", "Eing", "Eged", "Eged", "Ding", "Ding", "Eged", "Ding", "Dged")
    ]
    assert engagement_level(estimate_of(engagement=1.0, head_pose=None), "ENGAGED") == "UNKNOWN"


def test_landmarks_outside_the_image_are_left_out(hri_msgs: Any) -> None:
    points = ((-5.0, 10.0), (40.0, 10.0), (20.0, 20.0), (10.0, 30.0), (30.0, 130.0))
    face = estimate_of(landmarks=points, detection_score=0.9)
    message = landmarks_message(load_hri_messages(), Header(), face, (100, 50))
    known = {index: (point.x, point.y) for index, point in enumerate(message.landmarks) if point.c}
    assert known == {69: pytest.approx((0.4, 0.2)), 30: pytest.approx((0.2, 0.4)), 48: pytest.approx((0.1, 0.6))}


def test_the_engagement_of_a_person_is_that_of_the_most_engaged_face(client: Any, hri_msgs: Any) -> None:
    node = LifecycleNode("hri_output")
    output = HriOutput(node, load_hri_messages(), True)
    heard: list[Any] = []
    topic = f"{PERSONS}/anna/engagement_status"
    subscription = client.create_subscription(hri_msgs.EngagementLevel, topic, heard.append, 10)

    def show(camera: str, face_id: str, engagement: float) -> None:
        face = estimate_of(face_id=face_id, engagement=engagement, person_id="anna")
        header = Header(frame_id=camera)
        image = np.zeros((100, 100, 3), np.uint8)
        output.publish(Estimate(Camera(f"/{camera}"), header, 1.0, image, [face]), 1.0)

    try:
        show("left", "face_1", 0.9)
        wait_until(lambda: client.count_publishers(topic) and node.count_subscribers(topic), "the topic")
        while not heard:
            show("left", "face_1", 0.9)
            time.sleep(0.05)
        heard.clear()
        show("right", "face_2", 0.1)
        show("left", "face_1", 0.9)
        wait_until(lambda: heard, "the engagement")
        assert {message.header.frame_id for message in heard} == {"left"}
        assert heard[-1].level == hri_msgs.EngagementLevel.ENGAGED
    finally:
        output.destroy()
        client.destroy_subscription(subscription)
        node.destroy_node()


def test_another_node_tells_who_a_face_belongs_to(
    client: Any, hri_msgs: Any, start: Any, face_frames: list[np.ndarray], policies: Any
) -> None:
    node = start("ast_net_node", "--ros-args", "-p", "persons:=true")
    node.said("waiting for images")
    identifier = client.create_publisher(hri_msgs.IdsMatch, MATCHES, 10)
    wait_until(lambda: identifier.get_subscription_count() == 1, "a subscriber of matches")
    face_id = client.show(face_frames[0], step=100.0).faces[0].face_id

    def match(person: str, confidence: float) -> None:
        face, kind = hri_msgs.IdsMatch.FACE, hri_msgs.IdsMatch.PERSON
        identifier.publish(
            hri_msgs.IdsMatch(id1=face_id, id1_type=face, id2=person, id2_type=kind, confidence=confidence)
        )

    def person() -> str:
        return client.show(face_frames[0]).faces[0].person_id

    match("anna", 0.8)
    wait_until(lambda: person() == "anna", "the person that was told")
    match("bert", 0.7)
    node.said(
        f"ignoring the match of '{face_id}' and 'bert': it contradicts stronger matches or forms a cycle with them"
    )
    assert person() == "anna"
    match("anna", 0.0)
    wait_until(lambda: person() != "anna", "the match taken back")
    assert not policies.denied(client, "ast_net")
    client.destroy_publisher(identifier)
    assert node.end() == 0 and "Traceback" not in node.log

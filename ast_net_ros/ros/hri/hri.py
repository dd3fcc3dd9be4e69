"""ROS4HRI (REP-155): faces in the form that other nodes for human-robot interaction expect and provide.

Out, by HriOutput: `/humans/faces/tracked` and, for every face, `/humans/faces/<id>/roi`, `.../cropped` and
`.../expression`; a lost face takes its topics along. In, by HriInput: another detector's `/humans/faces/tracked`, whose
faces become image topics (`/humans/faces/<id>/cropped`, or `aligned` where only that is offered) under the ids that
the detector gave.

The messages are those of the package hri_msgs, which is looked for only when one of the two is wanted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.validate_full_topic_name import validate_full_topic_name
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import Header

from ast_net_ros.model import EMOTIONS
from ast_net_ros.pipeline import FaceAffect
from ast_net_ros.ros.conversions import region_of_interest
from ast_net_ros.ros.image_messages import image_message
from ast_net_ros.ros.inference_thread import Estimate

FACES = "/humans/faces"
TRACKED = f"{FACES}/tracked"
CROP_SIDE = 128  # pixels; REP-155's default
CROPS = ("cropped", "aligned")  # REP-155's names for pictures of one face, the one to be preferred first
DEPTH = 10
# Of the expressions that REP-155 lists, those that the discrete emotions have; contempt is not among them.
EXPRESSIONS = {
    "neutral": "NEUTRAL",
    "happiness": "HAPPY",
    "surprise": "SURPRISED",
    "sadness": "SAD",
    "anger": "ANGRY",
    "disgust": "DISGUSTED",
    "fear": "SCARED",
}


class HriError(RuntimeError):
    """ROS4HRI is asked for and cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class HriMessages:
    """The message classes. roi: NormalizedRegionOfInterest2D, or sensor_msgs/RegionOfInterest before hri_msgs 0.8."""

    ids_list: Any
    expression: Any
    roi: Any


def load_hri_messages() -> HriMessages:
    """The classes of the installed hri_msgs. Raises HriError."""
    try:
        from hri_msgs import msg
    except ImportError as error:
        raise HriError(
            f"parameters hri and face_source: hri need the package hri_msgs, which cannot be loaded ({error}); install "
            "ros-$ROS_DISTRO-hri-msgs or build it in your workspace and source that, or leave both at their defaults"
        ) from error
    return HriMessages(msg.IdsList, msg.Expression, getattr(msg, "NormalizedRegionOfInterest2D", RegionOfInterest))


def expression_of(emotions: Sequence[float]) -> str:
    """The most probable of EXPRESSIONS, as the name of its constant in hri_msgs/Expression."""
    return EXPRESSIONS[max((p, name) for name, p in zip(EMOTIONS, emotions) if name in EXPRESSIONS)[1]]


def face_picture(image_bgr: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """What REP-155 calls `cropped`: the pixels in `box`, scaled and padded with black to CROP_SIDE x CROP_SIDE."""
    region = region_of_interest(box, (image_bgr.shape[1], image_bgr.shape[0]))
    picture = np.zeros((CROP_SIDE, CROP_SIDE, 3), np.uint8)
    if not region.width or not region.height:
        return picture
    rows = slice(region.y_offset, region.y_offset + region.height)
    face = image_bgr[rows, region.x_offset : region.x_offset + region.width]
    scale = CROP_SIDE / max(region.width, region.height)
    size = (max(1, round(region.width * scale)), max(1, round(region.height * scale)))
    left, top = (CROP_SIDE - size[0]) // 2, (CROP_SIDE - size[1]) // 2
    resized = cv2.resize(face, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    picture[top : top + size[1], left : left + size[0]] = resized
    return picture


@dataclass
class _PublishedFace:
    """One face's topics; stamp: of the last image that showed it, in seconds."""

    camera: str
    stamp: float
    publishers: dict[str, Any] = field(default_factory=dict)


class HriOutput:
    """Publishes faces as REP-155 wants them. Safe to be called from any thread.

    owns_faces: false where another detector publishes which faces there are, and only expressions are added.
    """

    def __init__(self, node: Node, messages: HriMessages, owns_faces: bool):
        self._node, self._messages, self._owns_faces = node, messages, owns_faces
        self._faces: dict[str, _PublishedFace] = {}
        self._images_at: dict[str, float] = {}  # camera -> when its last image was processed, monotonic
        self._lock = threading.Lock()
        self._tracked = node.create_publisher(messages.ids_list, TRACKED, DEPTH) if owns_faces else None

    def publish(self, estimate: Estimate, timeout: float, certainty: float) -> None:
        """The faces of one image. timeout: seconds unseen until a face is lost. certainty: the least of a region."""
        camera, header = estimate.camera.topic, estimate.header
        height, width = estimate.image_bgr.shape[:2]
        with self._lock:
            self._images_at[camera] = time.monotonic()
            for face in estimate.faces:
                known = self._faces.get(face.face_id)
                if known is None:
                    known = self._faces[face.face_id] = self._begin(face.face_id, camera)
                known.stamp = estimate.stamp
                known.publishers["expression"].publish(self._expression(header, face))
                if self._owns_faces:
                    known.publishers["roi"].publish(self._roi(header, face, (width, height), certainty))
                    if known.publishers["cropped"].get_subscription_count():
                        picture = face_picture(estimate.image_bgr, face.box)
                        known.publishers["cropped"].publish(image_message(header, picture))
            before = [(face_id, known) for face_id, known in self._faces.items() if known.camera == camera]
            # Stamps that went backward (a looped bag) have ended every face of before.
            self._end([i for i, known in before if not 0 <= estimate.stamp - known.stamp <= timeout])
            self._publish_tracked(header)

    def sweep(self, timeout: float) -> None:
        """Lose the faces of cameras that are silent for `timeout` seconds, as no image of theirs will tell."""
        with self._lock:
            since = time.monotonic() - timeout
            silent = {camera for camera, moment in self._images_at.items() if moment < since}
            lost = [face_id for face_id, known in self._faces.items() if known.camera in silent]
            self._end(lost)
            for camera in silent:
                del self._images_at[camera]
            if lost:
                self._publish_tracked(Header(stamp=self._node.get_clock().now().to_msg()))

    def clear(self) -> None:
        """Lose every face."""
        with self._lock:
            self._end(list(self._faces))
            self._images_at.clear()
            self._publish_tracked(Header(stamp=self._node.get_clock().now().to_msg()))

    def destroy(self) -> None:
        """Take all topics back."""
        self.clear()
        if self._tracked is not None:
            self._node.destroy_publisher(self._tracked)
            self._tracked = None

    def _begin(self, face_id: str, camera: str) -> _PublishedFace:
        wanted = {"expression": self._messages.expression}
        if self._owns_faces:
            wanted |= {"roi": self._messages.roi, "cropped": Image}
        offer = self._node.create_publisher
        publishers = {name: offer(kind, f"{FACES}/{face_id}/{name}", DEPTH) for name, kind in wanted.items()}
        return _PublishedFace(camera, 0.0, publishers)

    def _end(self, face_ids: Iterable[str]) -> None:
        for face_id in face_ids:
            for publisher in self._faces.pop(face_id).publishers.values():
                self._node.destroy_publisher(publisher)

    def _publish_tracked(self, header: Header) -> None:
        if self._tracked is not None:
            self._tracked.publish(self._messages.ids_list(header=header, ids=list(self._faces)))

    def _expression(self, header: Header, face: FaceAffect) -> Any:
        kind = self._messages.expression
        values = {"valence": face.valence, "arousal": face.arousal, "confidence": face.confidence}
        name = getattr(kind, expression_of(face.emotions))
        return kind(header=header, expression=name, **{key: float(value) for key, value in values.items()})

    def _roi(self, header: Header, face: FaceAffect, image_size: tuple[int, int], certainty: float) -> Any:
        if self._messages.roi is RegionOfInterest:
            return region_of_interest(face.box, image_size)
        (x, y, width, height), (columns, rows) = face.box, image_size
        corners = {"xmin": x / columns, "ymin": y / rows, "xmax": (x + width) / columns, "ymax": (y + height) / rows}
        bounded = {name: min(max(float(value), 0.0), 1.0) for name, value in corners.items()}
        return self._messages.roi(header=header, c=float(certainty), **bounded)


@dataclass
class _DetectedFace:
    """A face of the other detector. area: of its region, in the unit of whatever that detector publishes."""

    topic: str
    roi: Any
    area: float = 0.0


class HriInput:
    """Follows another detector's list of faces. All of it runs in the node's executor, except `named` and `primary`.

    begin, end: called with an image topic that is to be subscribed to, or no longer. heard: whether an image has come
    from a topic. most: how many faces are followed at a time.
    """

    def __init__(
        self,
        node: Node,
        messages: HriMessages,
        begin: Callable[[str], None],
        end: Callable[[str], None],
        heard: Callable[[str], bool],
        most: Callable[[], int],
    ):
        self._node, self._messages = node, messages
        self._begin, self._end, self._heard, self._most = begin, end, heard, most
        self._faces: dict[str, _DetectedFace] = {}
        self._refused: set[str] = set()
        self._present_at, self._missing_said = time.monotonic(), False
        self._tracked = node.create_subscription(messages.ids_list, TRACKED, self._on_tracked, DEPTH)

    def named(self, topic: str, faces: Sequence[FaceAffect]) -> list[FaceAffect] | None:
        """The one face that the pictures of `topic` are of, under the detector's id. None once that face is gone."""
        for face_id, known in list(self._faces.items()):
            if known.topic == topic:
                return [replace(faces[0], face_id=face_id)] if faces else []
        return None

    def primary(self) -> str:
        """The id of the face with the largest region; of the first one where no region is known; empty of none."""
        return max(list(self._faces.items()), key=lambda item: item[1].area, default=("", None))[0]

    def status(self, patience: float) -> DiagnosticStatus:
        """How it is with the detector, once a second. One that is missing for `patience` seconds is logged once."""
        status = DiagnosticStatus(name=f"{self._node.get_name()}: faces {TRACKED}", hardware_id=TRACKED)
        status.level, status.message = DiagnosticStatus.OK, f"{len(self._faces)} faces"
        status.values = [KeyValue(key=face_id, value=known.topic) for face_id, known in self._faces.items()]
        if self._node.count_publishers(TRACKED):
            self._present_at, self._missing_said = time.monotonic(), False
            return status
        self._follow([])  # nobody is left to say that they are gone
        if time.monotonic() - self._present_at > patience:
            status.level = DiagnosticStatus.WARN
            status.message = f"face_source is hri and {TRACKED} has no publisher; start a ROS4HRI face detector"
            if not self._missing_said:
                self._missing_said = True
                self._node.get_logger().warning(status.message)
        return status

    def stop(self) -> None:
        """Follow nobody any more."""
        self._node.destroy_subscription(self._tracked)
        self._follow([])

    def _on_tracked(self, message: Any) -> None:
        self._follow([face_id for face_id in dict.fromkeys(message.ids) if self._usable(face_id)])

    def _follow(self, face_ids: Sequence[str]) -> None:
        for face_id in [i for i in self._faces if i not in face_ids]:
            self._lose(face_id)
        for face_id in face_ids:
            known, topic = self._faces.get(face_id), self._topic(face_id)
            # A detector may offer only the second best picture, and the graph may tell of it late.
            if known is not None and known.topic != topic and not self._heard(known.topic):
                self._lose(face_id)
                known = None
            if known is None and len(self._faces) < self._most():
                self._find(face_id, topic)

    def _find(self, face_id: str, topic: str) -> None:
        def note(roi: Any) -> None:
            if face_id in self._faces:
                self._faces[face_id].area = _area(roi)

        roi = self._node.create_subscription(self._messages.roi, f"{FACES}/{face_id}/roi", note, 1)
        self._faces[face_id] = _DetectedFace(topic, roi)
        self._begin(topic)

    def _lose(self, face_id: str) -> None:
        known = self._faces.pop(face_id)
        self._node.destroy_subscription(known.roi)
        self._end(known.topic)

    def _topic(self, face_id: str) -> str:
        best, other = (f"{FACES}/{face_id}/{name}" for name in CROPS)
        return other if not self._node.count_publishers(best) and self._node.count_publishers(other) else best

    def _usable(self, face_id: str) -> bool:
        """Whether an id can be part of a topic's name; what cannot is said once."""
        try:
            if "/" in face_id:
                raise InvalidTopicNameException(face_id, "an id is one part of a name", 0)
            validate_full_topic_name(f"{FACES}/{face_id}/{CROPS[0]}")
        except InvalidTopicNameException:
            if face_id not in self._refused and len(self._refused) < 100:
                self._refused.add(face_id)
                self._node.get_logger().warning(
                    f"{TRACKED}: id {face_id!r} cannot be part of a topic's name and is passed over; ids are made of "
                    "letters, digits and _ and begin with no digit"
                )
            return False
        return True


def _area(roi: Any) -> float:
    if isinstance(roi, RegionOfInterest):
        return float(roi.width * roi.height)
    return max(0.0, roi.xmax - roi.xmin) * max(0.0, roi.ymax - roi.ymin)

"""ROS4HRI input: follow the faces of another face detector (REP-155).

The faces in `/humans/faces/tracked` become image topics (`/humans/faces/<id>/cropped`, or `aligned` where only that is
published) and keep the ids that the detector assigned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.validate_full_topic_name import validate_full_topic_name
from sensor_msgs.msg import RegionOfInterest

from ast_net_ros.pipeline import FaceAffect
from ast_net_ros.ros.hri.messages import DEPTH, FACES, TRACKED, HriMessages

CROPS = ("cropped", "aligned")  # the images of one face in REP-155, preferred first


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

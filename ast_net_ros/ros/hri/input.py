"""ROS4HRI input: use the faces of another face detector (REP-155).

Each face in `/humans/faces/tracked` becomes an image topic (`/humans/faces/<id>/cropped`, or `aligned` where only that
is published) and keeps the id that the detector assigned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.validate_full_topic_name import validate_full_topic_name
from sensor_msgs.msg import RegionOfInterest

from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.ros.cameras import Cameras
from ast_net_ros.ros.hri.messages import FACES, QUEUE_DEPTH, TRACKED, roi_type

CROPS = ("cropped", "aligned")  # the images of one face in REP-155, preferred first
_MAX_REJECTED_IDS = 100  # remembered, so that each is logged once


@dataclass
class _DetectedFace:
    topic: str
    roi_subscription: Any
    area: float = 0.0  # in the unit of the detector's region


class HriInput:
    """Follows another detector's list of faces.

    All methods run in the node's executor, except `with_detector_id` and `primary_id`.

    Args:
        node: The node that subscribes.
        values: Its parameters; read at every use.
        messages: hri_msgs.msg.
        cameras: Subscribes to the images of the faces.
        reset: Called with the image topic of a face that is lost.
    """

    def __init__(
        self,
        node: Node,
        values: Mapping[str, Any],
        messages: ModuleType,
        cameras: Cameras,
        reset: Callable[[str], Any],
    ):
        self._node, self._values, self._messages, self._cameras, self._reset = node, values, messages, cameras, reset
        self._faces: dict[str, _DetectedFace] = {}
        self._rejected: set[str] = set()
        self._detector_seen_at, self._missing_logged = time.monotonic(), False
        self._tracked = node.create_subscription(messages.IdsList, TRACKED, self._on_tracked, QUEUE_DEPTH)

    def with_detector_id(self, topic: str, faces: Sequence[FaceAffect]) -> list[FaceAffect] | None:
        """Return the face that an image of `topic` shows, the first of `faces`, with the detector's id.

        Returns:
            At most one face; None if the detector no longer tracks it.
        """
        for face_id, known in list(self._faces.items()):
            if known.topic == topic:
                return [replace(faces[0], face_id=face_id)] if faces else []
        return None

    def primary_id(self) -> str:
        """Return the id of the face with the largest region, or of the first if none is known; "" without faces."""
        return max(list(self._faces.items()), key=lambda item: item[1].area, default=("", None))[0]

    def status(self) -> DiagnosticStatus:
        """Check the detector; call it once a second."""
        status = DiagnosticStatus(name=f"{self._node.get_name()}: faces {TRACKED}", hardware_id=TRACKED)
        count = len(self._faces)
        status.level, status.message = DiagnosticStatus.OK, f"{count} face{'' if count == 1 else 's'}"
        status.values = [KeyValue(key=face_id, value=known.topic) for face_id, known in self._faces.items()]
        if self._node.count_publishers(TRACKED):
            self._detector_seen_at, self._missing_logged = time.monotonic(), False
            return status
        self._follow([])  # nobody will report that the faces are lost
        if time.monotonic() - self._detector_seen_at > self._values["no_image_timeout"]:
            status.level = DiagnosticStatus.WARN
            status.message = f"face_source is hri but {TRACKED} has no publisher; start a ROS4HRI face detector"
            if not self._missing_logged:
                self._missing_logged = True
                self._node.get_logger().warning(status.message)
        return status

    def stop(self) -> None:
        """Unsubscribe from everything."""
        self._node.destroy_subscription(self._tracked)
        self._follow([])

    def _on_tracked(self, message: Any) -> None:
        self._follow([face_id for face_id in dict.fromkeys(message.ids) if self._is_valid(face_id)])

    def _follow(self, face_ids: Sequence[str]) -> None:
        for face_id in [i for i in self._faces if i not in face_ids]:
            self._remove(face_id)
        for face_id in face_ids:
            known, topic = self._faces.get(face_id), self._crop_topic(face_id)
            # The detector may publish only the second choice, and discovery may report that late.
            if known is not None and known.topic != topic and not self._cameras.has_received(known.topic):
                self._remove(face_id)
                known = None
            if known is None and len(self._faces) < self._values["max_faces"]:
                self._add(face_id, topic)

    def _add(self, face_id: str, topic: str) -> None:
        def on_roi(roi: Any) -> None:
            if face_id in self._faces:
                self._faces[face_id].area = _area(roi)

        subscription = self._node.create_subscription(roi_type(self._messages), f"{FACES}/{face_id}/roi", on_roi, 1)
        self._faces[face_id] = _DetectedFace(topic, subscription)
        self._cameras.add(topic)

    def _remove(self, face_id: str) -> None:
        known = self._faces.pop(face_id)
        self._node.destroy_subscription(known.roi_subscription)
        self._cameras.remove(known.topic)
        self._reset(known.topic)

    def _crop_topic(self, face_id: str) -> str:
        first, second = (f"{FACES}/{face_id}/{name}" for name in CROPS)
        return second if not self._node.count_publishers(first) and self._node.count_publishers(second) else first

    def _is_valid(self, face_id: str) -> bool:
        """Return whether an id can be part of a topic name; log each that cannot once."""
        try:  # with a slash an id would be several parts of a name, so it is made as invalid as other characters
            validate_full_topic_name(f"{FACES}/{face_id.replace('/', '-')}/{CROPS[0]}")
        except InvalidTopicNameException:
            if face_id not in self._rejected and len(self._rejected) < _MAX_REJECTED_IDS:
                self._rejected.add(face_id)
                self._node.get_logger().warning(
                    f"{TRACKED}: ignoring id {face_id!r}, which cannot be part of a topic name; use letters, digits "
                    "and _, and do not start with a digit"
                )
            return False
        return True


def _area(roi: Any) -> float:
    if isinstance(roi, RegionOfInterest):
        return float(roi.width * roi.height)
    return max(0.0, roi.xmax - roi.xmin) * max(0.0, roi.ymax - roi.ymin)

"""ROS4HRI output: publish faces as REP-155 specifies.

`/humans/faces/tracked` lists the faces; each has `/humans/faces/<id>/roi` and so on, and a person's engagement is at
`/humans/persons/<id>/engagement_status`. A lost face's topics are removed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.ros.conversions import image_message
from ast_net_ros.ros.hri.face_messages import (
    cropped_face,
    engagement_level,
    expression_message,
    landmarks_message,
    roi_message,
)
from ast_net_ros.ros.hri.messages import FACES, PERSONS, QUEUE_DEPTH, TRACKED, roi_type
from ast_net_ros.ros.inference_thread import Estimate


@dataclass
class _PublishedFace:
    camera: str
    stamp: float  # of the last image with this face, in seconds
    publishers: dict[str, Any] = field(default_factory=dict)
    engagement: str = "UNKNOWN"  # level
    last: FaceAffect | None = None


class HriOutput:
    """Publishes faces and their topics with lifecycle publishers. Thread-safe.

    `messages` is hri_msgs.msg. `owns_faces` is False if another detector publishes the faces, so that only expressions
    and engagement are added.
    """

    def __init__(self, node: LifecycleNode, messages: ModuleType, owns_faces: bool):
        self._node, self._messages, self._owns_faces = node, messages, owns_faces
        self._faces: dict[str, _PublishedFace] = {}
        self._images_at: dict[str, float] = {}  # camera -> monotonic time of its last processed image
        self._lock = threading.Lock()
        self._tracked = node.create_lifecycle_publisher(messages.IdsList, TRACKED, QUEUE_DEPTH) if owns_faces else None

    def publish(self, estimate: Estimate, timeout: float) -> None:
        """Publish the faces of one image; a face that is not seen for `timeout` seconds is lost."""
        camera, header = estimate.camera.topic, estimate.header
        with self._lock:
            self._images_at[camera] = time.monotonic()
            for face in estimate.faces:
                if face.face_id not in self._faces:
                    self._faces[face.face_id] = self._new_face(face.face_id, camera)
                known = self._faces[face.face_id]
                known.stamp = estimate.stamp
                self._publish_face(known, estimate, face)
            # Stamps that went back (a looped bag) end every earlier face.
            ages = {i: estimate.stamp - known.stamp for i, known in self._faces.items() if known.camera == camera}
            self._remove([face_id for face_id, age in ages.items() if not 0 <= age <= timeout])
            self._publish_tracked(header)

    def expire(self, timeout: float) -> None:
        """Remove the faces of cameras whose last image was processed more than `timeout` seconds ago."""
        with self._lock:
            since = time.monotonic() - timeout
            silent = {camera for camera, last in self._images_at.items() if last < since}
            lost = [face_id for face_id, known in self._faces.items() if known.camera in silent]
            self._remove(lost)
            for camera in silent:
                del self._images_at[camera]
            if lost:
                self._publish_tracked(self._header_now())

    def clear(self) -> None:
        """Remove all faces."""
        with self._lock:
            self._remove(list(self._faces))
            self._images_at.clear()
            self._publish_tracked(self._header_now())

    def destroy(self) -> None:
        """Remove all topics."""
        with self._lock:
            self._remove(list(self._faces))
            if self._tracked is not None:
                self._node.destroy_lifecycle_publisher(self._tracked)
                self._tracked = None

    def _new_face(self, face_id: str, camera: str) -> _PublishedFace:
        types = {"expression": self._messages.Expression, "engagement_status": self._messages.EngagementLevel}
        if self._owns_faces:
            types |= {"roi": roi_type(self._messages), "cropped": Image, "landmarks": self._messages.FacialLandmarks}
        publishers = {name: self._create(kind, f"{FACES}/{face_id}/{name}") for name, kind in types.items()}
        return _PublishedFace(camera, 0.0, publishers)

    def _create(self, message_type: Any, topic: str) -> Any:
        publisher = self._node.create_lifecycle_publisher(message_type, topic, QUEUE_DEPTH)
        publisher.on_activate(None)  # the node is active already
        return publisher

    def _remove(self, face_ids: Iterable[str]) -> None:
        for face_id in face_ids:
            for publisher in self._faces.pop(face_id).publishers.values():
                self._node.destroy_lifecycle_publisher(publisher)

    def _publish_face(self, known: _PublishedFace, estimate: Estimate, face: FaceAffect) -> None:
        header, messages, publishers = estimate.header, self._messages, known.publishers
        publishers["expression"].publish(expression_message(messages.Expression, header, face))
        self._publish_engagement(known, header, face)
        if not self._owns_faces:
            return
        height, width = estimate.image_bgr.shape[:2]
        publishers["roi"].publish(roi_message(roi_type(messages), header, face, (width, height)))
        if publishers["landmarks"].get_subscription_count():
            publishers["landmarks"].publish(landmarks_message(messages, header, face, (width, height)))
        if publishers["cropped"].get_subscription_count():
            publishers["cropped"].publish(image_message(header, cropped_face(estimate.image_bgr, face.box)))

    def _publish_engagement(self, known: _PublishedFace, header: Header, face: FaceAffect) -> None:
        kind = self._messages.EngagementLevel
        known.engagement = engagement_level(face, known.engagement)
        message = kind(header=header, level=getattr(kind, known.engagement))
        known.publishers["engagement_status"].publish(message)
        known.last = face
        others = (other.last for other in self._faces.values() if other is not known and other.last is not None)
        # Of several faces of one person, in several cameras, the most engaged one counts.
        if face.person_id and not any(
            other.person_id == face.person_id and other.engagement > face.engagement for other in others
        ):
            topic = f"{PERSONS}/{face.person_id}/engagement_status"
            if topic not in known.publishers:
                known.publishers[topic] = self._create(kind, topic)
            known.publishers[topic].publish(message)

    def _publish_tracked(self, header: Header) -> None:
        if self._tracked is not None:
            self._tracked.publish(self._messages.IdsList(header=header, ids=list(self._faces)))

    def _header_now(self) -> Header:
        return Header(stamp=self._node.get_clock().now().to_msg())

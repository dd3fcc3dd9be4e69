"""Record what a running ast_net_node publishes: estimates with their times, and diagnostics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.msg import ValenceArousalArray
from ast_net_ros.ros.camera import HAS_MESSAGE_INFO
from ast_net_ros.ros.conversions import face_affect, nanoseconds


@dataclass(frozen=True)
class ReceivedImage:
    """The estimates of one image."""

    stamp_ns: int  # of the image
    # When the node passed the message to the middleware, on the wall clock; the time of receipt where the middleware
    # does not provide it (ROS 2 Humble).
    published_ns: int
    received_ns: int  # when the message arrived, on the monotonic clock
    faces: tuple[FaceAffect, ...]


class Recorder(Node):
    """Subscribes to a node's estimates on `faces_topic` and to /diagnostics."""

    def __init__(self, faces_topic: str):
        super().__init__("ast_net_recorder", start_parameter_services=False)
        self.received: list[ReceivedImage] = []  # in order of receipt
        self.diagnostics: dict[str, dict[str, str]] = {}  # the latest keys and values of each status, by its name
        self.diagnostics_at = 0.0  # monotonic time of the last diagnostics
        self.last_receipt = 0.0  # monotonic time of the last estimates
        self._faces = self.create_subscription(ValenceArousalArray, faces_topic, self._faces_callback(), 100)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def node_is_there(self) -> bool:
        """Return whether a node publishes estimates."""
        return self.count_publishers(self._faces.topic_name) > 0

    def _faces_callback(self) -> Callable[..., None]:
        if not HAS_MESSAGE_INFO:
            return lambda message: self._on_faces(message, {})
        # rclpy counts the arguments, so a default value would not do.
        return lambda message, info: self._on_faces(message, info)

    def _on_faces(self, message: ValenceArousalArray, info: dict[str, Any]) -> None:
        received_ns = time.monotonic_ns()
        published_ns = info.get("source_timestamp") or time.time_ns()
        faces = tuple(face_affect(face) for face in message.faces)
        self.received.append(ReceivedImage(nanoseconds(message.header.stamp), published_ns, received_ns, faces))
        self.last_receipt = time.monotonic()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.diagnostics[status.name] = {pair.key: pair.value for pair in status.values}
        self.diagnostics_at = time.monotonic()

"""Records what a running ast_net_node publishes: its estimates with their times, and its diagnostics.

In: `ast_net/faces` and /diagnostics. Out: one :class:`ReceivedImage` for each message, and the latest figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, QoSReliabilityPolicy

from ast_net_ros.msg import ValenceArousalArray
from ast_net_ros.pipeline import FaceAffect
from ast_net_ros.ros.camera import NUMBERED
from ast_net_ros.ros.conversions import face_affect, nanoseconds


@dataclass(frozen=True)
class ReceivedImage:
    """One message of `ast_net/faces`. Times in nanoseconds of this machine's clock.

    stamp_ns: the image's own. published_ns: when the node handed the message to the middleware; where the
    middleware does not tell (ROS 2 Humble), the time of receipt, which is later. received_ns: when it arrived here, on
    the monotonic clock.
    """

    stamp_ns: int
    published_ns: int
    received_ns: int
    faces: tuple[FaceAffect, ...]


class Recorder(Node):
    """received: in order of receipt. diagnostics: the latest keys and values of every status, by its name."""

    def __init__(self, faces_topic: str):
        super().__init__("ast_net_recorder", start_parameter_services=False)
        self.received: list[ReceivedImage] = []
        self.diagnostics: dict[str, dict[str, str]] = {}
        self.diagnostics_at = 0.0
        self.last_receipt = 0.0
        lasting = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=QoSReliabilityPolicy.RELIABLE)
        self._faces = self.create_subscription(ValenceArousalArray, faces_topic, self._faces_callback(), lasting)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def node_is_there(self) -> bool:
        """Whether somebody publishes estimates."""
        return self.count_publishers(self._faces.topic_name) > 0

    def _faces_callback(self) -> Callable[..., None]:
        if not NUMBERED:
            return lambda message: self._on_faces(message, {})
        # rclpy looks at the number of arguments, so a default value will not do.
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

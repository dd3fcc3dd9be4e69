"""All image topics of the node: subscribe to them, check them, report them on /diagnostics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier

from ast_net_ros.ros.camera import Camera, OnImage, image_qos
from ast_net_ros.ros.diagnostics import camera_status
from ast_net_ros.ros.runtime.transports import loss_advice

LOSS_LOG_PERIOD = 30.0  # seconds between two log messages about images lost before receipt


class Cameras:
    """The cameras that an active node subscribes to. Runs in the node's executor.

    Args:
        node: The node that subscribes.
        values: The node's parameters; read at every use.
        on_image: Called with each camera's images.
    """

    def __init__(self, node: Node, values: Mapping[str, Any], on_image: OnImage):
        self._node, self._values, self._on_image = node, values, on_image
        self._cameras: dict[str, Camera] = {}
        self._started_at = time.monotonic()
        self._paused_at: float | None = None

    @property
    def topics(self) -> list[str]:
        """The subscribed topics."""
        return list(self._cameras)

    @property
    def paused(self) -> bool:
        """Whether nothing is subscribed to for the time being."""
        return self._paused_at is not None

    @property
    def paused_for(self) -> float:
        """Seconds since `pause`; 0 while not paused."""
        return 0.0 if self._paused_at is None else time.monotonic() - self._paused_at

    def add(self, topic: str) -> None:
        """Subscribe to a topic (its fully resolved name), if not paused."""
        self._cameras[topic] = Camera(topic)
        if not self.paused:
            self._subscribe(self._cameras[topic])

    def remove(self, topic: str) -> None:
        """Unsubscribe from a topic."""
        self._cameras.pop(topic).unsubscribe(self._node)

    def clear(self) -> None:
        """Unsubscribe from all topics; a pause ends."""
        for topic in self.topics:
            self.remove(topic)
        self._paused_at = None

    def pause(self) -> None:
        """Unsubscribe from all topics until `resume`."""
        if not self.paused:
            self._paused_at = time.monotonic()
        for camera in self._cameras.values():
            camera.unsubscribe(self._node)

    def resume(self) -> None:
        """Subscribe to all topics again."""
        if self.paused:
            self._paused_at, self._started_at = None, time.monotonic()
            for camera in self._cameras.values():
                self._subscribe(camera)

    def has_received(self, topic: str) -> bool:
        """Return whether an image has arrived on a topic."""
        return self._cameras[topic].last_received is not None

    def check(self, track_counts: Mapping[str, int], output_issue: Callable[[str], str]) -> list[DiagnosticStatus]:
        """Check every camera, log new issues, and return the statuses. Call it once a second.

        `track_counts` has the number of tracked faces by topic; `output_issue` returns what prevents an output of a
        topic's images, empty when nothing does.
        """
        return [self._check(c, track_counts.get(topic, 0), output_issue(topic)) for topic, c in self._cameras.items()]

    def _subscribe(self, camera: Camera) -> None:
        qos = image_qos(self._values["qos_reliability"], self._values["qos_depth"])
        camera.subscribe(self._node, qos, self._on_image, self._on_incompatible_qos)

    def _on_incompatible_qos(self, camera: Camera) -> None:
        self._log_issue(camera, camera.qos_issue(self._node) or "a publisher has an incompatible QoS")

    def _check(self, camera: Camera, tracks: int, output_issue: str) -> DiagnosticStatus:
        node, logger = self._node, self._node.get_logger()
        camera.publishers = node.count_publishers(camera.topic)
        if not self.paused and camera.needs_other_type(node):
            camera.unsubscribe(node)
            self._subscribe(camera)
            logger.info(f"camera {camera.topic}: subscribed to {camera.message_type}, the type that is published")
        # `image` may stay unused when other topics are configured.
        required = len(self._cameras) == 1 or camera.topic != node.resolve_topic_name("image")
        timeout = self._values["no_image_timeout"]
        advice = loss_advice(get_rmw_implementation_identifier())
        issue = camera.find_issue(node, self._started_at, timeout, required, advice) or output_issue
        self._log_issue(camera, "" if self.paused else issue)
        status, loss = camera_status(node.get_name(), camera, tracks, self._values, advice)
        if loss:
            camera.warn_throttled("lost", loss, LOSS_LOG_PERIOD, logger)
        return status

    def _log_issue(self, camera: Camera, issue: str) -> None:
        if issue and issue != camera.issue:
            self._node.get_logger().warning(f"camera {camera.topic}: {issue}")
        camera.issue = issue

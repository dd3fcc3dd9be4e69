"""The slots in which the latest image of every camera waits for the inference thread."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from ast_net_ros.ros.camera import Camera, ImageMessage


@dataclass(frozen=True)
class QueuedImage:
    """An image as it was received."""

    message: ImageMessage
    received: float  # monotonic time in seconds
    received_ros_ns: int  # ROS time in nanoseconds


class LatestImages:
    """One slot for each camera: a new image replaces one that still waits."""

    def __init__(self) -> None:
        self._slots: dict[Camera, QueuedImage] = {}
        self._closed = False
        self._woken = False
        self._changed = threading.Condition()

    def put(self, camera: Camera, message: ImageMessage, received_ros_ns: int) -> None:
        """Store an image and return at once. Called by the subscription."""
        queued = QueuedImage(message, time.monotonic(), received_ros_ns)
        with self._changed:
            if self._closed:
                return
            camera.counts.received += 1
            camera.counts.late += camera in self._slots
            camera.last_received = queued.received
            self._slots[camera] = queued
            self._changed.notify()

    def take_all(self) -> dict[Camera, QueuedImage] | None:
        """Wait for an image, then take the latest of every camera. Empty after `wake`; None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._slots or self._closed or self._woken)
            self._woken = False
            taken, self._slots = self._slots, {}
            return None if self._closed else taken

    def wake(self) -> None:
        """Make `take_all` return without an image."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def close(self) -> None:
        """Reject further images and make `take_all` return None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

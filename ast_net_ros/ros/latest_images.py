"""The slots in which the latest image of every camera waits for the inference thread.

In: images as they are received. Out: the newest image of each camera; an image that it replaced is counted as dropped.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from ast_net_ros.ros.camera import Camera, ImageMessage


@dataclass(frozen=True)
class Arrival:
    """An image with the moment of its receipt: on the monotonic clock, and in ROS time in nanoseconds."""

    message: ImageMessage
    received: float
    received_ros_ns: int


class LatestImages:
    """One slot for each camera: a newer image takes the place of one that still waits."""

    def __init__(self) -> None:
        self._slots: dict[Camera, Arrival] = {}
        self._closed = False
        self._changed = threading.Condition()

    def put(self, camera: Camera, message: ImageMessage, received_ros_ns: int) -> None:
        """Called by the subscription. Returns at once."""
        arrival = Arrival(message, time.monotonic(), received_ros_ns)
        with self._changed:
            if self._closed:
                return
            camera.counts.received += 1
            camera.counts.late += camera in self._slots
            camera.last_received = arrival.received
            self._slots[camera] = arrival
            self._changed.notify()

    def take_all(self) -> dict[Camera, Arrival]:
        """Wait for an image, then take the newest of every camera. Empty once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._slots or self._closed)
            taken, self._slots = self._slots, {}
            return {} if self._closed else taken

    def close(self) -> None:
        """Refuse images from now on and wake who waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

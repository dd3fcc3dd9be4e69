"""`behavior_example`: a starting point for your own behaviour. Copy this file and change `BehaviorExample.act`.

Subscribes: `faces` (ast_net_ros/msg/ValenceArousalArray), remapped to `ast_net/faces` by default.
Publishes: `~/events` (std_msgs/String), one JSON object for each event:
    {"event": "became_upset", "face_id": "face_4f1c_1", "mood": "negative", "previous": "calm",
     "source": "/image", "stamp": 1700000000.25}
See ast_net_ros.ros.examples.mood for the events, moods and parameters, and docs/behaviours.md for an introduction.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from std_msgs.msg import String

from ast_net_ros.msg import ValenceArousalArray
from ast_net_ros.ros.conversions import NANOSECONDS, seconds
from ast_net_ros.ros.examples.mood import MoodEvent, MoodMachine, MoodSettings
from ast_net_ros.ros.runtime.spinning import StartError, run_node

TIMEOUT_CHECK_PERIOD = 0.5  # seconds


@dataclass
class _Camera:
    """The people in front of one camera.

    Attributes:
        moods: Their moods.
        stamp: Stamp of the last image in seconds.
        received: Monotonic time at which it was received.
    """

    moods: MoodMachine
    stamp: float = 0.0
    received: float = 0.0


class BehaviorExample(Node):
    """Turns estimates into events.

    Raises:
        StartError: A parameter has an invalid value.
    """

    def __init__(self) -> None:
        super().__init__("behavior_example")
        self._settings = self._declare_settings()
        # Stamps of different cameras cannot be compared: a bag may be played beside a live camera.
        self._cameras: dict[str, _Camera] = {}
        self._events = self.create_publisher(String, "~/events", 10)
        # The node publishes a message for every image, even without a face.
        faces = self.create_subscription(ValenceArousalArray, "faces", self._on_faces, 10)
        self.create_timer(TIMEOUT_CHECK_PERIOD, self._check_timeouts)
        self.get_logger().info(f"subscribed to {faces.topic_name}, publishing events on {self._events.topic_name}")

    def act(self, event: MoodEvent, source: str) -> None:
        """React to an event: here, publish it. Return quickly, as this delays the next estimates."""
        self._events.publish(String(data=json.dumps({**asdict(event), "source": source}, sort_keys=True)))
        self.get_logger().info(f"{event.face_id}: {event.event} ({event.previous or 'unknown'} -> {event.mood or '-'})")

    def _on_faces(self, message: ValenceArousalArray) -> None:
        camera = self._cameras.setdefault(message.source, _Camera(MoodMachine(self._settings)))
        # Use the image's stamp, not the time of receipt, so that network delays do not affect moods; unless it is 0.
        now = self.get_clock().now().nanoseconds / NANOSECONDS
        camera.stamp, camera.received = seconds(message.header.stamp) or now, time.monotonic()
        for event in camera.moods.update(camera.stamp, message.faces):
            self.act(event, message.source)

    def _check_timeouts(self) -> None:
        """Report people as lost when their camera has stopped sending images."""
        now = time.monotonic()
        for source, camera in list(self._cameras.items()):
            for event in camera.moods.expire(camera.stamp + now - camera.received):
                self.act(event, source)
            if not camera.moods.people:
                del self._cameras[source]

    def _declare_settings(self) -> MoodSettings:
        """Declare the fields of MoodSettings as read-only parameters."""
        descriptor = ParameterDescriptor(
            description="see MoodSettings in ast_net_ros.ros.examples.mood", read_only=True
        )
        try:
            names = [field.name for field in fields(MoodSettings)]
            defaults = asdict(MoodSettings())
            return MoodSettings(**{n: self.declare_parameter(n, defaults[n], descriptor).value for n in names})
        except (ParameterException, ValueError) as error:
            raise StartError(f"behavior_example: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the executable `behavior_example`; return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if "--help" in given or "-h" in given:
        print("behavior_example [--ros-args -r faces:=TOPIC -p PARAMETER:=VALUE ...]\n")
        print(__doc__)
        return 0
    # The first of several remapping rules for a name applies, so the user's own takes precedence.
    return run_node(BehaviorExample, arguments=[*given, "--ros-args", "-r", "faces:=ast_net/faces"])


if __name__ == "__main__":
    sys.exit(main())

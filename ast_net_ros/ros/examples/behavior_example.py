"""`behavior_example`: begin your own behaviour here. Copy this file and change :meth:`BehaviorExample.act`.

In: `faces` (ast_net_ros/msg/ValenceArousalArray), which is `ast_net/faces` unless it is remapped.
Out: `~/events` (std_msgs/String), one JSON object for each event:
    {"event": "became_upset", "face_id": "face_4f1c_1", "mood": "negative", "previous": "calm",
     "source": "/image", "stamp": 1700000000.25}
Events, moods and the parameters' meanings are those of ast_net_ros.ros.examples.mood; docs/behaviours.md explains them.
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

SILENCE_CHECK = 0.5  # seconds between two looks for cameras that have fallen silent


@dataclass
class _Camera:
    """The people before one camera, with its last stamp and when that was received (monotonic, seconds)."""

    moods: MoodMachine
    stamp: float = 0.0
    received: float = 0.0


class BehaviorExample(Node):
    """Turns estimates into events. Raises StartError for parameters that cannot be."""

    def __init__(self) -> None:
        super().__init__("behavior_example")
        self._settings = self._declare_settings()
        # Every camera has a clock of its own: a bag may play beside a live camera.
        self._cameras: dict[str, _Camera] = {}
        self._events = self.create_publisher(String, "~/events", 10)
        # The node publishes one message for every image, also for an image without a face.
        faces = self.create_subscription(ValenceArousalArray, "faces", self._on_faces, 10)
        self.create_timer(SILENCE_CHECK, self._on_silence)
        self.get_logger().info(f"listens to {faces.topic_name}, tells of events on {self._events.topic_name}")

    def act(self, event: MoodEvent, source: str) -> None:
        """What the robot does about an event: here it tells others. Return quickly, the next estimates wait."""
        self._events.publish(String(data=json.dumps({**asdict(event), "source": source}, sort_keys=True)))
        self.get_logger().info(f"{event.face_id}: {event.event} ({event.previous or 'unknown'} -> {event.mood or '-'})")

    def _on_faces(self, message: ValenceArousalArray) -> None:
        camera = self._cameras.setdefault(message.source, _Camera(MoodMachine(self._settings)))
        # The image's own stamp, never the time of receipt: a slow network must not change anybody's mood.
        # Only a camera that sets no stamps leaves no choice.
        now = self.get_clock().now().nanoseconds / NANOSECONDS
        camera.stamp, camera.received = seconds(message.header.stamp) or now, time.monotonic()
        for event in camera.moods.update(camera.stamp, message.faces):
            self.act(event, message.source)

    def _on_silence(self) -> None:
        """Whom a dead camera no longer shows is lost as well, though no image says so."""
        now = time.monotonic()
        for source, camera in list(self._cameras.items()):
            for event in camera.moods.expire(camera.stamp + now - camera.received):
                self.act(event, source)
            if not camera.moods.people:
                del self._cameras[source]

    def _declare_settings(self) -> MoodSettings:
        """The fields of MoodSettings as parameters that are read at the start."""
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
    """The executable `behavior_example`. Returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if "--help" in given or "-h" in given:
        print("behavior_example [--ros-args -r faces:=TOPIC -p PARAMETER:=VALUE ...]\n")
        print(__doc__)
        return 0
    # Of several rules for one name the first holds, so the user's own comes before this one.
    return run_node(BehaviorExample, arguments=[*given, "--ros-args", "-r", "faces:=ast_net/faces"])


if __name__ == "__main__":
    sys.exit(main())

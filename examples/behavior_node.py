"""A robot that heeds who is in front of it: it greets a smile, offers help to a distressed face, and then stays quiet.

In: ast_net/faces of a running ast_net_node. Out: std_msgs/String on `say`, for a speech node to read out.

    python examples/behavior_node.py                      # after `source env.sh` or the workspace's setup.bash
    ros2 topic echo /say
"""

from __future__ import annotations

import rclpy
from rclpy.node import Node
from std_msgs.msg import String

from ast_net_ros.msg import ValenceArousalArray
from ast_net_ros.ros.conversions import seconds
from ast_net_ros.ros.examples.mood import (
    BECAME_UPSET,
    CHEERED_UP,
    MOOD_CHANGED,
    NEGATIVE,
    POSITIVE,
    MoodEvent,
    MoodMachine,
)

QUIET_SECONDS = 8.0  # between two remarks to one person: a robot that comments on every smile is tiresome


class Companion(Node):
    """Turns moods into a few sentences."""

    def __init__(self) -> None:
        super().__init__("companion")
        self._moods: dict[str, MoodMachine] = {}  # one for each camera: each has a clock of its own
        self._spoke: dict[str, float] = {}  # face_id -> stamp of the last remark
        self._say = self.create_publisher(String, "say", 10)
        self.create_subscription(ValenceArousalArray, "ast_net/faces", self._on_faces, 10)

    def _on_faces(self, message: ValenceArousalArray) -> None:
        moods = self._moods.setdefault(message.source, MoodMachine())
        # The picture's own stamp, never the time of receipt.
        for event in moods.update(seconds(message.header.stamp), message.faces):
            remark = self._remark(event)
            if remark and event.stamp - self._spoke.get(event.face_id, -QUIET_SECONDS) >= QUIET_SECONDS:
                self._spoke[event.face_id] = event.stamp
                self._say.publish(String(data=remark))

    def _remark(self, event: MoodEvent) -> str:
        """What to say, in words that are right even when the estimate is wrong."""
        if event.event == BECAME_UPSET or (event.event == MOOD_CHANGED and event.mood == NEGATIVE):
            return "Shall I slow down?"
        if event.event == CHEERED_UP or (event.event == MOOD_CHANGED and event.mood == POSITIVE):
            return "Good to see you."
        return ""


def main() -> None:
    """Run the node until it is interrupted."""
    rclpy.init()
    node = Companion()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

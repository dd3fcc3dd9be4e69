"""React to the people in front of a robot: greet a smile, and offer help when a mood becomes negative.

Subscribes: ast_net/faces of a running ast_net_node. Publishes: std_msgs/String on `say`, for a text-to-speech node.

    python examples/behavior_node.py                      # after `source env.sh` or the workspace's setup.bash
    ros2 topic echo /say
"""

from __future__ import annotations

import signal

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import String

from ast_net_ros.msg import ValenceArousalArray
from ast_net_ros.ros.conversions import seconds
from ast_net_ros.ros.examples.mood import MOOD_CHANGED, NEGATIVE, PERSON_LOST, POSITIVE, MoodMachine

# What is said when a mood starts, in words that are acceptable even if the estimate is wrong.
REMARKS = {NEGATIVE: "Shall I slow down?", POSITIVE: "Good to see you."}
MIN_PAUSE = 8.0  # seconds between two remarks to one person; a comment on every smile is tiresome


class Companion(Node):
    """Turns changes of mood into a few sentences."""

    def __init__(self) -> None:
        super().__init__("companion")
        self._moods = MoodMachine()
        self._spoke: dict[tuple[str, str], float] = {}  # camera and face -> stamp of the last remark
        self._speech = self.create_publisher(String, "say", 10)
        self.create_subscription(ValenceArousalArray, "ast_net/faces", self._on_faces, 10)

    def _on_faces(self, message: ValenceArousalArray) -> None:
        # Use the image's stamp, not the time of receipt.
        for event in self._moods.update(seconds(message.header.stamp), message.faces, message.source):
            person, remark = (event.person.source, event.person.face_id), REMARKS.get(event.person.mood)
            if event.event == PERSON_LOST:
                self._spoke.pop(person, None)
            elif (
                remark
                and event.event == MOOD_CHANGED
                and event.stamp - self._spoke.get(person, -MIN_PAUSE) >= MIN_PAUSE
            ):
                self._spoke[person] = event.stamp
                self._speech.publish(String(data=remark))


def main() -> None:
    """Run the node until it is interrupted."""
    rclpy.init()
    node = Companion()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):  # SIGINT, SIGTERM
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # under `ros2 launch`, Ctrl-C arrives twice
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

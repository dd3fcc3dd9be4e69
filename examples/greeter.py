"""Greet everybody who smiles at the robot for two seconds, and offer help to everybody who is upset.

The rules are a py_trees behaviour tree (pip install py_trees, or apt install ros-$ROS_DISTRO-py-trees).

Subscribes: ast_net/faces of a running ast_net_node. Publishes: std_msgs/String on `say`, for a text-to-speech node.

    python examples/greeter.py                            # after `source env.sh` or the workspace's setup.bash
    ros2 topic echo /say
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import py_trees
import rclpy
from py_trees.common import Access, Status
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import String

from ast_net_ros.msg import ValenceArousalArray
from ast_net_ros.ros.conversions import seconds
from ast_net_ros.ros.examples.mood import MoodMachine, Person
from ast_net_ros.ros.examples.tree_conditions import is_smiling, is_upset

# Both are acceptable even if the estimate is wrong.
HELP, GREETING = "Shall I slow down?", "Good to see you."


class Tell(py_trees.behaviour.Behaviour):
    """Tells a sentence to the person that the condition before it has found."""

    def __init__(self, sentence: str, tell: Callable[[Person, str], None]):
        super().__init__(sentence)
        self._sentence, self._tell = sentence, tell
        self._blackboard = self.attach_blackboard_client()
        self._blackboard.register_key("person", Access.READ)

    def update(self) -> Status:
        """Succeed at once. An action that takes longer returns RUNNING until it is done."""
        self._tell(self._blackboard.person, self._sentence)
        return Status.SUCCESS


class Greeter(Node):
    """Ticks the tree after every image."""

    def __init__(self) -> None:
        super().__init__("greeter")
        self._moods = MoodMachine()
        self._told: set[tuple[str, str, str]] = set()  # sentence, camera and person: once per visit
        self._speech = self.create_publisher(String, "say", 10)
        branches = [
            py_trees.composites.Sequence(
                "help", memory=False, children=[is_upset(self._not_told(HELP), seconds=1.0), Tell(HELP, self._tell)]
            ),
            py_trees.composites.Sequence(
                "greet",
                memory=False,
                children=[is_smiling(self._not_told(GREETING), seconds=2.0), Tell(GREETING, self._tell)],
            ),
            py_trees.behaviours.Running("watch"),
        ]
        self.tree = py_trees.composites.Selector("greeter", memory=False, children=branches)
        self.create_subscription(ValenceArousalArray, "ast_net/faces", self._on_faces, 10)

    def _on_faces(self, message: ValenceArousalArray) -> None:
        # Use the image's stamp, not the time of receipt.
        self._moods.update(seconds(message.header.stamp), message.faces, message.source)
        here = {identity(person) for person in self._moods.people}
        self._told = {told for told in self._told if told[1:] in here}  # forget who has left
        self.tree.tick_once()

    def _not_told(self, sentence: str) -> Callable[[], list[Person]]:
        return lambda: [person for person in self._moods.people if (sentence, *identity(person)) not in self._told]

    def _tell(self, person: Person, sentence: str) -> None:
        self._told.add((sentence, *identity(person)))
        self._speech.publish(String(data=sentence))


def identity(person: Person) -> tuple[str, str]:
    """Return the id of a person: for all cameras if persons are recognised, otherwise for one camera."""
    return ("", person.person_id) if person.person_id else (person.source, person.face_id)


def main() -> None:
    """Run the node until it is interrupted."""
    rclpy.init()
    node = Greeter()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):  # SIGINT, SIGTERM
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # under `ros2 launch`, Ctrl-C arrives twice
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

"""Run the BehaviorTree.CPP tree examples/greeter.xml on the moods that behavior_example publishes.

Uses the Python bindings of BehaviorTree.CPP (pip install behaviortreepy); a C++ node can run the same file.

Subscribes: behavior_example/moods of a running behavior_example. Publishes: std_msgs/String on `say`.

    python examples/greeter_bt_cpp.py                     # after `source env.sh` or the workspace's setup.bash
    ros2 topic echo /say
"""

from __future__ import annotations

import signal
from pathlib import Path

import behaviortreepy as bt
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import String

from ast_net_ros.msg import PersonMood, PersonMoodArray
from ast_net_ros.ros.examples.behavior_example import LATCHED

XML = Path(__file__).with_name("greeter.xml")


class TreeGreeter(Node):
    """Keeps one tree for each person who is present, and ticks it after every image."""

    def __init__(self, xml: Path = XML) -> None:
        super().__init__("greeter")
        self._speech = self.create_publisher(String, "say", 10)
        self._factory = bt.BehaviorTreeFactory()
        self._factory.register_simple_action("Say", self._say)
        self._factory.register_behavior_tree_from_text(xml.read_text(encoding="utf-8"))
        self._trees: dict[tuple[str, str], tuple[bt.Tree, bt.Blackboard]] = {}
        self.create_subscription(PersonMoodArray, "behavior_example/moods", self._on_moods, LATCHED)

    def _on_moods(self, message: PersonMoodArray) -> None:
        people = {(p.person_id or p.source, p.person_id or p.face_id): p for p in message.people}
        self._trees = {identity: tree for identity, tree in self._trees.items() if identity in people}
        for identity, person in people.items():
            if identity not in self._trees:
                blackboard = bt.Blackboard.create()
                fill(blackboard, person)  # a script is checked against the types of its entries
                self._trees[identity] = self._factory.create_tree("Greeter", blackboard), blackboard
            tree, blackboard = self._trees[identity]
            fill(blackboard, person)
            tree.tick_once()

    def _say(self, node: bt.TreeNode) -> bt.NodeStatus:
        self._speech.publish(String(data=node.config().blackboard.get_string("text")))
        return bt.NodeStatus.SUCCESS


def fill(blackboard: bt.Blackboard, person: PersonMood) -> None:
    """Copy the fields of a message to entries of the same names."""
    for name, kind in person.get_fields_and_field_types().items():
        if kind == "string":
            blackboard.set_string(name, getattr(person, name))
        elif kind == "boolean":
            blackboard.set_bool(name, getattr(person, name))
        elif kind == "float":
            blackboard.set_double(name, getattr(person, name))


def main() -> None:
    """Run the node until it is interrupted."""
    rclpy.init()
    node = TreeGreeter()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):  # SIGINT, SIGTERM
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # under `ros2 launch`, Ctrl-C arrives twice
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

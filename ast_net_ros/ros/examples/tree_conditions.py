"""Conditions for py_trees: somebody smiles at the robot, is upset, or is engaged. Only this module needs py_trees.

A condition reads the people that `MoodMachine.people` or the topic `behavior_example/moods` gives. It succeeds while
one of them fulfils it, and writes that person to the blackboard as `person`, for the behaviour that follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import py_trees
from py_trees.common import Access, Status

from ast_net_ros.ros.examples.mood import NEGATIVE, POSITIVE, Person

People = Callable[[], Iterable[Person]]
"""Returns who is there: Person, or ast_net_ros/msg/PersonMood, which has the same fields."""


class PersonCondition(py_trees.behaviour.Behaviour):
    """Succeeds while one of the people fulfils a condition, otherwise fails; never RUNNING.

    Args:
        name: Name of the behaviour.
        people: Returns who is there.
        holds: The condition.
    """

    def __init__(self, name: str, people: People, holds: Callable[[Person], bool]):
        super().__init__(name)
        self._people, self._holds = people, holds
        self._blackboard = self.attach_blackboard_client()
        self._blackboard.register_key("person", Access.WRITE)

    def update(self) -> Status:
        """Look for the first person that fulfils the condition."""
        person = next(filter(self._holds, self._people()), None)
        self.feedback_message = person.person_id or person.face_id if person else "nobody"
        if person is None:
            return Status.FAILURE
        self._blackboard.person = person
        return Status.SUCCESS


def is_smiling(people: People, seconds: float = 2.0, at_robot: bool = True) -> PersonCondition:
    """Return a condition: somebody has been in a positive mood for some time.

    Args:
        people: Returns who is there.
        seconds: How long, at least 0.
        at_robot: Only people who are engaged count.
    """
    _check(seconds)
    return PersonCondition(
        f"is_smiling for {seconds:g} s",
        people,
        lambda p: p.mood == POSITIVE and p.mood_duration >= seconds and (p.engaged or not at_robot),
    )


def is_upset(people: People, seconds: float = 0.0) -> PersonCondition:
    """Return a condition: somebody has been in a negative mood for `seconds`, engaged or not."""
    _check(seconds)
    return PersonCondition(
        f"is_upset for {seconds:g} s", people, lambda p: p.mood == NEGATIVE and p.mood_duration >= seconds
    )


def is_engaged(people: People, seconds: float = 0.0) -> PersonCondition:
    """Return a condition: somebody has been turned to the camera for `seconds`."""
    _check(seconds)
    return PersonCondition(
        f"is_engaged for {seconds:g} s", people, lambda p: p.engaged and p.engaged_duration >= seconds
    )


def _check(seconds: float) -> None:
    if not seconds >= 0:
        raise ValueError(f"seconds is {seconds}: use a number of at least 0")

"""Conditions for py_trees, without ROS: whom they find, and what they leave on the blackboard."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

py_trees = pytest.importorskip("py_trees", reason="no py_trees: pip install py_trees")

from ast_net_ros.msg import PersonMood  # noqa: E402
from ast_net_ros.ros.examples.mood import Person  # noqa: E402
from ast_net_ros.ros.examples.tree_conditions import is_engaged, is_smiling, is_upset  # noqa: E402

SMILING = Person("/image", "face_1", "", mood="positive", mood_duration=2.0, engaged=True, engaged_duration=1.0)
UPSET = replace(SMILING, face_id="face_2", mood="negative", engaged=False, engaged_duration=0.0)
UNKNOWN = Person("/image", "face_3", "")
SUCCESS, FAILURE = py_trees.common.Status.SUCCESS, py_trees.common.Status.FAILURE


@pytest.mark.parametrize(
    ("make", "values", "person", "status"),
    [
        (is_smiling, {}, SMILING, SUCCESS),
        (is_smiling, {"seconds": 2.1}, SMILING, FAILURE),
        (is_smiling, {}, replace(SMILING, engaged=False), FAILURE),
        (is_smiling, {"at_robot": False}, replace(SMILING, engaged=False), SUCCESS),
        (is_smiling, {}, UPSET, FAILURE),
        (is_upset, {}, UPSET, SUCCESS),
        (is_upset, {"seconds": 3.0}, UPSET, FAILURE),
        (is_upset, {}, SMILING, FAILURE),
        (is_engaged, {}, SMILING, SUCCESS),
        (is_engaged, {"seconds": 1.5}, SMILING, FAILURE),
        (is_engaged, {}, UPSET, FAILURE),
        (is_smiling, {}, UNKNOWN, FAILURE),
        (is_upset, {}, UNKNOWN, FAILURE),
        (is_engaged, {}, UNKNOWN, FAILURE),
    ],
)
def test_a_condition_holds_for_the_right_people(
    make: Callable[..., Any], values: dict[str, Any], person: Person, status: Any
) -> None:
    condition = make(lambda: [person], **values)
    condition.tick_once()
    assert condition.status is status


def test_a_condition_finds_the_first_person_of_a_topic() -> None:
    people = [PersonMood(face_id="a", mood="calm"), PersonMood(face_id="b", mood="negative", person_id="ben")]
    condition = is_upset(lambda: people)
    condition.tick_once()
    reader = py_trees.blackboard.Client(name="test")
    reader.register_key("person", py_trees.common.Access.READ)
    assert reader.person is people[1] and condition.feedback_message == "ben"
    people.clear()
    condition.tick_once()
    assert condition.status is FAILURE and condition.feedback_message == "nobody"


@pytest.mark.parametrize("make", [is_smiling, is_upset, is_engaged])
@pytest.mark.parametrize("seconds", [-1.0, math.nan])
def test_a_duration_that_cannot_be_is_refused(make: Callable[..., Any], seconds: float) -> None:
    with pytest.raises(ValueError, match=f"seconds is {seconds}: use a number of at least 0"):
        make(list, seconds=seconds)

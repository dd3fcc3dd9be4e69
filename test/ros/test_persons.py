"""Persons of the running node: one id over absences and cameras, and matches of another node."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ast_net_ros.ros.conversions import image_message, time_message
from ast_net_ros.ros.hri.matches import MatchError, MatchGraph

PERSON, FACE, BODY, VOICE = 1, 2, 3, 4


@pytest.fixture
def graph() -> MatchGraph:
    return MatchGraph(PERSON, (PERSON, FACE, BODY, VOICE))


def test_matches_lead_from_a_face_to_a_person_over_a_body(graph: MatchGraph) -> None:
    graph.add((FACE, "f1"), (BODY, "b1"), 0.9)
    assert graph.person_of((FACE, "f1")) == ("", 0.0)
    graph.add((PERSON, "anna"), (BODY, "b1"), 0.7)
    assert graph.person_of((FACE, "f1")) == ("anna", 0.7)
    graph.add((BODY, "b1"), (PERSON, "anna"), 0.0)
    assert graph.person_of((FACE, "f1")) == ("", 0.0), "a confidence of 0 takes a match back"


def test_of_contradictory_matches_the_stronger_counts(graph: MatchGraph) -> None:
    graph.add((FACE, "f1"), (PERSON, "anna"), 0.6)
    with pytest.raises(MatchError, match="contradicts stronger matches or forms a cycle"):
        graph.add((FACE, "f1"), (PERSON, "bert"), 0.6)
    assert graph.person_of((FACE, "f1")) == ("anna", 0.6)
    graph.add((FACE, "f1"), (PERSON, "bert"), 0.8)
    assert graph.person_of((FACE, "f1")) == ("bert", 0.8)
    graph.add((FACE, "f2"), (PERSON, "anna"), 0.5)
    with pytest.raises(MatchError):
        graph.add((FACE, "f1"), (FACE, "f2"), 0.5)
    assert graph.person_of((FACE, "f2")) == ("anna", 0.5)


def test_the_weakest_match_of_a_cycle_does_not_count(graph: MatchGraph) -> None:
    for first, second, confidence in (("f1", "f2", 0.9), ("f2", "f3", 0.3)):
        graph.add((FACE, first), (FACE, second), confidence)
    with pytest.raises(MatchError, match="a cycle"):
        graph.add((FACE, "f3"), (FACE, "f1"), 0.2)
    graph.add((FACE, "f3"), (FACE, "f1"), 0.8)
    graph.add((FACE, "f1"), (PERSON, "anna"), 1.0)
    assert graph.person_of((FACE, "f3")) == ("anna", 0.8)


@pytest.mark.parametrize(
    "first, second, confidence, words",
    [
        ((FACE, "f1"), (FACE, "f1"), 0.5, "an id cannot match itself"),
        ((FACE, "f1"), (PERSON, ""), 0.5, "cannot be part of a topic name"),
        ((FACE, "f1"), (PERSON, "an/na"), 0.5, "cannot be part of a topic name"),
        ((FACE, "f1"), (0, "anna"), 0.5, "has the type 0"),
        ((FACE, "f1"), (PERSON, "anna"), math.nan, "is not in"),
        ((FACE, "f1"), (PERSON, "anna"), 1.5, "is not in"),
        ((PERSON, "bert"), (PERSON, "anna"), 0.5, "contradicts stronger matches"),
    ],
)
def test_a_malformed_match_is_refused(
    graph: MatchGraph, first: Any, second: Any, confidence: float, words: str
) -> None:
    with pytest.raises(MatchError, match=words):
        graph.add(first, second, confidence)
    assert graph.person_of((FACE, "f1")) == ("", 0.0)


def test_random_matches_never_lead_to_two_persons_or_a_cycle(graph: MatchGraph) -> None:
    chance = np.random.default_rng(0)
    nodes = [(kind, f"n{kind}{number}") for kind, number in itertools.product((PERSON, FACE, BODY), range(4))]
    for _ in range(400):
        first, second = (nodes[i] for i in chance.integers(len(nodes), size=2))
        try:
            graph.add(first, second, float(chance.uniform()))
        except MatchError:
            continue
        for node in nodes:
            graph.person_of(node)  # unpacks the only person on its way
        assert len(graph._links) < len(nodes)


def person_of(client: Any, image: np.ndarray, count: int = 8, publisher: Any = None) -> Any:
    """The last face of some images with one face."""
    for _ in range(count):
        answer = client.show(image, step=0.25) if publisher is None else publisher(image)
    return answer.faces[0]


def test_a_person_who_returns_and_another_camera_get_the_same_id(
    client: Any, start: Any, face_frames: list[np.ndarray], empty_frames: list[np.ndarray]
) -> None:
    node = start("ast_net_node", "--ros-args", "-p", "persons:=true", "-p", "image_topics:=[left]")
    node.said("waiting for images")
    assert client.show(face_frames[0], step=100.0).faces[0].person_id == "", "not yet decided"
    before = person_of(client, face_frames[0])
    assert before.person_id.startswith("person_")
    for image in empty_frames:
        client.show(image, step=0.25)
    after = person_of(client, face_frames[5])
    assert after.face_id != before.face_id and after.person_id == before.person_id

    left = client.create_publisher(Image, "left", 1)

    def show_left(image: np.ndarray) -> Any:
        header = Header(stamp=time_message(client.next_stamp(0.25)))
        return client.answer_to(image_message(header, image), left)

    other = person_of(client, face_frames[3], publisher=show_left)
    assert other.source == "/left" and other.person_id == before.person_id and other.face_id != after.face_id
    client.destroy_publisher(left)

    assert client.reset().success
    assert person_of(client, face_frames[0]).person_id != before.person_id, "a reset forgets everybody"
    assert node.end() == 0 and "Traceback" not in node.log

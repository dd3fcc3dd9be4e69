"""The persons tool counts what it says, on people whose shapes are known."""

from __future__ import annotations

import numpy as np
import pytest
from persons.__main__ import measure

from ast_net_ros.vision.persons import PersonSettings

RNG = np.random.default_rng(0)


def visits(first: np.ndarray, again: np.ndarray) -> dict[str, list[np.ndarray]]:
    return {"first": [first] * 5, "again": [again] * 5, "turned": []}


@pytest.fixture()
def faces() -> np.ndarray:
    """Four faces that are nothing like each other."""
    return np.linalg.qr(RNG.normal(size=(288, 4)))[0].T


def test_people_who_return_unchanged_are_known_again(faces: np.ndarray) -> None:
    shares = measure([visits(face, face) for face in faces], 4, PersonSettings(), ["again"])
    assert shares == {
        "first visit taken for another": 0,
        "known again": 1,
        "taken for another": 0,
        "undecided": 0,
    }


def test_people_who_take_each_others_place_are_counted_as_wrong(faces: np.ndarray) -> None:
    people = [visits(faces[0], faces[1]), visits(faces[1], faces[0]), visits(faces[2], faces[3])]
    shares = measure(people, 3, PersonSettings(), ["again"])
    assert shares["taken for another"] == pytest.approx(0.667) and shares["known again"] == 0


def test_one_face_for_two_people_and_unclear_ones_are_counted(faces: np.ndarray) -> None:
    people = [visits(faces[0], faces[0]), visits(faces[0], faces[0])]
    assert measure(people, 2, PersonSettings(), ["again"])["first visit taken for another"] == 0.5
    assert measure(people, 2, PersonSettings(), ["turned"])["undecided"] == 1

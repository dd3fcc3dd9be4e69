"""Persons joined over gaps and cameras: decided by the shapes of faces, within limits of time and number."""

import numpy as np
import pytest

from ast_net_ros.vision.persons import PersonMemory, PersonSettings

RNG = np.random.default_rng(3)
COMMON = RNG.normal(size=288)  # what all faces share


def unit(vector):
    return vector / np.linalg.norm(vector)


def person():
    """Shapes of one person: alike, and less like anybody else's."""
    own = unit(COMMON) + 0.9 * unit(RNG.normal(size=288))
    return lambda: unit(unit(own) + 0.25 * unit(RNG.normal(size=288)))


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture()
def clock():
    return Clock()


@pytest.fixture()
def memory(clock):
    return PersonMemory(lambda: 60.0, "person_", clock=clock)


def watch(memory, frames=6, **faces):
    """The persons after some frames in which these faces are seen."""
    for _ in range(frames):
        found = memory.observe({face_id: shape() for face_id, shape in faces.items()})
    return found


def test_a_person_is_assigned_after_a_few_clear_observations(memory):
    anna = person()
    assert watch(memory, 3, face_1=anna) == {}
    assert watch(memory, 3, face_1=lambda: None) == {}, "a face that is not clear decides nothing"
    assert watch(memory, 1, face_1=anna) == {"face_1": "person_1"}
    assert memory.observe({"face_1": None}) == {"face_1": "person_1"}


def test_who_returns_within_the_timeout_is_the_same_person(memory, clock):
    anna, bert = person(), person()
    assert watch(memory, face_1=anna, face_2=bert) == {"face_1": "person_1", "face_2": "person_2"}
    memory.end("face_1")
    memory.end("face_2")
    clock.now += 59.0
    assert watch(memory, face_3=bert) == {"face_3": "person_2"}
    clock.now += 59.0
    assert watch(memory, face_3=bert, face_4=anna) == {"face_3": "person_2", "face_4": "person_3"}, "anna is forgotten"


def test_two_cameras_on_one_person_give_one_entry(memory):
    anna = person()
    watch(memory, left_1=anna)
    assert watch(memory, right_1=anna) == {"right_1": "person_1"}
    assert watch(memory, left_1=anna) == {"left_1": "person_1"}
    assert len(memory) == 1


def test_two_faces_of_one_frame_are_never_one_person(memory):
    anna = person()
    assert len(set(watch(memory, face_1=anna, face_2=anna).values())) == 2
    memory.end("face_1")
    assert len(set(watch(memory, face_2=anna, face_3=anna).values())) == 2


def test_forgetting_needs_no_frames_and_ids_are_never_given_again(memory, clock):
    watch(memory, face_1=person())
    clock.now += 61.0
    memory.expire()
    assert len(memory) == 0
    watch(memory, face_2=person())
    memory.clear()
    assert len(memory) == 0
    assert watch(memory, face_3=person()) == {"face_3": "person_3"}


def test_memory_is_limited_and_who_was_seen_last_stays(clock):
    memory = PersonMemory(settings=PersonSettings(persons=2), clock=clock)
    shapes = [person() for _ in range(3)]
    for number, shape in enumerate(shapes):
        clock.now += 1.0
        watch(memory, **{f"face_{number}": shape})
        memory.end(f"face_{number}")
    assert len(memory) == 2
    assert watch(memory, again=shapes[2]) == {"again": "person_3"}


def test_a_person_who_turns_to_the_camera_becomes_the_one_in_memory(memory):
    anna, turned = person(), person()
    watch(memory, left_1=anna)
    assert watch(memory, left_1=anna, right_1=turned) == {"left_1": "person_1", "right_1": "person_2"}
    memory.end("right_1")
    assert watch(memory, right_2=turned) == {"right_2": "person_2"}
    assert watch(memory, right_2=anna) == {"right_2": "person_2"}, "both were in one image: they are two"

    memory.clear()
    watch(memory, left_3=anna)
    assert watch(memory, right_3=turned) == {"right_3": "person_4"}
    assert watch(memory, right_3=anna) == {"right_3": "person_3"}
    assert len(memory) == 1
    memory.end("right_3")
    assert watch(memory, right_4=turned) == {"right_4": "person_3"}, "it has learned both"

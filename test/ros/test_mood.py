"""Moods from estimates, without ROS: when they begin, when they do not, and what is said about it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.ros.examples.mood import MoodEvent, MoodMachine, MoodSettings
from ast_net_ros.vision.video import open_video

RATE = 20


def make_face(
    valence: float, arousal: float = 0.0, face_id: str = "a", confidence: float = 0.6, state_age: float = 10.0
) -> FaceAffect:
    return FaceAffect(face_id, (0.0, 0.0, 90.0, 90.0), valence, arousal, confidence, (0.125,) * 8, state_age)


def second_of(face: FaceAffect | None, seconds: float = 1.0) -> list[list[FaceAffect]]:
    """Images that show `face`, or nobody, for a while."""
    return [[face] if face else []] * round(seconds * RATE)


def play(machine: MoodMachine, *parts: Iterable[list[FaceAffect]]) -> list[MoodEvent]:
    """The events of images at RATE, one part after the other."""
    events = []
    for number, faces in enumerate(itertools.chain(*parts)):
        events += machine.update(number / RATE, faces)
    return events


def summaries(events: Iterable[MoodEvent]) -> list[str]:
    return [f"{event.event} {event.previous}>{event.mood}" for event in events]


@pytest.mark.parametrize(
    "valence, arousal, mood",
    [
        (0.5, 0.5, "positive"),
        (0.5, -0.5, "positive"),
        (-0.5, 0.5, "negative"),
        (0.1, 0.5, "excited"),
        (0.1, 0.1, "calm"),
    ],
)
def test_valence_has_the_first_word_and_arousal_the_second(valence: float, arousal: float, mood: str) -> None:
    events = play(MoodMachine(), second_of(make_face(valence, arousal)))
    assert summaries(events) == [f"mood_changed >{mood}"]


def test_a_person_becomes_upset_cheers_up_and_leaves() -> None:
    parts = [make_face(0.0), make_face(-0.5), make_face(0.0), make_face(0.5), None]
    events = play(MoodMachine(), *(second_of(face, 3.0) for face in parts))
    assert summaries(events) == [
        "mood_changed >calm",
        "mood_changed calm>negative",
        "became_upset calm>negative",
        "mood_changed negative>calm",
        "mood_changed calm>positive",
        "cheered_up calm>positive",
        "engagement_lost positive>",
    ]
    assert [event.stamp for event in events] == pytest.approx([0.5, 3.5, 3.5, 6.5, 9.5, 9.5, 14.0], abs=0.051)


def test_a_good_mood_long_after_a_bad_one_is_no_cheering_up() -> None:
    calm = second_of(make_face(0.0), 21.0)
    events = play(MoodMachine(), second_of(make_face(-0.5)), calm, second_of(make_face(0.5)))
    assert "cheered_up" not in [event.event for event in events] and events[-1].mood == "positive"


def test_values_between_the_thresholds_change_nothing() -> None:
    fluctuation = [[make_face(0.22 + 0.05 * (-1) ** number)] for number in range(100)]
    assert summaries(play(MoodMachine(), second_of(make_face(0.4)), fluctuation)) == ["mood_changed >positive"]
    assert summaries(play(MoodMachine(), second_of(make_face(0.0)), fluctuation)) == ["mood_changed >calm"]


def test_a_mood_that_does_not_last_is_not_believed() -> None:
    flashes = itertools.chain.from_iterable([second_of(make_face(-0.8), 0.4), second_of(make_face(0.0), 0.4)] * 5)
    assert summaries(play(MoodMachine(), second_of(make_face(0.0)), flashes)) == ["mood_changed >calm"]


@pytest.mark.parametrize("doubtful", [make_face(-0.8, confidence=0.2), make_face(-0.8, state_age=0.5)])
def test_uncertain_estimates_only_keep_engagement(doubtful: FaceAffect) -> None:
    machine = MoodMachine()
    assert summaries(play(machine, second_of(make_face(0.0)), second_of(doubtful, 5.0))) == ["mood_changed >calm"]
    assert machine.people == {"a": "calm"}


def test_short_absences_and_unknown_people_cause_no_loss() -> None:
    assert summaries(
        play(MoodMachine(), second_of(make_face(0.0)), second_of(None, 1.5), second_of(make_face(0.0)))
    ) == ["mood_changed >calm"]
    machine = MoodMachine()
    assert play(machine, second_of(make_face(0.0, state_age=0.1)), second_of(None, 5.0)) == []
    assert machine.people == {}


def test_without_images_time_itself_loses_people() -> None:
    machine = MoodMachine()
    play(machine, second_of(make_face(0.0)))
    assert machine.expire(2.9) == []
    assert summaries(machine.expire(3.0)) == ["engagement_lost calm>"]
    assert machine.expire(4.0) == []


def test_stamps_that_go_backward_end_what_was_known() -> None:
    machine = MoodMachine()
    play(machine, second_of(make_face(0.5), 10.0))
    events = machine.update(0.0, [make_face(-0.5, face_id="b")])
    assert summaries(events) == ["engagement_lost positive>"] and machine.people == {"b": ""}


def test_people_have_moods_of_their_own() -> None:
    both = [[make_face(0.5), make_face(-0.5, face_id="b")]] * RATE
    machine = MoodMachine()
    play(machine, both)
    assert machine.people == {"a": "positive", "b": "negative"}


@pytest.mark.parametrize(
    "values, reason",
    [
        ({"enter": 0.1}, "leave < enter"),
        ({"enter": 1.5}, "enter <= 1"),
        ({"patience": -1.0}, "patience is -1.0"),
        ({"dwell": float("nan")}, "dwell is nan"),
        ({"min_confidence": 2.0}, "min_confidence is 2.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        MoodSettings(**values)


def test_the_woman_of_the_video_is_upset_and_then_cheers_up(media: Path) -> None:
    def every_third() -> Iterator[tuple[float, Any]]:
        with open_video(media / "WolfgangLanger_Pexels.mp4") as video:
            yield from itertools.islice(video, 0, None, 3)

    pipeline, machine = AffectPipeline(), MoodMachine()
    events = [e for stamp, image in every_third() for e in machine.update(stamp, pipeline.process(image, stamp))]
    moods = [event.mood for event in events if event.event == "mood_changed"]
    assert "negative" in moods and moods[-1] == "positive"
    assert [event.event for event in events].count("cheered_up") == 1
    assert len({event.face_id for event in events}) == 1

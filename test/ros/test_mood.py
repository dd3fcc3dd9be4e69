"""Moods from estimates, without ROS: when they begin, when they do not, and what is said about it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.ros.examples.mood import MOODS, MoodEvent, MoodMachine
from ast_net_ros.ros.examples.mood_settings import Hysteresis, MoodSettings
from ast_net_ros.vision.video import open_video

RATE = 20


def make_face(valence: float, arousal: float = 0.0, face_id: str = "a", **values: Any) -> FaceAffect:
    values = {"confidence": 0.6, "state_age": 10.0, **values}
    return FaceAffect(face_id, (0, 0, 90, 90), valence, arousal, emotions=(0.125,) * 8, **values)


def second_of(face: FaceAffect | None, seconds: float = 1.0) -> list[list[FaceAffect]]:
    """Images that show `face`, or nobody, for a while."""
    return [[face] if face else []] * round(seconds * RATE)


def play(machine: MoodMachine, *parts: Iterable[list[FaceAffect]]) -> list[MoodEvent]:
    """The events of images at RATE, one part after the other."""
    events = []
    for number, faces in enumerate(itertools.chain(*parts)):
        events += machine.update(number / RATE, faces)
    return events


def play_on(machine: MoodMachine, *parts: Iterable[list[FaceAffect]]) -> list[MoodEvent]:
    """The events of further images."""
    begin = next(iter(machine._cameras.values())).stamp + 1 / RATE
    images = enumerate(itertools.chain(*parts))
    return [event for number, faces in images for event in machine.update(begin + number / RATE, faces)]


def summaries(events: Iterable[MoodEvent]) -> list[str]:
    return [f"{event.event} {event.previous}>{event.person.mood}" for event in events]


def moods(machine: MoodMachine) -> dict[str, str]:
    return {person.face_id: person.mood for person in machine.people}


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
    arrival = ["arrived_upset >negative"] if mood == "negative" else []
    assert summaries(events) == [f"mood_changed >{mood}", *arrival]


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
        "person_lost positive>",
    ]
    assert [event.stamp for event in events] == pytest.approx([0.5, 3.5, 3.5, 6.5, 9.5, 9.5, 14.0], abs=0.051)


def test_a_good_mood_long_after_a_bad_one_is_no_cheering_up() -> None:
    calm = second_of(make_face(0.0), 21.0)
    events = play(MoodMachine(), second_of(make_face(-0.5)), calm, second_of(make_face(0.5)))
    assert "cheered_up" not in [event.event for event in events] and events[-1].person.mood == "positive"


def test_values_between_the_thresholds_change_nothing() -> None:
    fluctuation = [[make_face(0.22 + 0.05 * (-1) ** number)] for number in range(100)]
    assert summaries(play(MoodMachine(), second_of(make_face(0.4)), fluctuation)) == ["mood_changed >positive"]
    assert summaries(play(MoodMachine(), second_of(make_face(0.0)), fluctuation)) == ["mood_changed >calm"]


def test_a_mood_that_does_not_last_is_not_believed() -> None:
    flashes = itertools.chain.from_iterable([second_of(make_face(-0.8), 0.4), second_of(make_face(0.0), 0.4)] * 5)
    assert summaries(play(MoodMachine(), second_of(make_face(0.0)), flashes)) == ["mood_changed >calm"]


DOUBTS: dict[str, Any] = {"confidence": 0.2, "state_age": 0.5, "quality": 0.4, "valence": math.nan, "arousal": math.inf}


@pytest.mark.parametrize("field", DOUBTS)
def test_unusable_estimates_keep_a_mood_for_a_while(field: str) -> None:
    machine, doubtful = MoodMachine(), replace(make_face(-0.8), **{field: DOUBTS[field]})
    assert summaries(play(machine, second_of(make_face(0.5)), second_of(doubtful, 1.9))) == ["mood_changed >positive"]
    (person,) = machine.people
    assert person.mood_duration == pytest.approx(0.95) and person.face == make_face(0.5), "only evidence counts"
    assert summaries(play_on(machine, second_of(doubtful, 5.0))) == ["mood_changed positive>"]
    assert moods(machine) == {"a": ""}, "the person is still there"
    assert summaries(play_on(machine, second_of(make_face(-0.5)))) == [
        "mood_changed >negative",
        "became_upset >negative",
    ]


def test_short_absences_and_unknown_people_cause_no_loss() -> None:
    assert summaries(
        play(MoodMachine(), second_of(make_face(0.0)), second_of(None, 1.5), second_of(make_face(0.0)))
    ) == ["mood_changed >calm"]
    machine = MoodMachine()
    assert play(machine, second_of(make_face(0.0, state_age=0.1)), second_of(None, 5.0)) == []
    assert machine.people == []


def test_without_images_time_itself_loses_people() -> None:
    machine = MoodMachine()
    play(machine, second_of(make_face(0.0)))
    assert machine.expire(2.9) == []
    assert summaries(machine.expire(3.0)) == ["person_lost calm>"]
    assert machine.expire(4.0) == []


def test_nothing_lasts_across_a_gap_in_the_images() -> None:
    machine = MoodMachine()
    play(machine, second_of(make_face(0.5, engagement=0.9)))
    events = machine.update(60.0, [make_face(0.5, engagement=0.9)])
    assert [event.event for event in events] == ["person_lost", "engaged"]
    assert (machine.people[0].mood, machine.people[0].engaged_duration) == ("", 0.0)


def test_stamps_that_go_backward_end_what_was_known() -> None:
    machine = MoodMachine()
    play(machine, second_of(make_face(0.5), 10.0))
    events = machine.update(0.0, [make_face(-0.5, face_id="b")])
    assert summaries(events) == ["person_lost positive>"] and moods(machine) == {"b": ""}


def test_people_have_moods_of_their_own() -> None:
    both = [[make_face(0.5), make_face(-0.5, face_id="b")]] * RATE
    machine = MoodMachine()
    play(machine, both)
    assert moods(machine) == {"a": "positive", "b": "negative"}


def test_each_mood_has_limits_and_dwell_of_its_own() -> None:
    limits = MoodSettings(positive=Hysteresis(0.6, 0.5, 2.0), negative=Hysteresis(0.2, 0.1, 0.1), calm_dwell=3.0)
    events = play(MoodMachine(limits), *(second_of(make_face(v), 4.0) for v in (0.7, 0.45, -0.25, -0.15)))
    changes = [(event.event, event.person.mood) for event in events]
    assert changes == [
        *(("mood_changed", mood) for mood in ("positive", "calm", "negative")),
        ("became_upset", "negative"),
    ]
    assert [event.stamp for event in events] == pytest.approx([2.0, 7.0, 8.1, 8.1], abs=0.051)


def test_a_mood_lasts_from_the_first_image_that_shows_it() -> None:
    machine = MoodMachine()
    play(machine, second_of(make_face(0.0)), second_of(make_face(0.5), 2.05))
    assert machine.people[0].mood_duration == pytest.approx(2.0)


def test_engagement_has_hysteresis_and_a_duration() -> None:
    machine = MoodMachine()
    parts = [second_of(make_face(0.0, engagement=value), 1.0) for value in (0.5, 0.7, 0.5)]
    events = [event for event in play(machine, *parts) if event.event != "mood_changed"]
    assert [(event.event, event.stamp) for event in events] == [("engaged", 1.0)]
    assert machine.people[0].engaged and machine.people[0].engaged_duration == pytest.approx(1.95)
    assert [event.event for event in play_on(machine, second_of(make_face(0.0, engagement=math.nan)))] == ["disengaged"]
    assert (machine.people[0].engagement, machine.people[0].engaged_duration) == (0.0, 0.0)


def test_engagement_must_last_for_its_dwell() -> None:
    limits = MoodSettings(engaged=Hysteresis(0.6, 0.4, 0.5))
    engaged, away = (second_of(make_face(0.0, engagement=value), 0.4) for value in (0.9, 0.1))
    names = [event.event for event in play(MoodMachine(limits), engaged, away, engaged * 2, away, engaged)]
    assert names == ["mood_changed", "engaged"]


def test_the_same_face_id_of_two_cameras_is_two_people() -> None:
    machine = MoodMachine()
    for number in range(RATE):
        machine.update(1e9 + number / RATE, [make_face(0.5)], "/live")
        machine.update(number / RATE, [make_face(-0.5)], "/bag")
    assert [(p.source, p.mood) for p in machine.people] == [("/live", "positive"), ("/bag", "negative")]
    assert [event.person.source for event in machine.expire(10.0, "/bag")] == ["/bag"]
    assert [p.source for p in machine.people] == ["/live"]


def test_a_person_id_keeps_the_mood_of_a_new_track() -> None:
    machine = MoodMachine()
    known = [make_face(-0.5, face_id=face_id, person_id="p") for face_id in ("a", "b")]
    parts = (second_of(make_face(-0.5)), second_of(known[0]), second_of(None, 1.5), second_of(known[1]))
    assert summaries(play(machine, *parts)) == ["mood_changed >negative", "arrived_upset >negative"]
    assert [(p.face_id, p.person_id) for p in machine.people] == [("b", "p")]


def test_people_are_listed_with_the_largest_face_first() -> None:
    machine = MoodMachine()
    machine.update(0.0, [make_face(0.0), make_face(0.0, face_id="b")])
    machine.update(0.1, [make_face(0.0, face_id="b"), make_face(0.0)])
    assert list(moods(machine)) == ["b", "a"]


@pytest.mark.parametrize(
    "values, reason",
    [
        ({"negative.enter": 0.1}, "negative.enter is 0.1 and negative.leave is 0.15: use leave < enter"),
        ({"engaged.leave": 0.7}, "engaged.enter is 0.6 and engaged.leave is 0.7: use leave < enter"),
        ({"positive.enter": 1.5}, "enter <= 1"),
        ({"patience": -1.0}, "patience is -1.0"),
        ({"excited.dwell": math.nan}, "excited.dwell is nan"),
        ({"min_confidence": 2.0}, "min_confidence is 2.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        MoodSettings.from_values(values)


def test_the_woman_of_the_video_is_upset_and_then_cheers_up(media: Path) -> None:
    def every_third() -> Iterator[tuple[float, Any]]:
        with open_video(media / "WolfgangLanger_Pexels.mp4") as video:
            yield from itertools.islice(video, 0, None, 3)

    pipeline, machine = AffectPipeline(), MoodMachine()
    events = [e for stamp, image in every_third() for e in machine.update(stamp, pipeline.process(image, stamp))]
    changes = [event.person.mood for event in events if event.event == "mood_changed"]
    assert "negative" in changes and changes[-1] == "positive"
    assert [event.event for event in events].count("cheered_up") == 1
    assert len({event.person.face_id for event in events}) == 1


numbers = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, -0.3, 0.0, 0.5, 1.0])
faces = st.builds(
    make_face,
    *(numbers, numbers, st.sampled_from("abc")),
    **dict.fromkeys(("confidence", "state_age", "quality", "engagement"), numbers),
    person_id=st.sampled_from(["", "", "p", "q"]),
)
images = st.tuples(
    st.sampled_from([-5.0, 0.0, 0.6, 1.0, 9.0]),
    st.lists(faces, max_size=3, unique_by=lambda face: face.face_id),
    st.sampled_from("xy"),
)


@settings(max_examples=60)
@given(st.lists(images, max_size=12))
def test_whatever_arrives_people_and_events_are_sound(shown: list[Any]) -> None:
    machine, stamp = MoodMachine(MoodSettings(min_confidence=0.0, min_quality=0.0, warm_up=0.0)), 1e9
    for step, seen, source in shown:
        stamp += step
        events = machine.update(stamp, seen, source)
        for person in [*machine.people, *(event.person for event in events)]:
            assert person.mood in ("", *MOODS) and (person.mood_duration == 0 or person.mood)
            values = [person.mood_duration, person.engaged_duration, person.engagement]
            if person.face is not None:
                values += [person.face.valence, person.face.arousal, person.face.confidence, person.face.quality]
            assert all(map(math.isfinite, values)) and min(person.mood_duration, person.engaged_duration) >= 0
        keys = [(person.source, person.person_id or person.face_id) for person in machine.people]
        assert len(keys) == len(set(keys))
        here = {(source, face.person_id or face.face_id) for face in seen}
        assert here <= set(keys)

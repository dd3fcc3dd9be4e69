"""A person's mood with hysteresis: from the stream of estimates to the few moments a behaviour acts on.

In: for every image of one camera its stamp and the faces that it shows. Out: MoodEvent records, a handful a minute.
Needs no ROS, so a behaviour can be tried out on a file of estimates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Protocol

POSITIVE, NEGATIVE, EXCITED, CALM = "positive", "negative", "excited", "calm"
MOODS = (POSITIVE, NEGATIVE, EXCITED, CALM)
MOOD_CHANGED, BECAME_UPSET, CHEERED_UP, ENGAGEMENT_LOST = (
    "mood_changed",
    "became_upset",
    "cheered_up",
    "engagement_lost",
)


class JudgedFace(Protocol):
    """What is read of a face: an ast_net_ros/msg/ValenceArousal has it, and so has the pipeline's FaceAffect."""

    @property
    def face_id(self) -> str: ...
    @property
    def valence(self) -> float: ...
    @property
    def arousal(self) -> float: ...
    @property
    def confidence(self) -> float: ...
    @property
    def state_age(self) -> float: ...


@dataclass(frozen=True)
class MoodSettings:
    """When moods begin and end. Raises ValueError for values that make no sense together.

    enter: valence (or, between the two valence moods, arousal) from which a mood begins, in [0, 1].
    leave: the same at which it ends; lies below `enter`, and the gap is the hysteresis.
    dwell: seconds a new mood must last until it is believed.
    min_confidence: estimates less certain than this change nothing, in [0, 1].
    warm_up: estimates whose state_age is less than these seconds change nothing.
    patience: seconds without a sight of the face until engagement is lost.
    memory: seconds after a negative mood in which a positive one counts as cheering up.
    """

    enter: float = 0.3
    leave: float = 0.15
    dwell: float = 0.5
    min_confidence: float = 0.35
    warm_up: float = 1.0
    patience: float = 2.0
    memory: float = 20.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{field.name} is {value}: use a number from 0 up")
        if not self.leave < self.enter <= 1:
            raise ValueError(f"enter is {self.enter} and leave {self.leave}: wanted leave < enter <= 1")
        if self.min_confidence > 1:
            raise ValueError(f"min_confidence is {self.min_confidence}: use 0 to 1")


@dataclass(frozen=True)
class MoodEvent:
    """Something happened to one person.

    event: MOOD_CHANGED; with it, where it fits, BECAME_UPSET or CHEERED_UP; or ENGAGEMENT_LOST.
    mood: the mood from now on, one of MOODS; empty after ENGAGEMENT_LOST.
    previous: the mood until now; empty when nothing was known of the person.
    stamp: the image's, in seconds.
    """

    event: str
    face_id: str
    mood: str
    previous: str
    stamp: float


@dataclass
class _Person:
    last_seen: float
    mood: str = ""
    candidate: str = ""  # a mood that has begun to show and is not believed yet
    candidate_since: float = 0.0
    last_negative: float = -math.inf


class MoodMachine:
    """The moods of all people in front of one camera."""

    def __init__(self, settings: MoodSettings | None = None):
        self.settings = settings or MoodSettings()
        self._people: dict[str, _Person] = {}
        self._stamp = -math.inf

    @property
    def people(self) -> dict[str, str]:
        """face_id and mood of everybody who is engaged; the mood is empty until something is known."""
        return {face_id: person.mood for face_id, person in self._people.items()}

    def update(self, stamp: float, faces: Iterable[JudgedFace]) -> list[MoodEvent]:
        """What follows from one image. Stamps that go backward (a looped bag) end everything known before them."""
        events = [] if stamp >= self._stamp else self._lose(list(self._people), self._stamp)
        self._stamp = stamp
        for face in faces:
            person = self._people.setdefault(face.face_id, _Person(stamp))
            person.last_seen = stamp
            events += self._judge(person, face, stamp)
        return events + self.expire(stamp)

    def expire(self, stamp: float) -> list[MoodEvent]:
        """The losses by `stamp`: for when no image comes at all."""
        unseen = [i for i, person in self._people.items() if stamp - person.last_seen > self.settings.patience]
        return self._lose(unseen, stamp)

    def _lose(self, face_ids: list[str], stamp: float) -> list[MoodEvent]:
        lost = [(face_id, self._people.pop(face_id)) for face_id in face_ids]
        # Of somebody who passed by before a mood was known, no behaviour has heard.
        return [MoodEvent(ENGAGEMENT_LOST, face_id, "", p.mood, stamp) for face_id, p in lost if p.mood]

    def _judge(self, person: _Person, face: JudgedFace, stamp: float) -> list[MoodEvent]:
        if face.confidence < self.settings.min_confidence or face.state_age < self.settings.warm_up:
            person.candidate = ""
            return []
        if person.mood == NEGATIVE:
            person.last_negative = stamp
        mood = self._mood(face, person.mood)
        if mood != person.candidate:
            person.candidate, person.candidate_since = mood, stamp
        if mood == person.mood or stamp - person.candidate_since < self.settings.dwell:
            return []
        previous, person.mood = person.mood, mood
        names = [MOOD_CHANGED]
        if mood == NEGATIVE and previous:
            names.append(BECAME_UPSET)
        if mood == POSITIVE and stamp - person.last_negative <= self.settings.memory:
            names.append(CHEERED_UP)
        return [MoodEvent(name, face.face_id, mood, previous, stamp) for name in names]

    def _mood(self, face: JudgedFace, current: str) -> str:
        """The mood an estimate speaks for. Valence has the first word; arousal decides where valence says little."""
        for mood, value in ((POSITIVE, face.valence), (NEGATIVE, -face.valence), (EXCITED, face.arousal)):
            if value >= (self.settings.leave if mood == current else self.settings.enter):
                return mood
        return CALM

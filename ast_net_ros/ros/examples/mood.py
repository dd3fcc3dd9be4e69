"""A person's mood with hysteresis: turns a stream of estimates into the few events that a behaviour reacts to.

Needs no ROS, so that thresholds can be tried out on a file of estimates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from ast_net_ros.face_affect import FaceAffect

POSITIVE, NEGATIVE, EXCITED, CALM = "positive", "negative", "excited", "calm"
MOODS = (POSITIVE, NEGATIVE, EXCITED, CALM)
MOOD_CHANGED, BECAME_UPSET, CHEERED_UP, ENGAGEMENT_LOST = (
    "mood_changed",
    "became_upset",
    "cheered_up",
    "engagement_lost",
)


@dataclass(frozen=True)
class MoodSettings:
    """When moods start and end.

    Attributes:
        enter: Absolute valence (or arousal, while valence is neutral) at which a mood starts, in [0, 1].
        leave: Absolute value at which it ends; less than `enter`, and the difference is the hysteresis.
        dwell: Seconds a new mood must last before it is reported.
        min_confidence: Estimates with a lower confidence are ignored, in [0, 1].
        warm_up: Estimates with a lower state_age, in seconds, are ignored.
        patience: Seconds a face may be unseen before engagement is lost.
        memory: Seconds after a negative mood within which a positive one counts as cheering up.

    Raises:
        ValueError: A value is out of range, or `leave` is not less than `enter`.
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
                raise ValueError(f"{field.name} is {value}: use a number of at least 0")
        if not self.leave < self.enter <= 1:
            raise ValueError(f"enter is {self.enter} and leave is {self.leave}: use leave < enter <= 1")
        if self.min_confidence > 1:
            raise ValueError(f"min_confidence is {self.min_confidence}: use 0 to 1")


@dataclass(frozen=True)
class MoodEvent:
    """A change in one person's mood.

    Attributes:
        event: MOOD_CHANGED, which BECAME_UPSET or CHEERED_UP may follow; or ENGAGEMENT_LOST.
        face_id: The person.
        mood: The new mood, one of MOODS; empty after ENGAGEMENT_LOST.
        previous: The previous mood; empty if none was known.
        stamp: Stamp of the image in seconds.
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
    candidate: str = ""  # a new mood that has not lasted for `dwell` yet
    candidate_since: float = 0.0
    last_negative: float = -math.inf


class MoodMachine:
    """The moods of all people in front of one camera.

    Args:
        settings: When moods start and end; None for the defaults.
    """

    def __init__(self, settings: MoodSettings | None = None):
        self.settings = settings or MoodSettings()
        self._people: dict[str, _Person] = {}
        self._stamp = -math.inf

    @property
    def people(self) -> dict[str, str]:
        """face_id -> mood of everyone who is engaged; the mood is empty until it is known."""
        return {face_id: person.mood for face_id, person in self._people.items()}

    def update(self, stamp: float, faces: Iterable[FaceAffect]) -> list[MoodEvent]:
        """Process one image.

        Args:
            stamp: Its stamp in seconds. A stamp before the previous one (a looped bag) loses everyone.
            faces: Its faces: FaceAffect, or ast_net_ros/msg/ValenceArousal, which has the same fields.

        Returns:
            The events.
        """
        events = [] if stamp >= self._stamp else self._lose(list(self._people), self._stamp)
        self._stamp = stamp
        for face in faces:
            person = self._people.setdefault(face.face_id, _Person(stamp))
            person.last_seen = stamp
            events += self._update_person(person, face, stamp)
        return events + self.expire(stamp)

    def expire(self, stamp: float) -> list[MoodEvent]:
        """Return who is lost by `stamp`; for when no images arrive."""
        unseen = [i for i, person in self._people.items() if stamp - person.last_seen > self.settings.patience]
        return self._lose(unseen, stamp)

    def _lose(self, face_ids: list[str], stamp: float) -> list[MoodEvent]:
        lost = [(face_id, self._people.pop(face_id)) for face_id in face_ids]
        # No event has been reported for someone whose mood was never known.
        return [MoodEvent(ENGAGEMENT_LOST, face_id, "", p.mood, stamp) for face_id, p in lost if p.mood]

    def _update_person(self, person: _Person, face: FaceAffect, stamp: float) -> list[MoodEvent]:
        if face.confidence < self.settings.min_confidence or face.state_age < self.settings.warm_up:
            person.candidate = ""
            return []
        if person.mood == NEGATIVE:
            person.last_negative = stamp
        mood = self._classify(face, person.mood)
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

    def _classify(self, face: FaceAffect, current: str) -> str:
        """Return the mood of an estimate: by valence, or by arousal while valence is neutral."""
        for mood, value in ((POSITIVE, face.valence), (NEGATIVE, -face.valence), (EXCITED, face.arousal)):
            if value >= (self.settings.leave if mood == current else self.settings.enter):
                return mood
        return CALM

"""People's moods with hysteresis: turns a stream of estimates into the few events that a behaviour reacts to.

Needs no ROS, so that thresholds can be tried out on a file of estimates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.ros.examples.mood_settings import MoodSettings

POSITIVE, NEGATIVE, EXCITED, CALM = "positive", "negative", "excited", "calm"
MOODS = (POSITIVE, NEGATIVE, EXCITED, CALM)
MOOD_CHANGED, ARRIVED_UPSET, BECAME_UPSET, CHEERED_UP = "mood_changed", "arrived_upset", "became_upset", "cheered_up"
ENGAGED, DISENGAGED, PERSON_LOST = "engaged", "disengaged", "person_lost"


@dataclass(frozen=True)
class Person:
    """One person in front of a camera, as ast_net_ros/msg/PersonMood.

    Attributes:
        source: Topic of the camera.
        face_id: Id of the current track.
        person_id: Id of the person; empty where persons are not recognised.
        face: The last estimate that was good enough to be used; None as long as none was.
        mood: One of MOODS; empty while it is not known.
        mood_duration: Seconds for which the mood has lasted, up to the last estimate that was used.
        engaged: Whether the person is turned to the camera.
        engaged_duration: Seconds for which the person has been engaged; 0 while not engaged.
        engagement: That of the last image, in [0, 1].
    """

    source: str
    face_id: str
    person_id: str
    face: FaceAffect | None = None
    mood: str = ""
    mood_duration: float = 0.0
    engaged: bool = False
    engaged_duration: float = 0.0
    engagement: float = 0.0


@dataclass(frozen=True)
class MoodEvent:
    """A change in one person.

    Attributes:
        event: MOOD_CHANGED, which ARRIVED_UPSET, BECAME_UPSET or CHEERED_UP may follow; ENGAGED or DISENGAGED;
            PERSON_LOST.
        person: The person after the event; after PERSON_LOST the mood is empty.
        previous: The mood before the event; empty if none was known.
        stamp: Stamp of the image in seconds.
    """

    event: str
    person: Person
    previous: str
    stamp: float


@dataclass
class _Track:
    """What is remembered of a person. Times are stamps in seconds."""

    person: Person
    seen: float = 0.0
    used: float = -math.inf  # the last estimate that was used
    mood_since: float = 0.0
    candidate: str = ""  # a mood that may not have lasted for its dwell yet
    candidate_since: float = 0.0
    engaged_since: float = 0.0
    turning_since: float | None = None  # engagement that has not lasted for its dwell yet
    last_mood: str = ""  # survives a time without usable estimates, unlike person.mood
    last_negative: float = -math.inf
    reported: bool = False
    rank: int = 0  # place among the faces of the image, largest first


@dataclass
class _Camera:
    stamp: float = -math.inf
    tracks: dict[str, _Track] = field(default_factory=dict)  # by person_id, or face_id where there is none


class MoodMachine:
    """The moods of all people in front of all cameras.

    Everything is measured by the stamps of a camera's own images: those of different cameras are never compared.

    Args:
        settings: When moods start and end; None for the defaults.
    """

    def __init__(self, settings: MoodSettings | None = None):
        self.settings = settings or MoodSettings()
        self._cameras: dict[str, _Camera] = {}

    @property
    def people(self) -> list[Person]:
        """Everybody who is there, camera by camera and the largest face of each first."""
        tracks = [sorted(camera.tracks.values(), key=lambda track: track.rank) for camera in self._cameras.values()]
        return [track.person for one_camera in tracks for track in one_camera]

    def update(self, stamp: float, faces: Iterable[FaceAffect], source: str = "") -> list[MoodEvent]:
        """Process one image.

        Args:
            stamp: Its stamp in seconds. A stamp before the previous one (a looped bag) loses everyone of this camera.
            faces: Its faces, largest first: FaceAffect, or ast_net_ros/msg/ValenceArousal, which has the same fields.
            source: The camera.

        Returns:
            The events.
        """
        events = self.expire(stamp, source)  # first, so that nothing lasts across a gap in the images
        camera = self._cameras.setdefault(source, _Camera())
        if stamp < camera.stamp:
            events += self._lose(camera, list(camera.tracks), stamp)
        camera.stamp = stamp
        for rank, face in enumerate(faces):
            track = _track_of(camera, face, source)
            track.seen, track.rank = stamp, rank
            events += [*self._update_engagement(track, face, stamp), *self._update_mood(track, face, stamp)]
        return events

    def expire(self, stamp: float, source: str = "") -> list[MoodEvent]:
        """Return who of a camera is lost by `stamp`; for when no images arrive."""
        camera = self._cameras.get(source)
        if camera is None:
            return []
        unseen = [key for key, track in camera.tracks.items() if stamp - track.seen > self.settings.patience]
        events = self._lose(camera, unseen, stamp)
        if not camera.tracks:
            del self._cameras[source]
        return events

    def _lose(self, camera: _Camera, keys: list[str], stamp: float) -> list[MoodEvent]:
        lost = [camera.tracks.pop(key) for key in keys]
        return [
            MoodEvent(PERSON_LOST, Person(p.source, p.face_id, p.person_id, p.face), p.mood, stamp)
            for p in (track.person for track in lost if track.reported)  # nobody was told of the others
        ]

    def _update_engagement(self, track: _Track, face: FaceAffect, stamp: float) -> list[MoodEvent]:
        person, limits = track.person, self.settings.engaged
        engagement = face.engagement if math.isfinite(face.engagement) else 0.0
        engaged = engagement >= (limits.leave if person.engaged else limits.enter)
        if engaged == person.engaged:
            track.turning_since = None
        elif track.turning_since is None:
            track.turning_since = stamp
        if track.turning_since is not None and stamp - track.turning_since < limits.dwell:
            engaged = person.engaged
        if engaged != person.engaged:
            track.engaged_since, track.turning_since = track.turning_since or stamp, None
        duration = stamp - track.engaged_since if engaged else 0.0
        track.person = replace(person, engaged=engaged, engaged_duration=duration, engagement=engagement)
        names = [ENGAGED if engaged else DISENGAGED] if engaged != person.engaged else []
        return self._report(track, names, person.mood, stamp)

    def _update_mood(self, track: _Track, face: FaceAffect, stamp: float) -> list[MoodEvent]:
        previous = track.person.mood
        if not self._is_usable(face):
            track.candidate = ""
            if not previous or stamp - track.used <= self.settings.patience:
                return []
            track.person = replace(track.person, mood="", mood_duration=0.0)
            return self._report(track, [MOOD_CHANGED], previous, stamp)
        track.used = stamp
        if previous == NEGATIVE:
            track.last_negative = stamp
        mood = self._classify(face, previous)
        if mood != track.candidate:
            track.candidate, track.candidate_since = mood, stamp
        names = []
        if mood != previous and stamp - track.candidate_since < self.settings.of(mood).dwell:
            mood = previous
        elif mood != previous:
            names = self._names_of_change(track, mood, stamp)
            track.mood_since, track.last_mood = track.candidate_since, mood
        duration = stamp - track.mood_since if mood else 0.0
        track.person = replace(track.person, face=face, mood=mood, mood_duration=duration)
        return self._report(track, names, previous, stamp)

    def _names_of_change(self, track: _Track, mood: str, stamp: float) -> list[str]:
        names = [MOOD_CHANGED]
        if mood == NEGATIVE and track.last_mood != NEGATIVE:
            names.append(BECAME_UPSET if track.last_mood else ARRIVED_UPSET)
        if mood == POSITIVE and stamp - track.last_negative <= self.settings.memory:
            names.append(CHEERED_UP)
        return names

    def _report(self, track: _Track, names: list[str], previous: str, stamp: float) -> list[MoodEvent]:
        track.reported = track.reported or bool(names)
        return [MoodEvent(name, track.person, previous, stamp) for name in names]

    def _is_usable(self, face: FaceAffect) -> bool:
        numbers = (face.valence, face.arousal, face.confidence, face.quality, face.state_age)
        return (
            all(map(math.isfinite, numbers))
            and face.confidence >= self.settings.min_confidence
            and face.quality >= self.settings.min_quality
            and face.state_age >= self.settings.warm_up
        )

    def _classify(self, face: FaceAffect, current: str) -> str:
        """Return the mood of an estimate: by valence, or by arousal while valence is neutral."""
        for mood, value in ((POSITIVE, face.valence), (NEGATIVE, -face.valence), (EXCITED, face.arousal)):
            limits = self.settings.of(mood)
            if value >= (limits.leave if mood == current else limits.enter):
                return mood
        return CALM


def _track_of(camera: _Camera, face: FaceAffect, source: str) -> _Track:
    """Return the track of a face, under its person_id from the image on in which that becomes known."""
    key = face.person_id or face.face_id
    unnamed = camera.tracks.pop(face.face_id, None) if face.person_id else None
    track = camera.tracks.get(key) or unnamed or _Track(Person(source, face.face_id, face.person_id))
    camera.tracks[key] = track
    track.person = replace(track.person, face_id=face.face_id, person_id=face.person_id)
    return track

"""Persons: joins the tracks of one person over gaps of minutes and over several cameras.

In: the shapes (`vision.appearance`) of the tracked faces of each frame. Out: the id of a person for a face. Everything
is in memory, for a limited time; nothing here is written anywhere.

A track is assigned as soon as it has shown its face well a few times: to the person in memory whom these
observations resemble most, or to a new one. A new person who later shows a face like that of an older one, as people
do who turn to the camera, becomes that one.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class PersonSettings:
    """What decides whether a track shows a person in memory. Chosen with `tools/persons`; docs/explanation/persons.md.

    Attributes:
        observations: Number of observations of a face before its track is assigned.
        similarity: Minimum similarity of the best matching observation and template of a person.
        joining_similarity: Minimum similarity of a later observation at which a person becomes an older one.
        margin: By how much it must exceed that of any other person.
        novelty: A shape less similar than this to every template of the person becomes a template.
        templates: Maximum number per person; the oldest are dropped first.
        persons: Maximum number in memory; the one not seen for longest is dropped first.
    """

    observations: int = 4
    similarity: float = 0.87
    joining_similarity: float = 0.89
    margin: float = 0.02
    novelty: float = 0.9
    templates: int = 8
    persons: int = 100


@dataclass(eq=False)
class _Person:
    """A person in memory."""

    person_id: str
    templates: list[np.ndarray]
    seen: float  # time of the last observation, seconds
    apart: set[str] = field(default_factory=set)  # ids of persons seen in the same frame as this one

    def similarity(self, shapes: list[np.ndarray]) -> float:
        """Largest similarity of a shape and a template, at most 1: other poses and expressions do not count."""
        return float((np.stack(shapes) @ np.stack(self.templates).T).max())


@dataclass
class _Face:
    """A track."""

    shapes: list[np.ndarray]  # observed before it is assigned
    person: _Person | None = None


class PersonMemory:
    """Remembers the persons seen lately. Thread-safe.

    Args:
        timeout: Returns the seconds for which a person who is out of view is remembered.
        id_prefix: Start of every person id.
        settings: None for the defaults.
        clock: Returns the time in seconds; another one for tests only. Not the stamps, so that people are forgotten
            in time whatever a camera sends.
    """

    def __init__(
        self,
        timeout: Callable[[], float] = lambda: 300.0,
        id_prefix: str = "person_",
        settings: PersonSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.settings = settings or PersonSettings()
        self._timeout, self._prefix, self._clock = timeout, id_prefix, clock
        self._numbers = itertools.count(1)
        self._persons: list[_Person] = []
        self._faces: dict[str, _Face] = {}
        self._lock = threading.Lock()

    def observe(self, shapes: Mapping[str, np.ndarray | None]) -> dict[str, str]:
        """Take in all faces of one frame.

        Args:
            shapes: For each face in view, by face id, its shape; None where it was not described or shows the face
                too badly to tell people apart.

        Returns:
            The person of each face that is assigned, by face id. It changes when a person becomes an older one.
        """
        with self._lock:
            now = self._clock()
            self._expire(now)
            for face_id, shape in shapes.items():
                self._learn(self._faces.setdefault(face_id, _Face([])), shape, now)
            enough = self.settings.observations
            ready = {i: f for i in shapes if not (f := self._faces[i]).person and len(f.shapes) >= enough}
            # One person has one face in a frame. The surest assignment first, as it narrows the others.
            while ready:
                in_view = {self._faces[i].person for i in shapes}
                absent = [person for person in self._persons if person not in in_view]
                least = self.settings.similarity
                found = {face_id: self._best(face.shapes, absent, least) for face_id, face in ready.items()}
                face_id = max(found, key=lambda i: found[i][1])
                self._assign(ready.pop(face_id), found[face_id][0], now)
            persons = {i: person for i in shapes if (person := self._faces[i].person)}
            ids = {person.person_id for person in persons.values()}
            for person in persons.values():
                person.apart |= ids - {person.person_id}
            return {face_id: person.person_id for face_id, person in persons.items()}

    def end(self, face_id: str) -> None:
        """Note that a track has ended; its person is remembered."""
        with self._lock:
            self._faces.pop(face_id, None)

    def expire(self) -> None:
        """Forget persons who have been out of view for longer than the timeout. Call it while no frames arrive."""
        with self._lock:
            self._expire(self._clock())

    def clear(self) -> None:
        """Forget everybody. Ids are never reused."""
        with self._lock:
            self._persons.clear()
            self._faces.clear()

    def __len__(self) -> int:
        """Return how many persons are in memory."""
        return len(self._persons)

    def _expire(self, now: float) -> None:
        self._persons = [person for person in self._persons if now - person.seen <= self._timeout()]
        kept = {None, *self._persons}
        self._faces = {face_id: face for face_id, face in self._faces.items() if face.person in kept}

    def _learn(self, face: _Face, shape: np.ndarray | None, now: float) -> None:
        person = face.person
        if person is not None:
            person.seen = now
        if shape is None:
            return
        if person is None:
            face.shapes.append(shape)
        elif person.similarity([shape]) < self.settings.novelty:
            person.templates = [*person.templates, shape][-self.settings.templates :]
            others = [one for one in self._persons if one is not person and one.person_id not in person.apart]
            other, _ = self._best([shape], others, self.settings.joining_similarity)
            if other:
                self._join(person, other)

    def _join(self, first: _Person, second: _Person) -> None:
        """Merge two persons into the one who has been in memory for longer."""
        older, younger = sorted((first, second), key=self._persons.index)
        older.templates = [*older.templates, *younger.templates][-self.settings.templates :]
        older.seen = max(older.seen, younger.seen)
        older.apart |= younger.apart
        self._persons.remove(younger)
        for person in self._persons:
            if younger.person_id in person.apart:
                person.apart.add(older.person_id)
        for face in self._faces.values():
            if face.person is younger:
                face.person = older

    def _best(self, shapes: list[np.ndarray], persons: list[_Person], least: float) -> tuple[_Person | None, float]:
        """The person whom the shapes show, if any, and the similarity."""
        ranked = sorted(((person.similarity(shapes), index) for index, person in enumerate(persons)), reverse=True)
        if not ranked or ranked[0][0] < least:
            return None, 0.0
        (similarity, index), *others = ranked
        if others and similarity - others[0][0] < self.settings.margin:
            return None, 0.0
        return persons[index], similarity

    def _assign(self, face: _Face, person: _Person | None, now: float) -> None:
        """Assign a face to a person in memory, or to a new one, and learn what it has shown."""
        shapes, face.shapes = face.shapes, []
        if person is None:
            person = _Person(f"{self._prefix}{next(self._numbers)}", shapes[:1], now)
            self._persons.append(person)
            if len(self._persons) > self.settings.persons:
                self._persons.remove(min(self._persons, key=lambda one: one.seen))
        face.person = person
        for shape in shapes:
            self._learn(face, shape, now)

"""`/humans/candidate_matches`: who another node says a face belongs to (REP-155).

Matches link faces, bodies, voices and persons. The strongest links that neither close a cycle nor join two persons
count, so that every face leads to one person at most. Others are logged once and ignored.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rclpy.node import Node

from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.ros.hri.messages import QUEUE_DEPTH

MATCHES = "/humans/candidate_matches"
_MAX_LINKS, _MAX_LOGGED = 1000, 100

Feature = tuple[int, str]
"""Type, as in hri_msgs/IdsMatch, and id."""


class MatchError(ValueError):
    """A match that cannot be used; the message says why."""


class MatchGraph:
    """The links that count: a forest in which no tree has two persons.

    Args:
        person: The type of a person in hri_msgs/IdsMatch.
        types: All types that there are.
    """

    def __init__(self, person: int, types: Sequence[int]):
        self._person, self._types = person, types
        self._links: dict[frozenset[Feature], float] = {}

    def add(self, first: Feature, second: Feature, confidence: float) -> None:
        """Add or change a link; a confidence of 0 removes it.

        Raises:
            MatchError: The match is malformed, or stronger links contradict it.
        """
        for kind, name in (first, second):
            if kind not in self._types:
                raise MatchError(f"id {name!r} has the type {kind}; use one of {list(self._types)}")
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise MatchError(f"id {name!r} cannot be part of a topic name")
        if not (math.isfinite(confidence) and 0.0 <= confidence <= 1.0):
            raise MatchError(f"confidence {confidence} is not in [0, 1]")
        if first == second:
            raise MatchError("an id cannot match itself")
        link = frozenset((first, second))
        self._links.pop(link, None)
        if confidence == 0.0:
            return
        against = self._path(first, {second})
        if against is None:
            ways = [self._way_to_person(feature) for feature in (first, second)]
            if ways[0] is not None and ways[1] is not None:  # the link would join two persons
                against = ways[0] + ways[1]
        if against is not None:
            weakest = min(against, key=self._links.__getitem__, default=None)
            if weakest is None or self._links[weakest] >= confidence:
                raise MatchError("it contradicts stronger matches or forms a cycle with them")
            del self._links[weakest]
        self._links[link] = confidence
        if len(self._links) > _MAX_LINKS:
            del self._links[next(iter(self._links))]

    def person_of(self, feature: Feature) -> tuple[str, float]:
        """Return the person that a feature leads to and the confidence of the weakest link; "" and 0 without one."""
        path = self._way_to_person(feature) if self._links else None
        if not path:
            return "", 0.0
        (person,) = {name for link in path for kind, name in link if kind == self._person}
        return person, min(map(self._links.__getitem__, path))

    def _way_to_person(self, feature: Feature) -> list[frozenset[Feature]] | None:
        """Return the links from a feature to a person, none for a person itself; None without a way."""
        if feature[0] == self._person:
            return []
        return self._path(feature, {node for link in self._links for node in link if node[0] == self._person})

    def _path(self, start: Feature, goals: set[Feature]) -> list[frozenset[Feature]] | None:
        """Return the links from a feature to one of others; None without a way."""
        pending: list[tuple[Feature, list[frozenset[Feature]]]] = [(start, [])]
        for node, path in pending:
            if path and node in goals:
                return path
            for link in self._links:
                if node in link and link not in path:
                    (other,) = link - {node}
                    pending.append((other, [*path, link]))
        return None


class CandidateMatches:
    """Listens to the matches (`message_type` is hri_msgs/IdsMatch) and applies them to faces. Thread-safe."""

    def __init__(self, node: Node, message_type: Any):
        self._node = node
        self._face = message_type.FACE
        types = (message_type.PERSON, message_type.FACE, message_type.BODY, message_type.VOICE)
        self._graph = MatchGraph(message_type.PERSON, types)
        self._logged: set[str] = set()
        self._lock = threading.Lock()
        self._subscription = node.create_subscription(message_type, MATCHES, self._on_match, QUEUE_DEPTH)

    def apply(self, faces: Sequence[FaceAffect]) -> list[FaceAffect]:
        """Return the faces of one image with the persons that they are matched to; without a match as they are."""
        with self._lock:
            found = {face.face_id: self._graph.person_of((self._face, face.face_id)) for face in faces}
        taken: dict[str, str] = {}
        for face_id, (person, _) in sorted(found.items(), key=lambda item: -item[1][1]):
            if person and taken.setdefault(person, face_id) != face_id:
                self._log_once(
                    f"ignoring the match of {face_id} and {person}: {taken[person]} in the same image is that person"
                )
                found[face_id] = ("", 0.0)
        return [replace(face, person_id=found[face.face_id][0] or face.person_id) for face in faces]

    def stop(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _on_match(self, message: Any) -> None:
        first, second = (message.id1_type, message.id1), (message.id2_type, message.id2)
        try:
            with self._lock:
                self._graph.add(first, second, message.confidence)
        except MatchError as error:
            self._log_once(f"ignoring the match of {message.id1!r} and {message.id2!r}: {error}")

    def _log_once(self, problem: str) -> None:
        if problem not in self._logged and len(self._logged) < _MAX_LOGGED:
            self._logged.add(problem)
            self._node.get_logger().warning(f"{MATCHES}: {problem}")

"""Choose the face in each frame whose estimates are compared with the labels.

The rules:

largest   the largest face of each frame, which the node publishes as its primary face
id:NAME   the face with this id in estimates.csv, or several (id:face_1,face_4) that belong to one person who was
          lost and found again; if a frame shows two of them, the one named first
best      the face with the highest CCC (mean of valence and arousal, among faces seen in at least a tenth of the
          labelled frames), and further faces with a positive CCC that never share a frame with those chosen, since
          the same person may have returned with a new id. The rule uses the labels, so metrics of recordings with
          many faces are optimistic.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ast_net_ros.evaluation.estimates import iterate_estimates
from ast_net_ros.evaluation.metrics.accuracy import accuracy


class MatchError(ValueError):
    """A rule that is unknown or names a face that does not exist; the message names the rule and the alternatives."""


@dataclass(frozen=True, eq=False)
class FaceTable:
    """The K rows of estimates.csv as arrays."""

    names: tuple[str, ...]  # face ids in order of appearance
    frame: np.ndarray  # K frame numbers, rising
    face: np.ndarray  # K indices into `names`
    area: np.ndarray  # K areas of the box in pixels
    affect: np.ndarray  # K x 4 (valence, arousal, confidence, state_age)


def read_face_table(path: Path) -> FaceTable:
    """Read an estimates file row by row."""
    names: dict[str, int] = {}
    frame, face, area, affect = array("q"), array("q"), array("d"), array("d")
    for row in iterate_estimates(path):
        found = row.face
        frame.append(row.frame)
        face.append(names.setdefault(found.face_id, len(names)))
        area.append(found.box[2] * found.box[3])
        affect.extend((found.valence, found.arousal, found.confidence, found.state_age))
    return FaceTable(
        tuple(names), np.array(frame, int), np.array(face, int), np.array(area), np.array(affect).reshape(-1, 4)
    )


def check_rule(rule: str) -> None:
    """Raise MatchError for an unknown rule."""
    if rule not in ("largest", "best") and not (rule.startswith("id:") and all(rule[3:].split(","))):
        raise MatchError(f"match '{rule}': unknown; expected largest, best or id:NAME[,NAME...]")


def largest_faces(table: FaceTable, frames: int) -> np.ndarray:
    """Return the row of the largest face of each frame, the first of equally large ones; -1 for none."""
    rows = np.full(frames, -1)
    order = np.lexsort((-np.arange(len(table.frame)), table.area, table.frame))
    rows[table.frame[order]] = order  # the last of each frame, the largest, remains
    return rows


def named_faces(table: FaceTable, frames: int, names: Sequence[str]) -> np.ndarray:
    """Return the row of the first of `names` that each frame shows; -1 for none. MatchError: no frame shows any."""
    known = [table.names.index(name) for name in names if name in table.names]
    if not known:
        there = ", ".join(table.names[:12]) + (", ..." if len(table.names) > 12 else "") if table.names else "none"
        raise MatchError(f"match 'id:{','.join(names)}': no such face; the recording has: {there}")
    rows = np.full(frames, -1)
    for face in reversed(known):
        of_face = np.flatnonzero(table.face == face)
        rows[table.frame[of_face]] = of_face
    return rows


def best_faces(table: FaceTable, truth: np.ndarray) -> tuple[tuple[str, ...], float]:
    """Return the ids of the faces that fit the labels (N x 2) best, best first, and the mean CCC of the best.

    There is none if no face is seen in enough labelled frames.
    """
    labelled = np.isfinite(truth).all(axis=1)
    scores: dict[int, float] = {}
    for face in range(len(table.names)):
        rows = np.flatnonzero((table.face == face) & labelled[table.frame])
        if len(rows) >= max(2, 0.1 * labelled.sum()):
            scores[face] = mean_ccc(table.affect[rows, :2], truth[table.frame[rows]])
    taken: list[int] = []
    occupied = np.zeros(len(truth), bool)
    for face in sorted(scores, key=lambda face: -scores[face]):
        present = np.zeros(len(truth), bool)
        present[table.frame[table.face == face]] = True
        if not taken or (scores[face] > 0 and not (present & occupied).any()):
            taken.append(face)
            occupied |= present
    return tuple(table.names[face] for face in taken), scores[taken[0]] if taken else 0.0


def mean_ccc(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean CCC of valence and arousal over the frames (T x 2) that have both; 0 if there are none."""
    both = np.isfinite(predicted).all(axis=1) & np.isfinite(truth).all(axis=1)
    if not both.any():
        return 0.0
    return float(np.mean([accuracy(predicted[both, d], truth[both, d])["ccc"] for d in (0, 1)]))

"""Whose estimates the labels are compared with, where a picture shows more people than were labelled.

In: a recording's estimates.csv and a rule. Out: for every frame the row of the chosen face. The rules:

    largest   the largest face of each frame: what the node publishes as its primary face
    id:NAME   the face of that name in estimates.csv, or several (id:face_1,face_4) of one person who was lost and
              found again; where two of them are in one frame, the one named first
    best      the face whose estimates agree best with the labels (mean of the CCC of valence and arousal, among faces
              seen in at least a tenth of the labelled frames), and further faces that agree with them and are never
              in the picture together with those taken, as the same person may have come back under another name.
              It knows the truth: figures of recordings with many faces come out the better for it.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ast_net_ros.evaluation.estimates import iterate_estimates
from ast_net_ros.evaluation.metrics.agreement import agreement

MATCH_RULES = "largest, best or id:NAME[,NAME...]"
_LEAST_SHARE = 0.1  # of the labelled frames that a face must be seen in to be matched


class MatchError(ValueError):
    """A rule that is unknown or names a face that is not there; the text names the rule and what there is."""


@dataclass(frozen=True, eq=False)
class FaceTable:
    """The rows of estimates.csv, K of them.

    names: the faces in order of appearance. frame: K, rising. face: K indices into `names`. area: K, pixels of the box.
    affect: K x 4 (valence, arousal, confidence, state_age).
    """

    names: tuple[str, ...]
    frame: np.ndarray
    face: np.ndarray
    area: np.ndarray
    affect: np.ndarray


def read_face_table(path: Path) -> FaceTable:
    """Reads an estimates file row by row. Raises EstimatesError."""
    names: dict[str, int] = {}
    frame, face, area, affect = array("q"), array("q"), array("d"), array("d")
    for row in iterate_estimates(path):
        frame.append(row.frame)
        face.append(names.setdefault(row.face_id, len(names)))
        area.append(row.box[2] * row.box[3])
        affect.extend((row.valence, row.arousal, row.confidence, row.state_age))
    return FaceTable(
        tuple(names), np.array(frame, int), np.array(face, int), np.array(area), np.array(affect).reshape(-1, 4)
    )


def check_rule(rule: str) -> None:
    """Raises MatchError for an unknown rule."""
    if rule not in ("largest", "best") and not (rule.startswith("id:") and all(rule[3:].split(","))):
        raise MatchError(f"match '{rule}': unknown; wanted {MATCH_RULES}")


def largest_faces(table: FaceTable, frames: int) -> np.ndarray:
    """Row of the largest face of each of `frames` frames, -1 where there is none; of equally large ones the first."""
    rows = np.full(frames, -1)
    order = np.lexsort((-np.arange(len(table.frame)), table.area, table.frame))
    rows[table.frame[order]] = order  # the last of each frame, the largest, stays
    return rows


def named_faces(table: FaceTable, frames: int, names: Sequence[str]) -> np.ndarray:
    """Row of the first of `names` that each frame shows, -1 where it shows none. Raises MatchError for no such face."""
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
    """Names of the faces that agree best with `truth` (frames x 2), the best first, and its mean CCC.

    No name where no face is seen in any labelled frame.
    """
    labelled = np.isfinite(truth).all(axis=1)
    scores: dict[int, float] = {}
    for face in range(len(table.names)):
        rows = np.flatnonzero((table.face == face) & labelled[table.frame])
        if len(rows) >= max(2, _LEAST_SHARE * labelled.sum()):
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
    """Mean of the CCC of valence and arousal over the moments (T x 2) that have both; 0 where there are none."""
    both = np.isfinite(predicted).all(axis=1) & np.isfinite(truth).all(axis=1)
    if not both.any():
        return 0.0
    return float(np.mean([agreement(predicted[both, d], truth[both, d])["ccc"] for d in (0, 1)]))

"""Add labels to the results of a recording: choose the face that they describe and align them.

Only frames.csv changes, not the estimates: another clock offset, delay or match rule takes seconds, not another pass
over the video.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ast_net_ros.evaluation.labels.ground_truth import (
    DelayTrajectory,
    GroundTruth,
    LabelOptions,
    estimate_delay,
    fit_problems,
    label_moments,
    truth_at,
)
from ast_net_ros.evaluation.labels.matching import (
    FaceTable,
    MatchError,
    best_faces,
    largest_faces,
    named_faces,
    read_face_table,
)
from ast_net_ros.evaluation.recording_result import ESTIMATES, RecordingResult, read_recording, replace_recording
from ast_net_ros.rating_files import LabelRows

_PREFIX = "labels: "  # of problems about labels in recording.json; the next labelling replaces them


@dataclass(frozen=True)
class _Choice:
    """The chosen face and its labels."""

    rows: np.ndarray  # N rows of the face table, one for each frame; -1 for none
    truth: np.ndarray  # N x 2
    label_face: LabelRows | None
    faces: tuple[str, ...]  # face ids, if the rule selects by id
    problems: tuple[str, ...] = ()


def label_recording(
    folder: Path, truth: GroundTruth | None, options: LabelOptions, problem: str | None = None
) -> RecordingResult:
    """Write the chosen face and its labels to the results of a recording, unless they are there already.

    `problem` is why there are no labels although some were expected. Returns the results with labels.
    """
    result = read_recording(folder)
    key = _labels_key(truth, options, problem)
    if result.about.get("labels", {}).get("key") == key:
        return result
    table = read_face_table(folder / ESTIMATES)
    choice = _choose(result, table, truth, options)
    problems = [*([problem] if problem else []), *choice.problems]
    if truth is not None:
        problems += truth.remarks
        if choice.label_face is not None and len(result.stamps_ns):
            problems += fit_problems(result.stamps_ns, truth, choice.label_face, options, choice.truth)
    own = [text for text in result.about["problems"] if not text.startswith(_PREFIX)]
    about = result.about | {
        "problems": own + [_PREFIX + text for text in problems],
        "labels": {
            "source": truth.source if truth else None,
            "faces": list(choice.faces),
            "frames": int(np.isfinite(choice.truth).all(axis=1).sum()),
            "key": key,
            **asdict(options),
        },
    }
    affect = _affect(table, choice.rows)
    labelled = replace(
        result,
        face_ids=[table.names[table.face[row]] if row >= 0 else "" for row in choice.rows.tolist()],
        predicted=affect[:, :2],
        confidence=affect[:, 2],
        state_age=affect[:, 3],
        truth=choice.truth,
        about=about,
    )
    replace_recording(folder, labelled)
    return read_recording(folder)  # as rounded in the file, so that a resumed run has the same metrics


def _labels_key(truth: GroundTruth | None, options: LabelOptions, problem: str | None) -> str:
    """Return a hash of the labels and of the options that apply to them."""
    digest = hashlib.sha256(json.dumps([asdict(options), problem]).encode())
    for face in truth.faces if truth else ():
        digest.update(f"{face.face_id}|{face.remarks}|{truth and truth.epoch}|".encode())
        digest.update(np.ascontiguousarray(face.times, np.float64).tobytes())
        digest.update(np.ascontiguousarray(face.values, np.float64).tobytes())
    return digest.hexdigest()


def delay_of(labelled: Sequence[tuple[Path, GroundTruth]], options: LabelOptions, most: float) -> dict:
    """Estimate the annotation delay, at `most` seconds, from results folders with labels; see `estimate_delay`."""
    trajectories, names = [], []
    for folder, truth in labelled:
        result = read_recording(folder)
        table = read_face_table(folder / ESTIMATES)
        choice = _choose(result, table, truth, options)
        if choice.label_face is None or len(result.stamps_ns) == 0:
            continue
        names.append(result.name)
        first = int(result.stamps_ns[0])
        moments, undelayed = (result.stamps_ns - first) / 1e9, replace(options, annotation_delay=0.0)
        label_times = label_moments(first, truth, choice.label_face, undelayed)
        predicted = _affect(table, choice.rows)[:, :2]
        trajectories.append(DelayTrajectory(moments, predicted, label_times, choice.label_face.values))
    return {"recordings": names, **estimate_delay(trajectories, 0.0, most, options.max_gap)}


def _choose(result: RecordingResult, table: FaceTable, truth: GroundTruth | None, options: LabelOptions) -> _Choice:
    frames = len(result.stamps_ns)
    none = np.full((frames, 2), np.nan)
    wanted = tuple(options.match[3:].split(",")) if options.match.startswith("id:") else ()
    faces = truth.faces if truth else ()
    if len(faces) > 1 and options.match != "best":
        names = ", ".join(face.face_id or "(no name)" for face in faces[:12])
        problem = f"there are labels of {len(faces)} faces ({names}); choose with --match id:NAME or --match best"
        faces = tuple(face for face in faces if face.face_id in wanted)[:1]
        if not faces:
            return _Choice(largest_faces(table, frames), none, None, (), (problem,))
    aligned = [truth_at(result.stamps_ns, truth, face, options) for face in faces] if truth else []
    label_face, label_values = (faces[0], aligned[0]) if faces else (None, none)
    if wanted:
        try:
            return _Choice(named_faces(table, frames, wanted), label_values, label_face, wanted)
        except MatchError as error:
            problem = f"{error}; the largest face is used, without labels"
            return _Choice(largest_faces(table, frames), none, None, (), (problem,))
    if options.match == "best" and faces:
        found = [best_faces(table, values) for values in aligned]
        best = max(range(len(found)), key=lambda index: (bool(found[index][0]), found[index][1]))
        label_face, label_values, wanted = faces[best], aligned[best], found[best][0]
    rows = named_faces(table, frames, wanted) if wanted else largest_faces(table, frames)
    return _Choice(rows, label_values, label_face, wanted)


def _affect(table: FaceTable, rows: np.ndarray) -> np.ndarray:
    """Return N x 4 (valence, arousal, confidence, state age) of the chosen rows; NaN for none."""
    found = np.full((len(rows), 4), np.nan)
    found[rows >= 0] = table.affect[rows[rows >= 0]]
    return found

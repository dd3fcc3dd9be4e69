"""Thumbnails of the frames whose estimates were furthest from the labels, for the report.

They show people, so they are created only on request: see `thumbnails_wanted`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ast_net_ros.bags.recordings import open_recording
from ast_net_ros.evaluation.estimates import iterate_estimates
from ast_net_ros.evaluation.metrics.summary import counted, scored, seconds_of
from ast_net_ros.evaluation.recording_result import ESTIMATES, RecordingResult
from ast_net_ros.face_affect import Box
from ast_net_ros.vision.drawing import face_color

WIDTH = 320
"""Longer side of a thumbnail in pixels."""

MIN_SECONDS_BETWEEN = 5.0
"""Minimum time between two moments, so that one bad second does not fill them all."""


@dataclass(frozen=True)
class Moment:
    """A frame shown in the report.

    Estimate and label are (valence, arousal), `distance` is theirs in the plane, 0 to 2.83. None for what is unknown.
    """

    frame: int
    stamp_ns: int
    seconds: float
    predicted: tuple[float, float]
    truth: tuple[float, float] | None
    distance: float | None
    confidence: float | None


def thumbnails_wanted(result: RecordingResult, asked: bool | None) -> bool:
    """Return whether thumbnails of a recording are made; without an option, of offline recordings only."""
    return result.mode == "offline" if asked is None else asked


def worst_moments(result: RecordingResult, warm_up_seconds: float = 0.0, most: int = 6) -> list[Moment]:
    """Choose up to `most` frames at least MIN_SECONDS_BETWEEN apart, the worst first.

    The worst estimate is the one furthest from the label; without labels, the least confident one.
    """
    chosen = scored(result, warm_up_seconds)
    if chosen.any():
        badness = np.linalg.norm(result.predicted - result.truth, axis=1)
    else:
        chosen = counted(result, warm_up_seconds) & np.isfinite(result.confidence)
        badness = -result.confidence
    candidates = np.flatnonzero(chosen)
    # A stable sort puts the earliest of equally bad moments first.
    candidates = candidates[np.argsort(-badness[candidates], kind="stable")]
    seconds = seconds_of(result)
    moments: list[Moment] = []
    while len(candidates) and len(moments) < most:
        frame = int(candidates[0])
        moments.append(_moment(result, frame, float(seconds[frame])))
        candidates = candidates[np.abs(seconds[candidates] - seconds[frame]) >= MIN_SECONDS_BETWEEN]
    return moments


def _moment(result: RecordingResult, frame: int, seconds: float) -> Moment:
    predicted, truth = result.predicted[frame], result.truth[frame]
    has_truth, confidence = bool(np.isfinite(truth).all()), float(result.confidence[frame])
    return Moment(
        frame=frame,
        stamp_ns=int(result.stamps_ns[frame]),
        seconds=seconds,
        predicted=tuple(predicted.tolist()),
        truth=tuple(truth.tolist()) if has_truth else None,
        distance=float(np.linalg.norm(predicted - truth)) if has_truth else None,
        confidence=confidence if np.isfinite(confidence) else None,
    )


def read_thumbnails(result: RecordingResult, moments: Sequence[Moment], folder: Path | None) -> dict[int, bytes]:
    """Read the frames of some moments from the recording: JPEG files by frame number.

    `folder` has the recording's estimates.csv with the faces' boxes; None draws none. Frames not found are omitted.
    """
    boxes: dict[int, Box] = {}
    if folder is not None:
        frames = {moment.frame for moment in moments}
        rows = (row for row in iterate_estimates(folder / ESTIMATES) if row.frame in frames)
        boxes = {row.frame: row.face.box for row in rows if row.face.face_id == result.face_ids[row.frame]}
    wanted = {moment.stamp_ns: moment.frame for moment in moments}
    thumbnails: dict[int, bytes] = {}
    with open_recording(Path(result.path), result.topic or None) as recording:
        for frame in recording.frames(stop_ns=max(wanted, default=0) + 1, stamps=wanted):
            number = wanted[frame.stamp_ns]
            if number not in thumbnails:  # the first of frames with equal stamps
                thumbnails[number] = thumbnail(frame.image, boxes.get(number), result.face_ids[number])
    return thumbnails


def thumbnail(image: np.ndarray, box: Box | None = None, face_id: str = "") -> bytes:
    """Encode a BGR image as a small JPEG with the face's box; the image is not changed."""
    height, width = image.shape[:2]
    scale = min(1.0, WIDTH / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image.copy()
    if box is not None:
        left, top, right, bottom = (round(v * scale) for v in (box[0], box[1], box[0] + box[2], box[1] + box[3]))
        cv2.rectangle(small, (left, top), (right, bottom), face_color(face_id), 2, cv2.LINE_AA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()

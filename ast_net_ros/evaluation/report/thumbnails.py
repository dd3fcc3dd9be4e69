"""Pictures of the moments at which an estimate was furthest from the truth, to be looked at beside the figures.

In: a recording's results, and the recording itself, which is opened again for these few frames. Out: small JPEGs.

These are pictures of people. They are made only where they are asked for: see `pictures_wanted`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ast_net_ros.bags.recordings import open_recording
from ast_net_ros.evaluation.estimates import iterate_estimates
from ast_net_ros.evaluation.metrics.summary import counted, scored, seconds_of
from ast_net_ros.evaluation.recording_result import ESTIMATES, RecordingResult
from ast_net_ros.vision.drawing import Box, face_color

WIDTH = 320
"""Pixels of a thumbnail; a taller picture is limited to as many pixels in height."""

APART_SECONDS = 5.0
"""Least time between two moments, so that one bad second does not fill them all."""

_JPEG_QUALITY = 80


@dataclass(frozen=True)
class Moment:
    """A frame worth looking at. seconds: since the first stamp. predicted, truth: (valence, arousal), truth None where
    there is none. distance: of the two in the valence-arousal plane, 0 to 2.83."""

    frame: int
    stamp_ns: int
    seconds: float
    predicted: tuple[float, float]
    truth: tuple[float, float] | None
    distance: float | None
    confidence: float | None


def pictures_wanted(result: RecordingResult, asked: bool | None) -> bool:
    """Whether a recording's thumbnails are made: as asked; unasked never of live recordings."""
    return result.mode == "offline" if asked is None else asked


def worst_moments(result: RecordingResult, warm_up_seconds: float = 0.0, most: int = 6) -> list[Moment]:
    """Up to `most` moments at least APART_SECONDS apart, the worst first.

    Worst is the estimate furthest from the truth; without truth, the least confident one.
    """
    chosen = scored(result, warm_up_seconds)
    if chosen.any():
        badness = np.linalg.norm(result.predicted - result.truth, axis=1)
    else:
        chosen = counted(result, warm_up_seconds) & np.isfinite(result.confidence)
        badness = -result.confidence
    candidates = np.flatnonzero(chosen)
    # Stable, so that of equally bad moments the earliest comes first.
    candidates = candidates[np.argsort(-badness[candidates], kind="stable")]
    seconds = seconds_of(result)
    moments: list[Moment] = []
    while len(candidates) and len(moments) < most:
        frame = int(candidates[0])
        moments.append(_moment(result, frame, float(seconds[frame])))
        candidates = candidates[np.abs(seconds[candidates] - seconds[frame]) >= APART_SECONDS]
    return moments


def _moment(result: RecordingResult, frame: int, seconds: float) -> Moment:
    predicted, truth = result.predicted[frame], result.truth[frame]
    has_truth, confidence = bool(np.isfinite(truth).all()), float(result.confidence[frame])
    return Moment(
        frame=frame,
        stamp_ns=int(result.stamps_ns[frame]),
        seconds=seconds,
        predicted=(float(predicted[0]), float(predicted[1])),
        truth=(float(truth[0]), float(truth[1])) if has_truth else None,
        distance=float(np.linalg.norm(predicted - truth)) if has_truth else None,
        confidence=confidence if np.isfinite(confidence) else None,
    )


def read_pictures(result: RecordingResult, moments: Sequence[Moment], folder: Path | None) -> dict[int, bytes]:
    """JPEGs of the moments' frames by frame number, the face that the estimate speaks of in a box.

    folder: of the recording's results, whose estimates.csv knows the boxes; None draws none.
    A frame that cannot be found again is left out. Raises RecordingError, EstimatesError and OSError.
    """
    boxes = _boxes(result, moments, folder / ESTIMATES) if folder is not None else {}
    wanted = {moment.stamp_ns: moment.frame for moment in moments}
    pictures: dict[int, bytes] = {}
    with open_recording(Path(result.path), result.topic or None) as recording:
        for frame in recording.frames(stop_ns=max(wanted, default=0) + 1, stamps=wanted):
            number = wanted[frame.stamp_ns]
            if number not in pictures:  # of frames with one stamp the first
                pictures[number] = thumbnail(frame.image, boxes.get(number), result.face_ids[number])
    return pictures


def _boxes(result: RecordingResult, moments: Sequence[Moment], path: Path) -> Mapping[int, Box]:
    wanted = {moment.frame for moment in moments}
    rows = (row for row in iterate_estimates(path) if row.frame in wanted)
    return {row.frame: row.box for row in rows if row.face_id == result.face_ids[row.frame]}


def thumbnail(image: np.ndarray, box: Box | None = None, face_id: str = "") -> bytes:
    """A BGR picture as a small JPEG, the face's box drawn in; the picture stays as it is."""
    height, width = image.shape[:2]
    scale = min(1.0, WIDTH / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image.copy()
    if box is not None:
        left, top, right, bottom = (round(v * scale) for v in (box[0], box[1], box[0] + box[2], box[1] + box[3]))
        cv2.rectangle(small, (left, top), (right, bottom), face_color(face_id), 2, cv2.LINE_AA)
    written, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not written:
        raise OSError("OpenCV could not write a JPEG")
    return jpeg.tobytes()

"""The estimate of one face in one frame: what the pipeline returns and everything else consumes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""


@dataclass(frozen=True)
class HeadPose:
    """How a head is turned, relative to the line from the head to the camera.

    All zero when the face looks into the camera. Axes as in REP-103, fixed to the head: x forward, y left, z up;
    turned by yaw, then pitch, then roll about the turned axes.

    Attributes:
        roll: Radians; above 0 tilts to the head's own right.
        pitch: Radians; above 0 looks down.
        yaw: Radians; above 0 turns to the head's own left, which is right in the image.
        sigma: Standard deviation of roll, pitch and yaw, radians.
    """

    roll: float
    pitch: float
    yaw: float
    sigma: tuple[float, float, float]


@dataclass(frozen=True)
class FaceAffect:
    """One face in one frame.

    Attributes:
        face_id: Identifies the person within the life of a pipeline; never given to another person.
        box: Left, top, width and height in pixels, clipped to the frame.
        valence: From displeasure (-1) to pleasure (1).
        arousal: From sleepiness (-1) to excitement (1).
        confidence: The model's probability that valence and arousal both lie within 0.25 of the truth, in [0, 1];
            reduced in proportion where the quality is below its threshold.
        emotions: Eight probabilities in the order of `ast_net_ros.model.EMOTIONS`; they sum to 1.
        state_age: Seconds of observation in the face's recurrent state.
        valence_sigma: Standard deviation of valence as the model predicts it, above 0; 0 where it is not known.
        arousal_sigma: Likewise of arousal.
        detection_score: Score of the last detection of the face, in [0, 1]; 0 where it is not known.
        quality: How well the face can be read, in [0, 1]; do not act on estimates below
            `ast_net_ros.vision.quality.QUALITY_THRESHOLD`. 1 where it is not known.
        baseline: The person's resting valence, already subtracted from valence; 0 without `personal_baseline`.
        landmarks: x and y in pixels of left eye, right eye, nose tip, left and right mouth corner as they lie in the
            frame; empty where they are not known.
        head_pose: How the head is turned; None where it is not known.
        engagement: Share of the last seconds during which the face was turned to the camera, in [0, 1].
        person_id: Id of the person, shared by several tracks; empty where persons are not recognised.
    """

    face_id: str
    box: Box
    valence: float
    arousal: float
    confidence: float
    emotions: tuple[float, ...]
    state_age: float
    valence_sigma: float = 0.0
    arousal_sigma: float = 0.0
    detection_score: float = 0.0
    quality: float = 1.0
    baseline: float = 0.0
    landmarks: tuple[tuple[float, float], ...] = ()
    head_pose: HeadPose | None = None
    engagement: float = 0.0
    person_id: str = ""

    @property
    def is_finite(self) -> bool:
        """Whether all numbers of the estimate are finite; others must not be published."""
        pose = self.head_pose
        numbers = (
            *(*self.box, self.valence, self.arousal, self.confidence, self.state_age, *self.emotions),
            *(self.valence_sigma, self.arousal_sigma, self.detection_score, self.quality, self.baseline),
            *(*itertools.chain(*self.landmarks), self.engagement),
            *((pose.roll, pose.pitch, pose.yaw, *pose.sigma) if pose else ()),
        )
        return all(map(math.isfinite, numbers))


def shared_area(one: Box, other: Box) -> float:
    """Return the area in pixels that two boxes share."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def message_fields(face: FaceAffect) -> dict[str, Any]:
    """Return the fields of ast_net_ros/msg/ValenceArousal but `header`, `roi` and `source`, clamped to their ranges."""
    pose = face.head_pose or HeadPose(0.0, 0.0, 0.0, (0.0, 0.0, 0.0))
    return {
        "face_id": face.face_id,
        "valence": _clamped(face.valence, -1.0),
        "arousal": _clamped(face.arousal, -1.0),
        "confidence": _clamped(face.confidence, 0.0),
        "emotions": np.asarray(face.emotions, np.float32),
        "state_age": float(face.state_age),
        "valence_sigma": float(face.valence_sigma),
        "arousal_sigma": float(face.arousal_sigma),
        "quality": _clamped(face.quality, 0.0),
        "baseline": _clamped(face.baseline, -1.0),
        "detection_score": _clamped(face.detection_score, 0.0),
        "landmarks": np.asarray(face.landmarks or np.zeros(10), np.float32).ravel(),
        "head_roll": pose.roll,
        "head_pitch": pose.pitch,
        "head_yaw": pose.yaw,
        "head_pose_sigma": np.asarray(pose.sigma, np.float32),
        "engagement": _clamped(face.engagement, 0.0),
        "person_id": face.person_id,
    }


def _clamped(value: float, low: float) -> float:
    return min(max(float(value), low), 1.0)


def primary_face(faces: Iterable[FaceAffect]) -> FaceAffect | None:
    """Return the largest face, usually the nearest: the one a robot interacts with. None when there are no faces."""
    return max(faces, key=lambda face: face.box[2] * face.box[3], default=None)

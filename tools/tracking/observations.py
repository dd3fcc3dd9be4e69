"""Rendered scenes as the tracker gets them: what the detector finds in each frame, and who is there.

In: scenes. Out: observations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ast_net_ros.vision.alignment import align_face
from ast_net_ros.vision.appearance import Appearance, describe
from ast_net_ros.vision.detection import Detection, Detector
from ast_net_ros.vision.tracking import CONTINUING_SCORE
from tracking.scenes import RATE, Scene, TrueFace

AnyFrame = TypeVar("AnyFrame")
SURE_SCORE = 0.7  # the default of score_threshold


@dataclass(frozen=True)
class ObservedFrame:
    """One frame of a scene at its time in seconds."""

    time: float
    truth: list[TrueFace]
    detections: list[Detection]
    appearances: list[Appearance]


@dataclass(frozen=True)
class ObservedScene:
    """A scene at RATE frames a second."""

    name: str
    frames: list[ObservedFrame]


def observe(scene: Scene, detector: Detector) -> ObservedScene:
    """Render a scene and detect the faces of every frame."""
    frames = []
    for time, image, truth in scene.frames():
        found = detector.detect(image, SURE_SCORE * CONTINUING_SCORE)
        appearances = [describe(image, face.landmarks, align_face(image, face.landmarks)) for face in found]
        frames.append(ObservedFrame(time, truth, found, appearances))
    return ObservedScene(scene.name, frames)


def at_rate(frames: Sequence[AnyFrame], rate: int, drop: float, seed: int) -> list[AnyFrame]:
    """Frames of a scene at a lower rate.

    Args:
        frames: At RATE.
        rate: Frames a second, a divisor of RATE.
        drop: Probability that a frame is lost; half of the losses take the next frame along.
        seed: Of the losses.
    """
    rng = np.random.default_rng(seed)
    kept: list[AnyFrame] = []
    lost = 0
    for frame in frames[:: RATE // rate]:
        if lost:
            lost -= 1
        elif rng.random() < drop:
            lost = int(rng.integers(0, 2))
        else:
            kept.append(frame)
    return kept

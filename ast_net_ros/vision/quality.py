"""How far one observation of a face can be trusted, from the detection and the chip alone.

Size, sharpness, light, pose and covered eyes or mouth; needs no network. The estimate of a face below QUALITY_THRESHOLD
should not be acted on.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import cv2
import numpy as np

from ast_net_ros.vision.alignment import LANDMARK_TEMPLATE
from ast_net_ros.vision.detection import Detection

QUALITY_THRESHOLD = 0.5
"""Below this, do not trust the estimate. Every component is 0.5 halfway between its two limits."""

# (worst, best) of each measure: 0 at the first, 1 at the second and beyond. Chosen on every other portrait of the
# Face Research Lab London Set and its degraded copies; the model card has the shares on the other portraits.
# Those of the eyes: on all its portraits and on FER2013's reporting part.
_WIDTH_LIMITS = (16.0, 32.0)  # pixels of the box
_SHARPNESS_LIMITS = (0.085, 0.14)  # detail finer than a pixel's sigma, relative to the contrast
_BRIGHTNESS_LIMITS = (25.0, 65.0)  # mean grey value
_CONTRAST_LIMITS = (8.0, 24.0)  # standard deviation of grey values
_TURN_LIMITS = (0.28, 0.09)  # sideways offset of the nose, in distances between the eyes
_MOUTH_LIMITS = (0.10, 0.40)  # gradient around the mouth relative to that around the eyes
_EYE_LIMITS = (0.3, 0.8)  # gradient in the clearer eye relative to that around the mouth

# Regions of a chip in fractions of its side: top, bottom, left, right. See alignment.LANDMARK_TEMPLATE.
_EYES = (0.25, 0.54, 0.17, 0.83)
_EACH_EYE = tuple((y - 0.05, y + 0.05, x - 0.08, x + 0.08) for x, y in LANDMARK_TEMPLATE[:2])  # inside dark glasses
_MOUTH = (0.65, 0.90, 0.29, 0.71)


@dataclass(frozen=True)
class FaceQuality:
    """Components of the quality, each in [0, 1], 1 for no reason to doubt."""

    size: float  # pixels across the face
    sharpness: float  # fine detail, which blur and upscaling remove
    light: float  # brightness and contrast
    pose: float  # how far the head is turned to a side, from the landmarks
    occlusion: float  # texture at the eyes and around the mouth, which a mask, dark glasses or a hand hide

    @property
    def score(self) -> float:
        """Return the product of all components, in [0, 1]."""
        return float(np.prod(astuple(self)))


def face_quality(detection: Detection, chip: np.ndarray) -> FaceQuality:
    """Judge one observation of a face by its detection and its aligned chip (S x S uint8)."""
    grey = chip.astype(np.float32)
    contrast = float(grey.std())
    detail = float((grey - cv2.GaussianBlur(grey, (0, 0), len(grey) / 48)).std())
    gradient = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    eyes, mouth = (_region_mean(gradient, region) for region in (_EYES, _MOUTH))
    clearer_eye = max(_region_mean(gradient, region) for region in _EACH_EYE)
    return FaceQuality(
        size=_ramp(min(detection.box[2:]), _WIDTH_LIMITS),
        sharpness=_ramp(detail / (contrast + 1.0), _SHARPNESS_LIMITS),
        light=min(_ramp(float(grey.mean()), _BRIGHTNESS_LIMITS), _ramp(contrast, _CONTRAST_LIMITS)),
        pose=_ramp(sideways_turn(detection.landmarks), _TURN_LIMITS),
        occlusion=min(_ramp(mouth / (eyes + 1e-3), _MOUTH_LIMITS), _ramp(clearer_eye / (mouth + 1e-3), _EYE_LIMITS)),
    )


def sideways_turn(landmarks: np.ndarray) -> float:
    """Return how far a head with these landmarks (5 x 2) is turned to a side: 0 frontal, about 0.3 at 45 degrees.

    The nose stands out of the face, so it moves against eyes and mouth along the line between the eyes. A face whose
    eyes coincide is in profile: infinity.
    """
    left_eye, right_eye, nose, left_mouth, right_mouth = landmarks.astype(np.float64)
    between = right_eye - left_eye
    distance = float(np.hypot(*between))
    if distance < 1e-6:
        return float("inf")
    from_eyes, from_mouth = nose - (left_eye + right_eye) / 2, nose - (left_mouth + right_mouth) / 2
    axis = between / distance
    return max(abs(float(from_eyes @ axis)), abs(float(from_mouth @ axis))) / distance


def _region_mean(values: np.ndarray, region: tuple[float, float, float, float]) -> float:
    top, bottom, left, right = (round(edge * len(values)) for edge in region)
    return float(values[top:bottom, left:right].mean())


def _ramp(value: float, limits: tuple[float, float]) -> float:
    worst, best = limits
    return min(1.0, max(0.0, (value - worst) / (best - worst)))

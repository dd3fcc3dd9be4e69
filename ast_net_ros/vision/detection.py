"""What a face detection is, what a detector must do, and the one place where detectors are made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from ast_net_ros.face_affect import Box
from ast_net_ros.settings import IMAGE_ROTATIONS


@dataclass(frozen=True)
class Detection:
    """One face in one frame.

    Attributes:
        box: Left, top, width and height in pixels; may extend beyond the frame.
        landmarks: 5 x 2 float32 in pixels: left eye, right eye, nose tip, left and right mouth corner, where left and
            right are those of the frame with the face upright.
        score: The detector's confidence in [0, 1].
    """

    box: Box
    landmarks: np.ndarray
    score: float


class Detector(Protocol):
    """Finds the faces of a frame. One thread at a time may call it."""

    def detect(self, image_bgr: np.ndarray, score_threshold: float = ..., input_size: int = ...) -> list[Detection]:
        """Find the faces of a frame.

        Args:
            image_bgr: H x W x 3 uint8.
            score_threshold: Detections with a lower score are left out, in [0, 1].
            input_size: The frame is scaled down until its longer side has this many pixels. Cost grows with its
                square; faces narrower than about 16 pixels after scaling are missed.

        Returns:
            The faces, best score first, in pixels of `image_bgr`.
        """
        ...


_ROTATION_CODES = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def make_detector(threads: int = 0) -> Detector:
    """Make the detector that node, library, command line and training use.

    Args:
        threads: Threads of ONNX Runtime; 0 chooses for this machine.

    Raises:
        DetectorWeightsError: The weights are missing, or not those that this package was tested with.
    """
    from ast_net_ros.vision.retinaface import RetinaFaceDetector

    return RetinaFaceDetector(threads)


def largest_detection(detections: Iterable[Detection]) -> Detection | None:
    """Return the detection with the largest box; None when there are none."""
    return max(detections, key=lambda detection: detection.box[2] * detection.box[3], default=None)


def detect_rotated(
    detector: Detector, image_bgr: np.ndarray, rotation: int, score_threshold: float, input_size: int
) -> list[Detection]:
    """Find the faces of an image that must be turned clockwise to stand upright, in pixels of the image as it is.

    `rotation` is one of IMAGE_ROTATIONS, in degrees (ValueError: another); for the rest see `Detector.detect`.
    """
    found = detector.detect(upright(image_bgr, rotation), score_threshold, input_size)
    if rotation == 0:
        return found
    height, width = image_bgr.shape[:2]
    return [_rotate_back(detection, rotation, width, height) for detection in found]


def upright(image_bgr: np.ndarray, rotation: int) -> np.ndarray:
    """Turn an image (H x W x 3) clockwise by one of IMAGE_ROTATIONS, in degrees. ValueError: another rotation."""
    if rotation == 0:
        return image_bgr
    if rotation not in _ROTATION_CODES:
        raise ValueError(f"image_rotation is {rotation}; use one of {IMAGE_ROTATIONS}, degrees clockwise")
    return cv2.rotate(image_bgr, _ROTATION_CODES[rotation])


def _rotate_back(detection: Detection, rotation: int, width: int, height: int) -> Detection:
    """Move a face of the upright image to the one that was rotated, which has `width` and `height` pixels."""
    left, top, wide, high = detection.box
    # Landmarks count from the centres of the pixels, boxes from their edges.
    x, y = detection.landmarks.T
    if rotation == 90:
        box, landmarks = (top, height - left - wide, high, wide), (y, height - 1 - x)
    elif rotation == 180:
        box, landmarks = (width - left - wide, height - top - high, wide, high), (width - 1 - x, height - 1 - y)
    else:
        box, landmarks = (width - top - high, left, high, wide), (width - 1 - y, x)
    return replace(detection, box=box, landmarks=np.stack(landmarks, axis=1).astype(np.float32))

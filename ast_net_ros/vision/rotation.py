"""Face detection in the images of a camera that is mounted on its side or upside down."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ast_net_ros.settings import IMAGE_ROTATIONS
from ast_net_ros.vision.detection import Detection, Detector

_CODES = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def detect_rotated(
    detector: Detector, image_bgr: np.ndarray, rotation: int, score_threshold: float, input_size: int
) -> list[Detection]:
    """Find the faces of an image that must be rotated to stand upright.

    Args:
        detector: Finds upright faces.
        image_bgr: H x W x 3 uint8.
        rotation: Degrees by which the image must be turned clockwise; one of IMAGE_ROTATIONS.
        score_threshold: See `Detector.detect`.
        input_size: See `Detector.detect`.

    Returns:
        The faces in pixels of `image_bgr`, as it is.

    Raises:
        ValueError: Another rotation.
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
    if rotation not in _CODES:
        raise ValueError(f"image_rotation is {rotation}; use one of {IMAGE_ROTATIONS}, degrees clockwise")
    return cv2.rotate(image_bgr, _CODES[rotation])


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

"""The face in an image that is already cropped to one: the images of most data sets of expressions.

A detector wants faces of moderate size with some background, which such images lack.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ast_net_ros.vision.alignment import CHIP_SIDE, align_face
from ast_net_ros.vision.detection import Detection, Detector, largest_detection

_SIDE, _MARGIN = 144, 24  # pixels of the scaled image's longer side, and of the border around it


def find_face_in_crop(detector: Detector, image: np.ndarray) -> Detection | None:
    """Find the face that fills a cropped image (H x W x 3 BGR or H x W grey, uint8), in its pixels.

    The image is scaled until its longer side has 144 pixels, surrounded by 24 pixels that repeat its edge, and
    given to the detector with a score threshold of 0.5. The largest detection is the face, provided that its box is
    0.5 to 1.4 times as wide as the image; others are false detections on clothing or background.
    """
    height, width = image.shape[:2]
    scale = _SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    framed = cv2.copyMakeBorder(scaled, _MARGIN, _MARGIN, _MARGIN, _MARGIN, cv2.BORDER_REPLICATE)
    if framed.ndim == 2:
        framed = cv2.cvtColor(framed, cv2.COLOR_GRAY2BGR)
    # A lower threshold than in frames: a face is known to be there.
    face = largest_detection(detector.detect(framed, 0.5, _SIDE + 2 * _MARGIN))
    if face is None or not 0.5 < face.box[2] / size[0] < 1.4:
        return None
    ratio = np.array([width / size[0], height / size[1]], np.float32)
    # Landmarks are pixel centres, half a pixel from the edges that scaling keeps in place.
    landmarks = (face.landmarks - _MARGIN + 0.5) * ratio - 0.5
    x, y, w, h = ((np.array(face.box) - [_MARGIN, _MARGIN, 0, 0]) * np.tile(ratio, 2)).tolist()
    return replace(face, box=(x, y, w, h), landmarks=landmarks)


def crop_chip(detector: Detector, image: np.ndarray, side: int = CHIP_SIDE) -> tuple[np.ndarray, bool]:
    """Cut the chip of a cropped image (H x W x 3 BGR or H x W grey, uint8).

    Returns:
        The aligned chip (side x side uint8, grey) and True; where no face is found, the whole image at that size and
        False.
    """
    face = find_face_in_crop(detector, image)
    if face is not None:
        return align_face(image, face.landmarks, side), True
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image
    return cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA), False

"""The canonical face chip: the one function that cuts a face out of a picture.

In: an image and five landmarks. Out: a CHIP_SIDE x CHIP_SIDE grey uint8 chip in which eyes, nose and
mouth always lie in the same places. Training, evaluation and the node all call :func:`align_face`;
accuracy rests on that.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

CHIP_SIDE = 48
"""Pixels of a chip's side: the resolution of FER2013, which the default weights have seen."""

# Where the landmarks lie in a chip, in fractions of its side: left eye, right eye, nose tip, left and right
# mouth corner. The median positions that the detector reports on FER2013 faces, made symmetric.
LANDMARK_TEMPLATE = np.array(
    [[0.314, 0.386], [0.686, 0.386], [0.500, 0.602], [0.351, 0.762], [0.649, 0.762]], np.float32
)

_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)  # of a chip, in fractions of its side


def similarity_transform(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The 2 x 3 rotation, uniform scale and shift that carries `source` points nearest to `target` points.

    Both are N x 2. Least squares without reflection, closed form (Umeyama 1991, in two dimensions).
    Raises ValueError when the source points coincide or are not finite.
    """
    before, after = _complex(source), _complex(target)
    mean_before, mean_after = before.mean(), after.mean()
    offsets = before - mean_before
    spread = float(np.vdot(offsets, offsets).real)
    if not math.isfinite(spread) or spread < 1e-6:
        raise ValueError(
            f"landmarks {np.asarray(source).tolist()}: they coincide or are not finite, no face can be cut there"
        )
    # Points as complex numbers: a factor turns and scales them.
    factor = complex(np.vdot(offsets, after - mean_after)) / spread
    shift = mean_after - factor * mean_before
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def _complex(points: np.ndarray) -> np.ndarray:
    """N x 2 points as N complex numbers."""
    return np.ascontiguousarray(points, np.float64).view(np.complex128)[:, 0]


def align_face(image: np.ndarray, landmarks: np.ndarray, side: int = CHIP_SIDE) -> np.ndarray:
    """The chip of the face at `landmarks`: side x side uint8, grey.

    image: H x W x 3 BGR or H x W grey, uint8.
    landmarks: 5 x 2 in pixels, in the order of LANDMARK_TEMPLATE.
    Pixels outside the image repeat its border. A face much larger than the chip is averaged down,
    not sampled, so that a near face and a far one look alike.
    """
    # Pixel centres lie at whole numbers, the picture's edge half a pixel before the first.
    to_chip = similarity_transform(landmarks, LANDMARK_TEMPLATE * side - 0.5)
    scale = math.hypot(to_chip[0, 0], to_chip[1, 0])
    if scale < 0.6:
        image, to_chip = _reduce_region(image, to_chip, scale, side)
    chip = cv2.warpAffine(image, to_chip, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _grey(chip)


def _reduce_region(image: np.ndarray, to_chip: np.ndarray, scale: float, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of `image` under the chip, grey and averaged down to about the chip's resolution, and its transform."""
    corners = _CORNERS * side
    from_chip = cv2.invertAffineTransform(to_chip)
    in_image = corners @ from_chip[:, :2].T + from_chip[:, 2]
    height, width = image.shape[:2]
    # The region may lie partly outside; at least one pixel is kept so that the border can be repeated.
    low, high = in_image.min(axis=0).tolist(), in_image.max(axis=0).tolist()
    left, top = (min(max(math.floor(v), 0), limit - 1) for v, limit in zip(low, (width, height)))
    right, bottom = (min(max(math.ceil(v) + 1, 1), limit) for v, limit in zip(high, (width, height)))
    # Grey before it is reduced: a third of the work, and the same to rounding.
    region = _grey(image[top : max(bottom, top + 1), left : max(right, left + 1)])
    size = (max(1, round(region.shape[1] * scale)), max(1, round(region.shape[0] * scale)))
    reduced = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
    # reduced pixel -> image pixel, then image -> chip
    ratio = np.array([region.shape[1] / size[0], region.shape[0] / size[1]])
    offset = np.array([left, top]) + (ratio - 1) / 2
    linear = to_chip[:, :2] * ratio
    return reduced, np.column_stack([linear, to_chip[:, :2] @ offset + to_chip[:, 2]])


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image

"""The aligned face chip, in which eyes, nose and mouth always have the same place.

Training, evaluation and the node all call `align_face`; accuracy depends on their chips being the same.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

CHIP_SIDE = 48
"""Pixels of a chip's side: the resolution of FER2013, on which the default weights were trained."""

# Where the landmarks are in a chip, in fractions of its side: left eye, right eye, nose tip, left and right
# mouth corner. The median positions that the detector reports on FER2013 faces, made symmetric.
LANDMARK_TEMPLATE = np.array(
    [[0.314, 0.386], [0.686, 0.386], [0.500, 0.602], [0.351, 0.762], [0.649, 0.762]], np.float32
)

_LEAST_AVERAGED = 4.0  # the factor that is always averaged over at once: halving alone makes chips softer

_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)  # of a chip, in fractions of its side


def similarity_transform(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Fit a rotation, uniform scale and shift that map `source` points to `target` points.

    Least squares without reflection in closed form (Umeyama 1991, in two dimensions).

    Args:
        source: N x 2 points.
        target: N x 2 points.

    Returns:
        2 x 3 matrix.

    Raises:
        ValueError: The source points coincide or are not finite.
    """
    before, after = _complex(source), _complex(target)
    mean_before, mean_after = before.mean(), after.mean()
    offsets = before - mean_before
    spread = float(np.vdot(offsets, offsets).real)
    if not math.isfinite(spread) or spread < 1e-6:
        raise ValueError(
            f"landmarks {np.asarray(source).tolist()} coincide or are not finite; no face can be aligned to them"
        )
    # Points as complex numbers: multiplication rotates and scales them.
    factor = complex(np.vdot(offsets, after - mean_after)) / spread
    shift = mean_after - factor * mean_before
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def _complex(points: np.ndarray) -> np.ndarray:
    """View N x 2 points as N complex numbers."""
    return np.ascontiguousarray(points, np.float64).view(np.complex128)[:, 0]


def align_face(image: np.ndarray, landmarks: np.ndarray, side: int = CHIP_SIDE) -> np.ndarray:
    """Cut the chip of a face.

    Pixels outside the image repeat its border. A face much larger than the chip is averaged down, not sampled, so that
    a near face and a far one give the same chip.

    Args:
        image: H x W x 3 BGR or H x W grey, uint8.
        landmarks: 5 x 2 in pixels, in the order of LANDMARK_TEMPLATE.
        side: Pixels of the chip's side.

    Returns:
        side x side uint8, grey.

    Raises:
        ValueError: The landmarks coincide or are not finite.
    """
    # Pixel centres are at whole numbers, the image's edge half a pixel before the first.
    to_chip = similarity_transform(landmarks, LANDMARK_TEMPLATE * side - 0.5)
    scale = math.hypot(to_chip[0, 0], to_chip[1, 0])
    if scale < 0.6:
        image, to_chip = _reduce_region(image, to_chip, scale, side)
    chip = cv2.warpAffine(image, to_chip, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _grey(chip)


def _reduce_region(image: np.ndarray, to_chip: np.ndarray, scale: float, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Average the part of `image` under the chip down to about the chip's resolution, in grey; adapt the transform."""
    corners = _CORNERS * side
    from_chip = cv2.invertAffineTransform(to_chip)
    in_image = corners @ from_chip[:, :2].T + from_chip[:, 2]
    low, high = in_image.min(axis=0).tolist(), in_image.max(axis=0).tolist()
    reductions = max(0, int(math.log2(1 / (_LEAST_AVERAGED * scale))))
    left, right = _span(low[0], high[0], image.shape[1], 1 << reductions)
    top, bottom = _span(low[1], high[1], image.shape[0], 1 << reductions)
    # Grey before it is reduced: a third of the work, and the same up to rounding.
    region = halved(_grey(image[top:bottom, left:right]), reductions)
    rest = scale * (1 << reductions)
    size = (max(1, round(region.shape[1] * rest)), max(1, round(region.shape[0] * rest)))
    reduced = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
    # reduced pixel -> image pixel, then image -> chip
    ratio = np.array([(right - left) / size[0], (bottom - top) / size[1]])
    offset = np.array([left, top]) + (ratio - 1) / 2
    linear = to_chip[:, :2] * ratio
    return reduced, np.column_stack([linear, to_chip[:, :2] @ offset + to_chip[:, 2]])


def _span(low: float, high: float, limit: int, step: int) -> tuple[int, int]:
    """Whole pixels from `low` to `high` within [0, limit), a multiple of `step` of them where there are enough.

    The span may be partly outside; at least one pixel is kept, so that the border can be repeated.
    """
    first = min(max(math.floor(low), 0), limit - 1)
    last = max(min(math.ceil(high) + 1, limit), first + 1)
    last = first + -(-(last - first) // step) * step
    return (first, last) if last <= limit else (first, max(last - step, first + 1))


def halved(image: np.ndarray, times: int) -> np.ndarray:
    """Average blocks of 2 x 2 pixels, `times` times. An odd last row or column is averaged in.

    Several times faster than one reduction by the same factor, for which OpenCV has no vector code.
    """
    for _ in range(times):
        size = max(1, image.shape[1] // 2), max(1, image.shape[0] // 2)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return image


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image

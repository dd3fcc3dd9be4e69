"""The appearance of a face, for telling one person from another within seconds.

It is short-lived: expression, pose and light change it, and nobody is recognized by it after minutes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ast_net_ros.vision.alignment import LANDMARK_TEMPLATE, similarity_transform

_SIDE = 12  # pixels of an aligned face in the patch that colours are taken from
_ABOVE = 4  # rows of the patch above the chip
_PATCH_LANDMARKS = LANDMARK_TEMPLATE * _SIDE + np.array([-0.5, _ABOVE - 0.5], np.float32)
_HAIR = (slice(0, 3), slice(3, 9))  # rows and columns of the patch


@dataclass(frozen=True)
class Appearance:
    """The appearance of one observation of a face.

    Attributes:
        shape: Unit vector of edge orientations in the chip. The dot product of two is in [-1, 1].
        hair: Mean colour above the forehead, be it hair, a hat or a scarf: CIELAB, lightness in [0, 100]. The skin's
            colour is left out, as it changes more with the light's direction than from person to person.
    """

    shape: np.ndarray
    hair: np.ndarray


def describe(image: np.ndarray, landmarks: np.ndarray, chip: np.ndarray) -> Appearance:
    """Describe a face in an image (H x W x 3 uint8, BGR) by its landmarks (5 x 2, pixels) and chip (S x S uint8)."""
    return Appearance(edge_orientations(chip), hair_colour(image, landmarks))


def hair_colour(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return the mean CIELAB colour of what lies above the forehead; the arguments are those of `describe`."""
    to_patch = similarity_transform(landmarks, _PATCH_LANDMARKS)
    size = (_SIDE, _SIDE + _ABOVE)
    patch = cv2.warpAffine(image, to_patch, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lab = cv2.cvtColor(patch[_HAIR].astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    return lab.reshape(-1, 3).mean(axis=0)


def edge_orientations(chip: np.ndarray) -> np.ndarray:
    """Return the edge orientations in a 6 x 6 grid of the chip (S x S uint8) as a unit vector of 288 values.

    A histogram of oriented gradients (Dalal and Triggs 2005) with the mean over the grid subtracted from each
    orientation. The dot product of two is their similarity in [-1, 1].
    """
    grey = chip.astype(np.float32)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0).ravel(), cv2.Sobel(grey, cv2.CV_32F, 0, 1).ravel()
    strength = np.sqrt(dx * dx + dy * dy)
    angle = np.arctan2(dy, dx) * np.float32(8 / np.pi)  # orientations, eight in half a turn; a full turn is the same
    # Each pixel votes for the two orientations beside its own.
    lower = np.floor(angle)
    for_upper = (angle - lower) * strength
    orientation = lower.astype(np.int32)
    votes = np.zeros(8 * strength.size, np.float32)
    first = _first_votes(strength.size)
    votes[first + (orientation & 7)] = strength - for_upper
    votes[first + (orientation + 1 & 7)] = for_upper
    # As cv2.resize does by area, which takes no eight channels at every size.
    height, width = chip.shape
    rows = (_averages(height) @ votes.reshape(height, -1)).reshape(6, width, 8)
    cells = _averages(width) @ rows
    cells = np.sqrt(cells / (np.linalg.norm(cells, axis=2, keepdims=True) + 20))
    cells = (cells - cells.mean(axis=(0, 1))).ravel()
    return cells / max(math.sqrt(cells @ cells), 1e-6)


@lru_cache(maxsize=4)
def _first_votes(pixels: int) -> np.ndarray:
    """Where each pixel's eight votes begin."""
    return np.arange(0, 8 * pixels, 8, dtype=np.int32)


@lru_cache(maxsize=4)
def _averages(side: int) -> np.ndarray:
    """6 x side: each row averages its sixth of the pixels."""
    return cv2.resize(np.eye(side, dtype=np.float32), (side, 6), interpolation=cv2.INTER_AREA)

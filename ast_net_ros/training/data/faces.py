"""Labelled faces for the attribute CNN: the votes of their raters, and archives of them.

In: an archive as FER2013 with FER+ votes is commonly repacked (`images` N x 48 x 48 uint8, `votes` N x 10).
Out: :class:`Faces`, whose chips come from the detector and the alignment function of the running node.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ast_net_ros.model.config import EMOTIONS
from ast_net_ros.rating_files import DataError, read_faces
from ast_net_ros.training.data.array_cache import cached_arrays
from ast_net_ros.vision.alignment import CHIP_SIDE
from ast_net_ros.vision.detection import make_detector
from ast_net_ros.vision.face_crops import crop_chip


@dataclass(frozen=True)
class Faces:
    """N faces with the raters' votes."""

    images: np.ndarray  # N x 48 x 48 uint8, as in the archive
    votes: np.ndarray  # N x 10 uint8, for each of EMOTIONS, "unknown" and "not a face"
    duplicate: np.ndarray  # N bool, whether the image is identical to one of the training part
    chips: np.ndarray  # N x CHIP_SIDE x CHIP_SIDE uint8; where no face was found, the image itself
    found: np.ndarray  # N bool, whether the detector found the face

    def __len__(self) -> int:
        """The number of faces."""
        return len(self.images)


def load_faces(path: Path, cache: Path | None = None) -> Faces:
    """Read an .npz archive and cut its chips, or take these from the file `cache` if it holds those of this archive."""
    arrays = read_faces(path, ("images", "votes"), ("duplicate_of_train",))
    images, votes = arrays["images"], arrays["votes"]
    duplicate = arrays.get("duplicate_of_train", np.zeros(len(images), bool))
    if votes.shape != (len(images), 10):
        raise DataError(f"{path}: 'votes' is {votes.shape}; expected {(len(images), 10)}")
    chips, found = cached_chips(images, cache)
    return Faces(images, votes, duplicate, chips, found)


def cached_chips(images: np.ndarray, cache: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return what `cut_chips` cuts, from the file `cache` if it holds the chips of these images."""
    arrays = cached_arrays(cache, f"{zlib.crc32(images.tobytes()):08x}", lambda: cut_chips(images))
    return arrays["chips"], arrays["found"]


def cut_chips(images: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Cut the `chips` of images that a face fills (H x W grey or H x W x 3 BGR, uint8), and whether it was `found`."""
    detector = make_detector()
    cut = [crop_chip(detector, image) for image in tqdm(images, desc="aligning faces", unit="face")]
    chips = np.array([chip for chip, _ in cut], np.uint8).reshape(-1, CHIP_SIDE, CHIP_SIDE)
    return {"chips": chips, "found": np.array([found for _, found in cut], bool)}


def vote_distribution(votes: np.ndarray) -> np.ndarray:
    """Turn N x 10 votes into N x 8 targets (all zero where none is left) without single votes (Barsoum et al. 2016)."""
    kept = np.where(votes > 1, votes, 0)[:, : len(EMOTIONS)].astype(np.float32)
    return kept / np.maximum(kept.sum(axis=1, keepdims=True), 1e-9)


def majority_emotion(votes: np.ndarray) -> np.ndarray:
    """Label faces by the FER+ majority protocol (Barsoum et al. 2016) from N x 10 votes.

    Single votes are dropped; the class with the most votes must be one of the eight emotions, be the only one with that
    many, and hold more than half of the remaining votes.

    Returns:
        N labels in 0..7, or -1 where the protocol leaves a face out.
    """
    kept = np.where(votes > 1, votes, 0).astype(int)
    best, top = kept.argmax(axis=1), kept.max(axis=1)
    unique = (kept == top[:, None]).sum(axis=1) == 1
    usable = (best < len(EMOTIONS)) & unique & (2 * top > kept.sum(axis=1))
    return np.where(usable, best, -1)

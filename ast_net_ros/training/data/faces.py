"""Labelled faces for the attribute CNN: reading FER+ archives and cutting the canonical chips.

In: an archive as FER2013 with FER+ votes is commonly repacked (`images` N x 48 x 48 uint8, `votes` N x 10).
Out: :class:`Faces`, whose chips come from the detector and the alignment function of the running node.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
from tqdm import tqdm

from ast_net_ros.rating_files import DataError
from ast_net_ros.vision.alignment import CHIP_SIDE, align_face
from ast_net_ros.vision.detection import Detection, FaceDetector

EMOTION_COUNT = 8  # of the ten FER+ vote columns; the last two are "unknown" and "not a face"
SEEN_SIDE, SEEN_MARGIN = 144, 24
"""Pixels that a picture which a face fills is brought to for the detector, and of border put around it, as the detector
wants faces of some size with something around them."""


@dataclass(frozen=True)
class Faces:
    """Faces with the raters' votes.

    images: N x 48 x 48 uint8, as in the archive. votes: N x 10 uint8.
    duplicate: N bool, pixel-identical to a picture of the training part.
    chips: N x CHIP_SIDE x CHIP_SIDE uint8. found: N bool, whether the detector found the face;
    where it did not, the chip is the picture itself.
    """

    images: np.ndarray
    votes: np.ndarray
    duplicate: np.ndarray
    chips: np.ndarray
    found: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def load_faces(path: str | Path, cache: str | Path | None = None) -> Faces:
    """Read an archive and cut its chips, or take them from `cache` when it holds those of this archive.

    Raises DataError for a file that is no such archive.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = {"images", "votes"} - set(archive.files)
            if missing:
                raise DataError(f"{path}: no array {sorted(missing)}; it has {archive.files}")
            images, votes = archive["images"], archive["votes"]
            duplicate = archive["duplicate_of_train"] if "duplicate_of_train" in archive.files else None
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path}: not a readable .npz archive ({error})") from error
    if images.ndim != 3 or images.dtype != np.uint8:
        raise DataError(f"{path}: 'images' is {images.dtype} {images.shape}; wanted uint8 N x height x width")
    if votes.shape != (len(images), 10):
        raise DataError(f"{path}: 'votes' is {votes.shape}; wanted {(len(images), 10)}")
    chips, found = cached_chips(images, Path(cache) if cache else None)
    return Faces(images, votes, np.zeros(len(images), bool) if duplicate is None else duplicate, chips, found)


def cached_chips(images: np.ndarray, cache: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """`cut_chips`, or what `cache` holds of these pictures; one of others, or one that is not whole, is made anew."""
    key = f"{zlib.crc32(images.tobytes()):08x}"
    if cache and cache.is_file():
        try:
            with np.load(cache, allow_pickle=False) as stored:
                same = len(stored["chips"]) == len(images) and stored["chips"].shape[1] == CHIP_SIDE
                if same and ("key" not in stored.files or str(stored["key"]) == key):
                    return stored["chips"], stored["found"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            pass  # cut short by an interruption
    chips, found = cut_chips(images)
    if cache:
        cache.parent.mkdir(parents=True, exist_ok=True)
        aside = cache.with_suffix(".partial.npz")
        np.savez(aside, chips=chips, found=found, key=key)
        aside.replace(cache)
    return chips, found


def cut_chips(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chips (N x CHIP_SIDE x CHIP_SIDE) of N small grey face pictures, and which faces the detector found."""
    detector = FaceDetector(detector_input_size=SEEN_SIDE + 2 * SEEN_MARGIN, score_threshold=0.5)
    chips = np.empty((len(images), CHIP_SIDE, CHIP_SIDE), np.uint8)
    found = np.zeros(len(images), bool)
    for i, image in enumerate(tqdm(images, desc="aligning faces", unit="face", disable=len(images) < 200)):
        landmarks = _find_landmarks(detector, image)
        found[i] = landmarks is not None
        chips[i] = cv2.resize(image, (CHIP_SIDE, CHIP_SIDE)) if landmarks is None else align_face(image, landmarks)
    return chips, found


def largest_face(detections: Sequence[Detection]) -> Detection | None:
    """The face that a picture or frame is taken to be of; None where there is none."""
    return max(detections, key=lambda detection: detection.box[2] * detection.box[3], default=None)


def bordered(picture: np.ndarray) -> np.ndarray:
    """`picture` with SEEN_MARGIN pixels around it that repeat its edge."""
    margin = SEEN_MARGIN
    return cv2.copyMakeBorder(picture, margin, margin, margin, margin, cv2.BORDER_REPLICATE)


def read_picture(path: Path) -> np.ndarray | None:
    """H x W x 3 uint8 BGR; None for a file that is missing or cannot be decoded."""
    data = np.fromfile(path, np.uint8) if path.is_file() else np.empty(0, np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None


def _find_landmarks(detector: FaceDetector, image: np.ndarray) -> np.ndarray | None:
    """Landmarks (5 x 2, pixels of `image`) of the face that fills `image`, or None."""
    enlarged = cv2.resize(image, (SEEN_SIDE, SEEN_SIDE), interpolation=cv2.INTER_CUBIC)
    enlarged = bordered(enlarged)
    largest = largest_face(detector.detect(cv2.cvtColor(enlarged, cv2.COLOR_GRAY2BGR)))
    if largest is None:
        return None
    ratio = image.shape[1] / SEEN_SIDE
    landmarks = (largest.landmarks - SEEN_MARGIN + 0.5) * ratio - 0.5
    # A cut that is far from the picture's own framing is a false find on clothing or background.
    if not 0.5 < largest.box[2] / SEEN_SIDE < 1.4:
        return None
    return landmarks


def vote_distribution(votes: np.ndarray) -> np.ndarray:
    """N x 8 probabilities from N x 10 votes: single votes are dropped as noise, the rest divided by their sum.

    A picture that is left with no vote for an emotion has an all-zero row: it carries no target.
    """
    kept = np.where(votes > 1, votes, 0)[:, :EMOTION_COUNT].astype(np.float32)
    return kept / np.maximum(kept.sum(axis=1, keepdims=True), 1e-9)


def majority_emotion(votes: np.ndarray) -> np.ndarray:
    """N labels in 0..7 by the FER+ majority protocol, -1 where the protocol leaves a picture out.

    Votes of 1 are dropped; the most voted class must be one of the eight emotions, be the only one
    with that many votes, and hold more than half of the remaining votes (Barsoum et al. 2016).
    """
    kept = np.where(votes > 1, votes, 0).astype(int)
    best = kept.argmax(axis=1)
    top = kept.max(axis=1)
    unique = (kept == top[:, None]).sum(axis=1) == 1
    usable = (best < EMOTION_COUNT) & unique & (2 * top > kept.sum(axis=1))
    return np.where(usable, best, -1)

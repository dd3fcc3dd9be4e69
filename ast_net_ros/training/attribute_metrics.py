"""How good the attribute CNN is: accuracy, calibration and invariance.

In: a loaded model and faces. Out: dictionaries of metrics, ready for JSON.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from tqdm import tqdm

from ast_net_ros.model.config import EMOTIONS
from ast_net_ros.model.inference import AffectModel
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.data.affect_map import FITTED_MAP
from ast_net_ros.training.data.faces import Faces, majority_emotion


def _predict(model: AffectModel, chips: np.ndarray, batch: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Attributes (N x F) and emotion probabilities (N x 8) of N x S x S uint8 chips."""
    starts = range(0, len(chips), batch)
    parts = (model.encode(chips[start : start + batch]) for start in tqdm(starts, "encoding", unit="batch"))
    attributes, emotions = zip(*parts)
    return np.concatenate(attributes), np.concatenate(emotions)


def face_metrics(model: AffectModel, faces: Faces, mirrored: bool = False) -> dict:
    """Measure the discrete emotions on labelled faces, with and without duplicates of training images.

    mirrored: average the probabilities of each face and its mirror image, which the node does not do.
    """
    _, emotions = _predict(model, faces.chips)
    if mirrored:
        emotions = (emotions + _predict(model, np.ascontiguousarray(faces.chips[:, :, ::-1]))[1]) / 2
    truth = majority_emotion(faces.votes)
    counted = truth >= 0
    unique = counted & ~faces.duplicate
    return {
        "images": len(faces),
        "faces_found": int(faces.found.sum()),
        "mirrored": mirrored,
        "weights_sha256": model.weights_hash,
        "with_duplicates": classification_metrics(truth[counted], emotions[counted]),
        "without_duplicates": classification_metrics(truth[unique], emotions[unique]),
    }


def classification_metrics(truth: np.ndarray, emotions: np.ndarray) -> dict:
    """Measure a classification: N labels in 0..7 against N x 8 probabilities.

    Returns:
        accuracy; accuracy_7 (faces of contempt left out, contempt not allowed as an answer); f1 of each emotion that
        occurs and macro_f1, their mean; calibration_error; confusion (rows truth, columns prediction, counts in the
        order of `emotions`). None where there is no face.
    """
    if len(truth) == 0:
        return {"count": 0, "accuracy": None, "accuracy_7": None, "macro_f1": None, "calibration_error": None}
    predicted = emotions.argmax(axis=1)
    seven = truth != EMOTIONS.index("contempt")  # the last one
    right_of_seven = emotions[seven, :7].argmax(axis=1) == truth[seven]
    confusion = np.bincount(8 * truth + predicted, minlength=64).reshape(8, 8)
    occurs = confusion.sum(axis=1)
    scores = 2 * np.diag(confusion) / np.maximum(occurs + confusion.sum(axis=0), 1)  # 2 TP / (2 TP + FP + FN)
    f1 = {name: round(float(score), 4) for name, score, some in zip(EMOTIONS, scores, occurs) if some}
    return {
        "count": len(truth),
        "accuracy": round(float((predicted == truth).mean()), 5),
        "accuracy_7": round(float(right_of_seven.mean()), 4) if seven.any() else None,
        "macro_f1": round(float(np.mean(list(f1.values()))), 5),
        "f1": f1,
        "calibration_error": round(calibration_error(emotions.max(axis=1), predicted == truth), 5),
        "emotions": list(EMOTIONS),
        "confusion": confusion.tolist(),
    }


def calibration_error(certainty: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error in 15 bins (Guo et al. 2017) of N probabilities, right or not."""
    bins = np.minimum((certainty * 15).astype(int), 14)
    chosen = [bins == index for index in np.unique(bins)]
    return float(sum(some.mean() * abs(certainty[some].mean() - right[some].mean()) for some in chosen))


def _affine(degrees: float = 0.0, scale: float = 1.0, shift: float = 0.0) -> Callable[[np.ndarray], np.ndarray]:
    def change(chip: np.ndarray) -> np.ndarray:
        side = chip.shape[0]
        matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), degrees, scale)
        matrix[:, 2] += shift * side
        return cv2.warpAffine(chip, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)

    return change


DISTURBANCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rotation 10 degrees": _affine(degrees=10),
    "rotation 20 degrees": _affine(degrees=20),
    "shift 4 %": _affine(shift=0.04),
    "shift 8 %": _affine(shift=0.08),
    "scale 0.9": _affine(scale=0.9),
    "scale 1.1": _affine(scale=1.1),
    "mirror": lambda chip: np.ascontiguousarray(chip[:, ::-1]),
    "blur": lambda chip: cv2.GaussianBlur(chip, (0, 0), 1.0),
    "darker": lambda chip: (chip * 0.5).astype(np.uint8),
    "brighter": lambda chip: np.clip(chip * 1.3 + 30, 0, 255).astype(np.uint8),
}
"""Changes of a chip that must not change the estimate."""


def invariance_metrics(model: AffectModel, faces: Faces, limit: int = 1000) -> dict:
    """Measure how far each of DISTURBANCES changes features and predictions, on at most `limit` found, labelled faces.

    Returns:
        For each disturbance: feature_change, the median distance of the features divided by the median distance between
        two faces of different emotions; same_emotion, the share whose most likely emotion stays; valence_change, the
        mean absolute change of the expected valence. `people`: the median distance between two people of one emotion,
        divided likewise; below 1 the emotion outweighs identity.

    Raises:
        DataError: The usable faces show fewer than two emotions.
    """
    truth = majority_emotion(faces.votes)
    chosen = np.flatnonzero((truth >= 0) & faces.found & ~faces.duplicate)[:limit]
    chips, truth = faces.chips[chosen], truth[chosen]
    if len(np.unique(truth)) < 2:
        raise DataError(
            f"--invariance: {len(chosen)} of {len(faces)} faces have a majority emotion, are no duplicates and were "
            "found by the detector; faces of at least two emotions are needed"
        )
    attributes, emotions = _predict(model, chips)
    generator = np.random.default_rng(0)
    left, right = generator.integers(0, len(chosen), (2, 20_000))
    distance = np.linalg.norm(attributes[left] - attributes[right], axis=1)
    same = (truth[left] == truth[right]) & (left != right)
    between = float(np.median(distance[truth[left] != truth[right]]))
    metrics: dict = {"count": len(chosen), "people": round(float(np.median(distance[same])) / between, 4)}
    for name, change in DISTURBANCES.items():
        moved_attributes, moved = _predict(model, np.stack([change(chip) for chip in chips]))
        feature_change = np.median(np.linalg.norm(moved_attributes - attributes, axis=1)) / between
        metrics[name] = {
            "feature_change": round(float(feature_change), 4),
            "same_emotion": round(float((moved.argmax(axis=1) == emotions.argmax(axis=1)).mean()), 4),
            "valence_change": round(float(np.abs((moved - emotions) @ FITTED_MAP.coordinates[:, 0]).mean()), 4),
        }
    return metrics

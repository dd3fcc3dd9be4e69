"""Still faces with ratings of valence and arousal: reading an archive, estimating the faces, and the metrics.

Format: an .npz with `images` (N x H x W uint8, a grey face that fills each), `valence` and `arousal` (N, in [-1, 1]),
and if wanted `group` (N strings), for metrics of each group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS, MEASURES, accuracy
from ast_net_ros.evaluation.metrics.intervals import Resampling, intervals_of_joined
from ast_net_ros.model.inference import AffectModel
from ast_net_ros.rating_files import DataError, read_faces
from ast_net_ros.vision.detection import make_detector
from ast_net_ros.vision.face_crops import crop_chip

STILL_SECONDS = 3.0
"""How long each face is shown to the model."""


@dataclass(frozen=True, eq=False)
class RatedFaces:
    """N rated faces."""

    images: np.ndarray  # N x H x W uint8
    ratings: np.ndarray  # N x 2 valence and arousal in [-1, 1]
    groups: np.ndarray | None = None  # N names, or None where the archive has none


@dataclass(frozen=True, eq=False)
class StillEstimates:
    """Estimates of N still faces."""

    affect: np.ndarray  # N x 2 valence and arousal
    sigma: np.ndarray  # N x 2, their predicted standard deviations
    found: np.ndarray  # N bool, whether the detector found the face; otherwise the whole image was used


def load_rated_faces(path: Path) -> RatedFaces:
    """Read an archive of rated faces. DataError: it is none, or a rating is missing or out of range."""
    arrays = read_faces(path, ("images", *DIMENSIONS), ("group",))
    images = arrays["images"]
    for name in arrays.keys() - {"images"}:
        if arrays[name].shape != (len(images),):
            raise DataError(
                f"{path}: '{name}' is {arrays[name].shape}; expected one value for each of {len(images)} images"
            )
    for name in DIMENSIONS:
        values = arrays[name]
        if values.dtype.kind not in "fiu":
            raise DataError(f"{path}: '{name}' is {values.dtype}; expected numbers in [-1, 1]")
        wrong = np.flatnonzero(~(np.abs(values.astype(np.float64)) <= 1))  # also true for NaN
        if len(wrong):
            raise DataError(f"{path}: '{name}' of face {wrong[0]} is {values[wrong[0]]}; expected a number in [-1, 1]")
    ratings = np.stack([arrays[name].astype(np.float64) for name in DIMENSIONS], axis=1)
    return RatedFaces(images, ratings, arrays.get("group"))


def estimate_stills(model: AffectModel, images: np.ndarray) -> StillEstimates:
    """Show each face (N x H x W uint8) to the model for STILL_SECONDS and take its last estimate."""
    detector = make_detector()
    chips, found = zip(*(crop_chip(detector, image, model.config.chip_side) for image in images))
    parts = []
    for begin in range(0, len(chips), 256):
        attributes, _ = model.encode(np.stack(chips[begin : begin + 256]))
        state = model.initial_state(len(attributes))
        for _ in range(max(1, math.ceil(STILL_SECONDS / model.config.step_seconds))):
            output, state = model.step(attributes, state)
        parts.append(output)
    affect, sigma = (np.concatenate(arrays).astype(np.float64) for arrays in zip(*parts))
    return StillEstimates(affect, sigma, np.array(found, bool))


def rated_metrics(faces: RatedFaces, estimates: StillEstimates, resampling: Resampling) -> dict:
    """Compare estimates with ratings, of all faces and of each group of at least three.

    The result has for valence and arousal `MEASURES`, their bootstrap intervals and the share of errors within one
    sigma, and the correlation of valence with arousal, estimated and rated.
    """
    metrics = _subset_metrics(faces, estimates, np.ones(len(faces.images), bool), resampling)
    if faces.groups is not None:
        members = {str(group): faces.groups == group for group in np.unique(faces.groups)}
        metrics["groups"] = {
            group: _subset_metrics(faces, estimates, chosen, resampling)
            for group, chosen in members.items()
            if chosen.sum() >= 3
        }
    return metrics


def _subset_metrics(faces: RatedFaces, estimates: StillEstimates, chosen: np.ndarray, resampling: Resampling) -> dict:
    affect, ratings, sigma = estimates.affect[chosen], faces.ratings[chosen], estimates.sigma[chosen]
    metrics: dict = {"faces": int(chosen.sum()), "faces_found": int(estimates.found[chosen].sum())}
    for index, dimension in enumerate(DIMENSIONS):
        predicted, truth = affect[:, index], ratings[:, index]
        values = accuracy(predicted, truth)
        metrics[dimension] = {measure: values[measure] for measure in MEASURES} | {
            "intervals": intervals_of_joined(list(zip(predicted[:, None], truth[:, None])), resampling),
            "within_one_sigma": float((np.abs(predicted - truth) <= sigma[:, index]).mean()),
            "remarks": values["remarks"],
        }
    metrics["valence_arousal_r"] = {
        "estimated": accuracy(affect[:, 0], affect[:, 1])["r"],
        "rated": accuracy(ratings[:, 0], ratings[:, 1])["r"],
    }
    return metrics

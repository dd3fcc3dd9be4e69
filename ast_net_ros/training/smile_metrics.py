"""How finely a model grades smiles, and what a personal baseline does to faces at rest.

In: a model and a folder of smile pairs (see data/smile_pairs.py). Out: dictionaries of metrics, ready for JSON.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ast_net_ros.model.inference import AffectModel
from ast_net_ros.model.resting_baseline import RestingBaseline
from ast_net_ros.training.attribute_metrics import still_affect
from ast_net_ros.training.data.smile_pairs import WARP_SIDE, aligned_pair, people_in, warp_between
from ast_net_ros.vision.detection import make_detector

MORPH_STEPS = 10
BASELINE_LIMIT = 0.25
"""The `personal_baseline` that is measured."""

_SHOWN_SECONDS = 10.0  # of each face
_TOLERANCE = 1e-3  # of valence, for what counts as not rising


def smile_grading_metrics(model: AffectModel, folder: Path) -> dict:
    """Measure graded sensitivity and the personal baseline on people who are shown neutral, then smiling.

    Returns:
        graded: share of the people whose valence never falls from one morph to the next, from the second of ten on, and
        the mean valence of each morph. baseline: spread of neutral valence without and with `personal_baseline`, and
        for how many people the smile lies above neutral with it.

    Raises:
        DataError: The folder contains no pair, or an image is missing.
    """
    detector = make_detector(threads=1)
    pairs = [aligned_pair(folder, name, detector, WARP_SIDE) for name in people_in(folder)]
    courses, shown = [], []
    for pair in pairs:
        if pair is not None:
            attributes, emotions = model.encode(warp_between(*pair, MORPH_STEPS + 1))
            courses.append(still_affect(model, attributes, _SHOWN_SECONDS)[:, 0])
            shown.append(_with_baseline(model, attributes[[0, -1]], emotions[[0, -1]]))
    return {"people": len(courses), "graded": graded_metrics(np.array(courses)), "baseline": _baseline(np.array(shown))}


def graded_metrics(courses: np.ndarray) -> dict:
    """Summarise P x (steps + 1) valences of morphs from neutral to smiling."""
    rises = np.diff(courses, axis=1)[:, 1:]
    return {
        "rising_share": round(float((rises > -_TOLERANCE).all(axis=1).mean()), 4),
        "rising_steps": round(float((rises > -_TOLERANCE).mean()), 4),
        "mean_valence": courses.mean(axis=0).round(4).tolist(),
    }


def _baseline(shown: np.ndarray) -> dict:
    """shown: P x 4, neutral and smiling valence without baseline, then with it."""
    return {
        "limit": BASELINE_LIMIT,
        "neutral_spread_without": round(float(shown[:, 0].std()), 4),
        "neutral_spread": round(float(shown[:, 2].std()), 4),
        "neutral_mean": round(float(shown[:, 2].mean()), 4),
        "smile_above_neutral": int((shown[:, 3] > shown[:, 2]).sum()),
    }


def _with_baseline(model: AffectModel, attributes: np.ndarray, emotions: np.ndarray) -> tuple[float, ...]:
    """Valence of a neutral face and the smile after it (2 x F attributes), without and with the baseline."""
    baseline, state, valences, stamp = RestingBaseline(BASELINE_LIMIT), model.initial_state(1), [], 0.0
    for face in range(2):
        for _ in range(math.ceil(_SHOWN_SECONDS / model.config.step_seconds)):
            output, state = model.step(attributes[face : face + 1], state)
            valence, arousal = (float(value) for value in output.affect[0])
            resting = baseline.update(stamp, valence, arousal, tuple(emotions[face].tolist()))
            stamp += model.config.step_seconds
        valences.append((valence, valence - resting))
    return tuple(value for pair in zip(*valences) for value in pair)

"""How valence follows smiles: from neutral to smiling, in steps, and with a personal baseline.

In: a model and a folder of smile pairs (see data/smile_pairs.py). Out: dictionaries of metrics, ready for JSON.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ast_net_ros.model.inference import AffectModel
from ast_net_ros.model.resting_baseline import RestingBaseline
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.data.smile_pairs import WARP_SIDE, aligned_pair, people_in, warp_between
from ast_net_ros.vision.detection import make_detector

BASELINE_LIMIT = 0.25
"""The `personal_baseline` that is measured."""

_MORPH_STEPS = 10
_SHOWN_SECONDS = 10.0  # of each face of a morph
_TOLERANCE = 1e-3  # of valence, for what counts as not rising


def smile_pair_metrics(model: AffectModel, folder: Path) -> dict:
    """Measure for how many people valence rises from NAME_neutral.jpg to NAME_smiling.jpg, each shown for two seconds.

    Returns:
        Counts and means. neutral_spread, the standard deviation over neutral faces, is the influence of identity.

    Raises:
        DataError: The folder contains no pair, an image is missing, or no pair shows a face.
    """
    people, detector = people_in(folder), make_detector(threads=1)
    pairs = {name: aligned_pair(folder, name, detector, model.config.chip_side) for name in tqdm(people, "smile pairs")}
    found = [still_affect(model, model.encode(np.stack(pair))[0])[:, 0] for pair in pairs.values() if pair]
    if not found:
        raise DataError(f"{folder}: no pair has a face in both images ({len(people)} pairs)")
    neutral, smiling = np.array(found, float).T
    return {
        "people": len(people),
        "without_face": [name for name, pair in pairs.items() if pair is None],
        "smile_above_neutral": int((smiling > neutral).sum()),
        "mean_rise": _rounded((smiling - neutral).mean()),
        "neutral_mean": _rounded(neutral.mean()),
        "neutral_spread": _rounded(neutral.std()),
        "smiling_mean": _rounded(smiling.mean()),
    }


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
    curves, shown = [], []
    for name in people_in(folder):
        pair = aligned_pair(folder, name, detector, WARP_SIDE)
        if pair is not None:
            attributes, emotions = model.encode(warp_between(*pair, _MORPH_STEPS + 1))
            curves.append(still_affect(model, attributes, _SHOWN_SECONDS)[:, 0])
            shown.append(_with_baseline(model, attributes[[0, -1]], emotions[[0, -1]]))
    plain, corrected = np.array(shown).transpose(1, 2, 0)  # neutral and smiling valence of each person
    baseline = {
        "limit": BASELINE_LIMIT,
        "neutral_spread_without": _rounded(plain[0].std()),
        "neutral_spread": _rounded(corrected[0].std()),
        "neutral_mean": _rounded(corrected[0].mean()),
        "smile_above_neutral": int((corrected[1] > corrected[0]).sum()),
    }
    return {"people": len(curves), "graded": graded_metrics(np.array(curves)), "baseline": baseline}


def graded_metrics(curves: np.ndarray) -> dict:
    """Summarise P x (steps + 1) valences of morphs from neutral to smiling."""
    rises = np.diff(curves, axis=1)[:, 1:] > -_TOLERANCE
    return {
        "rising_share": _rounded(rises.all(axis=1).mean()),
        "rising_steps": _rounded(rises.mean()),
        "mean_valence": curves.mean(axis=0).round(4).tolist(),
    }


def still_affect(model: AffectModel, attributes: np.ndarray, seconds: float = 2.0) -> np.ndarray:
    """Estimate N x 2 valence and arousal of N still faces (N x F attributes) shown for `seconds`."""
    state = model.initial_state(len(attributes))
    for _ in range(math.ceil(seconds / model.config.step_seconds)):
        output, state = model.step(attributes, state)
    return np.asarray(output.affect)


def _with_baseline(model: AffectModel, attributes: np.ndarray, emotions: np.ndarray) -> tuple[list[float], list[float]]:
    """Valence of a neutral face and the smile after it (2 x F attributes), without and with the baseline."""
    baseline, state, stamp = RestingBaseline(BASELINE_LIMIT), model.initial_state(1), 0.0
    plain, corrected = [], []
    for face in range(2):
        for _ in range(math.ceil(_SHOWN_SECONDS / model.config.step_seconds)):
            output, state = model.step(attributes[face : face + 1], state)
            valence, arousal = output.affect[0].tolist()
            resting = baseline.update(stamp, valence, arousal, tuple(emotions[face].tolist()))
            stamp += model.config.step_seconds
        plain.append(valence)
        corrected.append(valence - resting)
    return plain, corrected


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None

"""How stage 2 does on held-out recordings: accuracy, calm, catching up, confidence, and independence of the frame rate.

In: a temporal model and recordings as features with labels. Out: plain dictionaries, ready for JSON.

Shapes: N recordings, T model steps, K frames, F attribute features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ast_net_ros.evaluation.metrics.agreement import (
    DIMENSIONS,
    Course,
    confidence_calibration,
    convergence_seconds,
    course_figures,
)
from ast_net_ros.model.config import AffectOutput, confidence
from ast_net_ros.model.inference import AffectModel
from ast_net_ros.model.recurrent_state import FaceState, advance

Predict = Callable[[Tensor], AffectOutput]
"""N x T x F features of cold-started recordings -> N x T x 2 affect and sigma."""

RATES = (50.0, 25.0, 12.5, 8.0)
"""Frames per second that must give one trajectory; the first is the reference."""

LARGEST_RATE_RMSE = 0.05


@torch.inference_mode()
def accuracy_metrics(predict: Predict, recordings: Sequence[tuple[str, Tensor, Tensor]], step_seconds: float) -> dict:
    """metrics.course_figures of whole recordings: (name, T x F features, T x 2 labels with NaN for none) each."""
    courses = []
    for name, features, labels in recordings:
        affect = predict(features.unsqueeze(0)).affect[0]
        courses.append(Course(name, affect.double().cpu().numpy(), labels.double().cpu().numpy(), step_seconds))
    return course_figures(courses)


@torch.inference_mode()
def convergence_metrics(
    predict: Predict, features: Tensor, step_seconds: float, cold_starts: Sequence[float] = (20.0, 25.0, 30.0)
) -> dict:
    """Seconds until a state started cold at `cold_starts` (seconds) stays within 0.05 of one warm since 0 s.

    features: N x T x F. `never`: share of starts that do not stay within it until the recording's end. Each start is
    watched for equally long.
    """
    warm = predict(features).affect.cpu().numpy()
    starts = [round(seconds / step_seconds) for seconds in cold_starts]
    watched = features.shape[1] - max(starts)
    if watched < 2:
        return {"starts": 0, "median": None, "90th_percentile": None, "never": None}
    times: list[float | None] = []
    for start in starts:
        cold = predict(features[:, start : start + watched]).affect.cpu().numpy()
        times += [convergence_seconds(c, w[start : start + watched], step_seconds) for c, w in zip(cold, warm)]
    reached = np.array([math.inf if time is None else time for time in times])
    # "higher" keeps infinity, the time of those that never catch up, from being mixed with numbers.
    median, late = (float(np.quantile(reached, q, method="higher")) for q in (0.5, 0.9))
    return {
        "starts": len(times),
        "watched_seconds": round(watched * step_seconds, 3),
        "median": median if math.isfinite(median) else None,
        "90th_percentile": late if math.isfinite(late) else None,
        "never": float(np.isinf(reached).mean()),
    }


def confidence_metrics(output: AffectOutput, labels: Tensor) -> dict:
    """metrics.confidence_calibration of the moments with labels of all recordings together.

    within_one_sigma: share of errors below the stated sigma, for each dimension; 0.683 for normal errors whose size is
    known.
    """
    labelled = torch.isfinite(labels).all(dim=-1)
    affect, sigma, labels = (t[labelled].double().cpu() for t in (output.affect, output.sigma, labels))
    error = (affect - labels).abs()
    figures = confidence_calibration(confidence(sigma.numpy()), error.numpy())
    if figures["bins"]:
        figures["within_one_sigma"] = (error <= sigma).double().mean(dim=0).tolist()
    return figures


def rate_metrics(model: AffectModel, features: Tensor, seconds_per_frame: float, loss: float = 0.3) -> dict:
    """RMSE between the full-rate trajectory and those of fewer frames, through the code that runs on the robot.

    features: N x K x F, one face's each, a frame every `seconds_per_frame` (at the first of RATES). Fewer frames are
    the ones nearest in time; `loss`: a run in which this share of the full rate's frames is lost at random.
    Compared at the full rate's stamps, the others interpolated linearly.
    """
    stamps = np.arange(features.shape[1]) * seconds_per_frame
    reference = _trajectory(model, features, stamps, np.arange(len(stamps)))
    figures: dict = {}
    runs = {f"{rate:g} Hz": _nearest_frames(len(stamps), 1 / (rate * seconds_per_frame)) for rate in RATES[1:]}
    generator = np.random.default_rng(0)
    runs[f"{RATES[0]:g} Hz, {loss:.0%} lost"] = np.flatnonzero(generator.random(len(stamps)) >= loss)
    for name, kept in runs.items():
        fewer = _trajectory(model, features, stamps, kept)
        inside = stamps <= stamps[kept[-1]]
        filled = np.stack(
            [[np.interp(stamps[inside], stamps[kept], fewer[n, :, d]) for d in (0, 1)] for n in range(len(fewer))]
        ).transpose(0, 2, 1)
        error = filled - reference[:, inside]
        figures[name] = dict(zip(DIMENSIONS, np.sqrt((error**2).mean(axis=(0, 1))).tolist()))
    worst = max(max(figure.values()) for figure in figures.values())
    return {"rmse": figures, "largest": worst, "within": bool(worst < LARGEST_RATE_RMSE)}


def _nearest_frames(count: int, every: float) -> np.ndarray:
    return np.unique(np.round(np.arange(0, count - 1, every)).astype(int))


def _trajectory(model: AffectModel, features: Tensor, stamps: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """N x len(kept) x 2 estimates at the kept frames."""
    faces = [FaceState(float(stamps[kept[0]])) for _ in features]
    estimates = [
        advance(model, faces, features[:, frame].numpy(), [float(stamps[frame])] * len(faces)).affect
        for frame in kept
    ]
    return np.stack(estimates, axis=1)

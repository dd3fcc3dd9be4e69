"""Metrics of stage 2 on held-out people: accuracy, convergence time, confidence, and independence of the frame rate.

Results are dictionaries ready for JSON. Shapes: N recordings, T model steps, K frames, F attribute features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ast_net_ros.evaluation.metrics.accuracy import (
    DIMENSIONS,
    Trajectory,
    confidence_calibration,
    convergence_time,
    trajectory_metrics,
)
from ast_net_ros.evaluation.report.page_plots import NARROW, confidence_panels, write_plot
from ast_net_ros.model.config import AffectOutput, confidence
from ast_net_ros.model.inference import AffectModel
from ast_net_ros.model.recurrent_state import FaceState, advance
from ast_net_ros.training.data.recordings import StepClip
from ast_net_ros.training.data.samplers import ClipSampler
from ast_net_ros.training.data.simulation import SimulatedRecordings

Predict = Callable[[Tensor], AffectOutput]
"""Maps N x T x F features of cold-started recordings to N x T x 2 affect and sigma."""

RATES = (50.0, 25.0, 12.5, 8.0)
"""Frame rates that must give the same trajectory; the first is the reference."""
MAX_RATE_RMSE = 0.05


def predictor(temporal: torch.nn.Module) -> Predict:
    """Return a function that runs `temporal` (a StackedLSTM or equivalent) from a cold state, without gradients."""

    @torch.inference_mode()
    def predict(features: Tensor) -> AffectOutput:
        output: AffectOutput = temporal(features)[0]
        return output

    return predict


def simulated_metrics(predict: Predict, sampler: ClipSampler, step_seconds: float, count: int, steps: int) -> dict:
    """Compute accuracy, convergence time and confidence on `count` simulated recordings of `steps`, always the same."""
    batch = sampler(count, steps, torch.Generator().manual_seed(0))
    features, labels = batch.inputs, batch.labels
    named = [(f"simulated {index}", f, t) for index, (f, t) in enumerate(zip(features, labels))]
    return {
        "accuracy": accuracy_metrics(predict, named, step_seconds),
        "convergence_time": convergence_metrics(predict, features, step_seconds),
        "confidence": confidence_metrics(predict(features), labels),
    }


def recorded_metrics(predict: Predict, clips: Sequence[StepClip], step_seconds: float) -> dict:
    """Compute accuracy and confidence on real recordings; each uninterrupted track starts cold, as in the node."""
    named = [
        (f"{clip.recording} at {clip.start:.1f} s", torch.from_numpy(clip.inputs), torch.from_numpy(clip.labels))
        for clip in clips
    ]
    outputs = (predict(features.unsqueeze(0)) for _, features, _ in named)
    joined = AffectOutput(*(torch.cat(parts, dim=1)[0] for parts in zip(*outputs)))
    return {
        "accuracy": accuracy_metrics(predict, named, step_seconds),
        "confidence": confidence_metrics(joined, torch.cat([labels.float() for _, _, labels in named])),
    }


@torch.inference_mode()
def accuracy_metrics(predict: Predict, recordings: Sequence[tuple[str, Tensor, Tensor]], step_seconds: float) -> dict:
    """Compute `trajectory_metrics` of whole recordings: name, T x F features, T x 2 labels (NaN for none) of each."""
    trajectories = []
    for name, features, labels in recordings:
        affect, truth = (p.double().cpu().numpy() for p in (predict(features.unsqueeze(0)).affect[0], labels))
        trajectories.append(Trajectory(name, affect, truth, step_seconds))
    return trajectory_metrics(trajectories)


@torch.inference_mode()
def convergence_metrics(predict: Predict, features: Tensor, step_seconds: float) -> dict:
    """Compute the time until a cold-started state stays within CONVERGENCE_TOLERANCE of one started at 0 s.

    Cold starts are at 20, 25 and 30 s, each observed for equally long. Returns their number, median and 90th percentile
    in seconds (None if not reached), and `never`: the share of starts that do not converge.
    """
    warm = predict(features).affect.cpu().numpy()
    starts = [round(seconds / step_seconds) for seconds in (20, 25, 30)]
    watched = features.shape[1] - max(starts)
    if watched < 2:
        return {"starts": 0, "median": None, "90th_percentile": None, "never": None}
    times = []
    for start in starts:
        cold = predict(features[:, start : start + watched]).affect.cpu().numpy()
        times += [convergence_time(c, w[start : start + watched], step_seconds) for c, w in zip(cold, warm)]
    reached = np.array([math.inf if time is None else time for time in times])
    # "higher" does not interpolate with infinity, the time of starts that never converge.
    median, late = (float(np.quantile(reached, q, method="higher")) for q in (0.5, 0.9))
    return {
        "starts": len(times),
        "watched_seconds": round(watched * step_seconds, 3),
        "median": median if math.isfinite(median) else None,
        "90th_percentile": late if math.isfinite(late) else None,
        "never": float(np.isinf(reached).mean()),
    }


def confidence_metrics(output: AffectOutput, labels: Tensor) -> dict:
    """Compute `confidence_calibration` over the labelled steps of all recordings, with `within_one_sigma`.

    That is for each dimension the share of errors below the predicted sigma; 0.683 for normal errors of known size.
    """
    labelled = torch.isfinite(labels).all(dim=-1)
    affect, sigma, labels = (t[labelled].double().cpu() for t in (output.affect, output.sigma, labels))
    error = (affect - labels).abs()
    metrics = confidence_calibration(confidence(sigma.numpy()), error.numpy())
    if metrics["bins"]:
        metrics["within_one_sigma"] = (error <= sigma).double().mean(dim=0).tolist()
    return metrics


def rate_independence(
    model: AffectModel, recordings: SimulatedRecordings, count: int = 8, seconds: float = 40.0
) -> dict:
    """Compute `rate_metrics` on `count` simulated recordings of `seconds` at the full frame rate."""
    step = 1 / RATES[0]
    simulation = replace(recordings.simulation, step_seconds=step)
    quick = SimulatedRecordings(recordings.features, recordings.targets, simulation)
    clips = quick.sample(count, round(seconds / step), torch.Generator().manual_seed(0))
    return rate_metrics(model, clips.inputs, step)


def rate_metrics(model: AffectModel, features: Tensor, seconds_per_frame: float, loss: float = 0.3) -> dict:
    """Compute the RMSE between the trajectory at the full frame rate and those at lower rates, as the node runs.

    `features` are N x K x F at the first of RATES, one face each; lower rates use the frames nearest in time. A further
    run loses a share of the frames at random. Trajectories are compared at the full rate's stamps, the others linearly
    interpolated.
    """
    stamps = np.arange(features.shape[1]) * seconds_per_frame
    reference = _trajectory(model, features, stamps, np.arange(len(stamps)))
    steps = {rate: np.arange(0, len(stamps) - 1, 1 / (rate * seconds_per_frame)) for rate in RATES[1:]}
    runs = {f"{rate:g} Hz": np.unique(np.round(nearest).astype(int)) for rate, nearest in steps.items()}
    generator = np.random.default_rng(0)
    runs[f"{RATES[0]:g} Hz, {loss:.0%} lost"] = np.flatnonzero(generator.random(len(stamps)) >= loss)
    rmse: dict = {}
    for name, kept in runs.items():
        fewer = _trajectory(model, features, stamps, kept)
        inside = stamps <= stamps[kept[-1]]
        filled = np.apply_along_axis(partial(np.interp, stamps[inside], stamps[kept]), 1, fewer)
        error = filled - reference[:, inside]
        rmse[name] = dict(zip(DIMENSIONS, np.sqrt((error**2).mean(axis=(0, 1))).tolist()))
    worst = max(max(values.values()) for values in rmse.values())
    return {"rmse": rmse, "largest": worst, "within": worst < MAX_RATE_RMSE}


def _trajectory(model: AffectModel, features: Tensor, stamps: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return N x len(kept) x 2 estimates at the kept frames."""
    faces = [FaceState(float(stamps[kept[0]])) for _ in features]
    estimates = [advance(model, faces, features[:, f].numpy(), [float(stamps[f])] * len(faces)).affect for f in kept]
    return np.stack(estimates, axis=1)


def plot_confidence(metrics: Mapping, path: Path) -> None:
    """Plot `confidence_calibration`: the share within CONFIDENCE_RADIUS, and the RMSE, against confidence."""
    rank = metrics["rank_correlation"]
    title = "" if rank is None else f"rank correlation of confidence and error {rank:.2f}"
    write_plot(path, confidence_panels(metrics), (NARROW, 370), title)

"""Compute the metrics of stage 2 on simulated or real recordings of held-out people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from ast_net_ros.model.config import CONFIDENCE_RADIUS, AffectOutput
from ast_net_ros.model.inference import AffectModel
from ast_net_ros.model.network import StackedLSTM
from ast_net_ros.temporal_evaluation.temporal_metrics import (
    RATES,
    Predict,
    accuracy_metrics,
    confidence_metrics,
    convergence_metrics,
    rate_metrics,
)
from ast_net_ros.training.data.recordings import StepClip
from ast_net_ros.training.data.samplers import ClipSampler
from ast_net_ros.training.data.simulation import SimulatedRecordings

_BLUE, _ORANGE, _GREY = "#2b6cb0", "#c05621", "#718096"


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
    outputs = [predict(features.unsqueeze(0)) for _, features, _ in named]
    joined = AffectOutput(
        *(torch.cat([getattr(output, part)[0] for output in outputs]) for part in ("affect", "sigma"))
    )
    return {
        "accuracy": accuracy_metrics(predict, named, step_seconds),
        "confidence": confidence_metrics(joined, torch.cat([labels.float() for _, _, labels in named])),
    }


def rate_independence(
    model: AffectModel, recordings: SimulatedRecordings, count: int = 8, seconds: float = 40.0
) -> dict:
    """Compute `rate_metrics` on `count` simulated recordings of `seconds` at the full frame rate."""
    step = 1 / RATES[0]
    quick = SimulatedRecordings(
        recordings.features, recordings.targets, replace(recordings.simulation, step_seconds=step)
    )
    clips = quick.sample(count, round(seconds / step), torch.Generator().manual_seed(0))
    return rate_metrics(model, clips.inputs, step)


def evaluate_simulated(
    temporal: StackedLSTM, model: AffectModel, recordings: SimulatedRecordings, output: Path
) -> dict:
    """Compute all metrics on held-out simulated recordings, and write `confidence.png` to `output`."""
    metrics = simulated_metrics(predictor(temporal), recordings.sample, model.config.step_seconds, count=200, steps=300)
    metrics["rate_independence"] = rate_independence(model, recordings)
    plot_confidence(metrics["confidence"], output / "confidence.png")
    return metrics


def plot_confidence(metrics: Mapping, path: Path) -> None:
    """Plot `confidence_calibration`: the share within CONFIDENCE_RADIUS, and the RMSE, against confidence."""
    bins = metrics["bins"]
    certainty = [b["confidence"] for b in bins]
    figure = Figure(figsize=(9, 4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    reliability, error = figure.subplots(1, 2)
    reliability.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--", label="calibrated")
    reliability.plot(certainty, [b["within"] for b in bins], "o-", color=_BLUE, label="held-out recordings")
    share = f"share within {CONFIDENCE_RADIUS:g} of the label"
    reliability.set(xlabel="confidence", ylabel=share, xlim=(0, 1), ylim=(0, 1))
    reliability.legend(frameon=False)
    error.plot(certainty, [b["rmse"] for b in bins], "o-", color=_ORANGE)
    error.set(xlabel="confidence", ylabel="RMSE", ylim=(0, None))
    rank = metrics["rank_correlation"]
    error.set_title("" if rank is None else f"rank correlation of confidence and error {rank:.2f}", fontsize=10)
    figure.savefig(path)

"""All figures of trained weights on recordings of people who were not trained on.

In: weights and held-out recordings, simulated or real. Out: a dictionary of figures and a plot of the confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ast_net_ros.evaluation.metrics.temporal_metrics import (
    RATES,
    Predict,
    accuracy_metrics,
    confidence_metrics,
    convergence_metrics,
    rate_metrics,
)
from ast_net_ros.evaluation.report.temporal_plots import plot_confidence
from ast_net_ros.model.config import AffectOutput
from ast_net_ros.model.inference import AffectModel
from ast_net_ros.model.network import StackedLSTM
from ast_net_ros.training.data.recordings import StepClip
from ast_net_ros.training.data.samplers import ClipSampler
from ast_net_ros.training.data.simulation import SimulatedRecordings


def predictor(temporal: torch.nn.Module) -> Predict:
    """`temporal` (a StackedLSTM, or what is called like one) started cold, without gradients."""

    @torch.inference_mode()
    def predict(features: Tensor) -> AffectOutput:
        output: AffectOutput = temporal(features)[0]
        return output

    return predict


def simulated_metrics(predict: Predict, sampler: ClipSampler, step_seconds: float, count: int, steps: int) -> dict:
    """Accuracy, catching up and confidence on `count` simulated recordings of `steps` model steps, always the same."""
    batch = sampler(count, steps, torch.Generator().manual_seed(0))
    features, labels = batch.inputs, batch.labels
    named = [(f"simulated {index}", f, t) for index, (f, t) in enumerate(zip(features, labels))]
    return {
        "accuracy": accuracy_metrics(predict, named, step_seconds),
        "convergence_time": convergence_metrics(predict, features, step_seconds),
        "confidence": confidence_metrics(predict(features), labels),
    }


def recorded_metrics(predict: Predict, clips: Sequence[StepClip], step_seconds: float) -> dict:
    """Accuracy and confidence on whole real recordings; each unbroken sight of a face starts cold, as on the robot."""
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
    """temporal_metrics.rate_metrics on simulated recordings made at the full frame rate."""
    step = 1 / RATES[0]
    quick = SimulatedRecordings(
        recordings.features, recordings.targets, replace(recordings.simulation, step_seconds=step)
    )
    clips = quick.sample(count, round(seconds / step), torch.Generator().manual_seed(0))
    return rate_metrics(model, clips.inputs, step)


def evaluate_simulated(
    temporal: StackedLSTM, model: AffectModel, recordings: SimulatedRecordings, output: Path
) -> dict:
    """All figures of held-out simulation, and `confidence.png` in `output`."""
    figures = simulated_metrics(predictor(temporal), recordings.sample, model.config.step_seconds, count=200, steps=300)
    figures["rate_independence"] = rate_independence(model, recordings)
    plot_confidence(figures["confidence"], output / "confidence.png")
    return figures

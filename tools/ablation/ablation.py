"""What each part of AST-Net contributes: CNN alone, with a moving average, with the LSTM, and with Siamese training.

In: simulated recordings of some people to train on and of others to measure on. Out: metrics of each variant and seed.

Every variant sees the same recordings, loss, number of iterations and seeds. "CNN" is a head without memory on the same
features; its moving average is causal, over the window that is best on the training recordings. "LSTM" is trained on
the same pairs of clips as the Siamese one, with a weight of 0 for the consistency term.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ast_net_ros.model.config import SMALLEST_SIGMA, AffectOutput, NetworkConfig
from ast_net_ros.model.network import StackedLSTM
from ast_net_ros.temporal_evaluation.temporal_metrics import Predict, predictor, simulated_metrics
from ast_net_ros.training.data.samplers import ClipSampler
from ast_net_ros.training.stage2 import TemporalTraining, train_siamese

_WINDOWS = (3, 5, 10, 15, 25, 50)  # model steps of the moving average to choose from


class MemorylessHead(nn.Module):
    """Estimate each step from its features alone; called like a StackedLSTM."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.input_norm = nn.LayerNorm(config.attributes)
        self.hidden = nn.Linear(config.attributes, config.hidden)
        self.head = nn.Linear(config.hidden, 4)

    def forward(self, attributes: Tensor, state: None = None) -> tuple[AffectOutput, None]:
        """Estimate affect and sigma (N x T x 2) from N x T x F attributes; there is no state."""
        hidden = functional.relu(self.hidden(self.input_norm(attributes)))
        affect, spread = self.head(hidden).chunk(2, dim=-1)
        return AffectOutput(torch.tanh(affect), SMALLEST_SIGMA + functional.softplus(spread)), None


def moving_average(values: Tensor, window: int) -> Tensor:
    """Average each step of N x T x 2 values with the window - 1 steps before it, or fewer at the start."""
    total = values.double().cumsum(dim=1)
    total[:, window:] = total[:, window:] - total[:, :-window].clone()
    counts = torch.arange(1, values.shape[1] + 1, dtype=torch.float64).clamp(max=window).view(1, -1, 1)
    return (total / counts).to(values.dtype)


def averaged(predict: Predict, window: int) -> Predict:
    """Smooth the affect of `predict` by a moving average over `window` steps."""

    def smooth(features: Tensor) -> AffectOutput:
        output = predict(features)
        return AffectOutput(moving_average(output.affect, window), output.sigma)

    return smooth


@dataclass(frozen=True)
class Ablation:
    """What is compared.

    Attributes:
        training: Settings of every training but for seed and consistency.
        seeds: One training of each variant per seed.
        consistencies: Weights of the Siamese term, a variant each.
        held_out: Recordings to measure on.
        steps: Model steps of each.
        long_steps: Model steps of long recordings, of which there are a quarter as many.
    """

    training: TemporalTraining
    seeds: tuple[int, ...] = (1, 2, 3)
    consistencies: tuple[float, ...] = (1.0,)
    held_out: int = 120
    steps: int = 300
    long_steps: int = 1500


def run_ablation(
    train: ClipSampler,
    valid: ClipSampler,
    network: NetworkConfig,
    ablation: Ablation,
    output: Path,
    two_views: ClipSampler | None = None,
    cnn_digest: str | None = None,
) -> dict[str, dict[str, list]]:
    """Train and measure every variant.

    Args:
        train: Recordings to train on.
        valid: Recordings of other people, to measure on.
        network: Sizes of the network.
        ablation: What is compared.
        output: Folder of the trainings; a finished one is not repeated.
        two_views: The recordings of `train` with independent augmentation; where given, LSTM and Siamese LSTM are
            trained on these as well.
        cnn_digest: `checkpoint.state_digest` of the CNN that the features come from.

    Returns:
        {variant: {metric: one value per seed}}.
    """
    variants: dict[str, dict[str, list]] = {}

    def add(name: str, predict: Predict, run: Path) -> None:
        metrics = measure(predict, valid, network.step_seconds, ablation)
        metrics["fluctuation"] = fluctuation(run / "temporal.csv")
        for key, value in metrics.items():
            variants.setdefault(name, {}).setdefault(key, []).append(value)

    def trained(
        name: str, seed: int, consistency: float, make: Callable[[NetworkConfig], nn.Module], sampler: ClipSampler
    ) -> tuple[Predict, Path]:
        run = output / f"{name}-seed{seed}"
        training = replace(ablation.training, seed=seed, consistency=consistency)
        return predictor(train_siamese(make, sampler, network, training, run, valid, cnn_digest=cnn_digest)), run

    for seed in ablation.seeds:
        head, run = trained("cnn", seed, 0.0, MemorylessHead, train)
        add("CNN alone", head, run)
        add("CNN + moving average", averaged(head, best_window(head, train)), run)
        for sampler, suffix, label in ((train, "", ""), (two_views, "-two-views", ", independent augmentation")):
            if sampler is None:
                continue
            add(f"CNN + LSTM{label}", *trained(f"lstm{suffix}", seed, 0.0, StackedLSTM, sampler))
            for weight in ablation.consistencies:
                name = "CNN + Siamese LSTM" + (f" ({weight:g})" if len(ablation.consistencies) > 1 else "")
                add(f"{name}{label}", *trained(f"siamese{weight:g}{suffix}", seed, weight, StackedLSTM, sampler))
    return variants


def measure(predict: Predict, valid: ClipSampler, step_seconds: float, ablation: Ablation) -> dict[str, float | None]:
    """Measure one trained variant; means over valence and arousal, recordings put end to end."""
    short = simulated_metrics(predict, valid, step_seconds, ablation.held_out, ablation.steps)
    long = simulated_metrics(predict, valid, step_seconds, max(1, ablation.held_out // 4), ablation.long_steps)
    accuracy, long_accuracy = (
        [metrics["accuracy"][dimension]["concatenated"] for dimension in ("valence", "arousal")]
        for metrics in (short, long)
    )
    smoothness = [short["accuracy"][dimension]["smoothness"]["ratio"] for dimension in ("valence", "arousal")]
    return {
        "CCC valence": accuracy[0]["ccc"],
        "CCC arousal": accuracy[1]["ccc"],
        "RMSE": float(np.mean([a["rmse"] for a in accuracy])),
        "RMSE of long recordings": float(np.mean([a["rmse"] for a in long_accuracy])),
        "change relative to labels": float(np.mean(smoothness)),
        "convergence time in s": short["convergence_time"]["median"],
    }


def best_window(predict: Predict, train: ClipSampler) -> int:
    """Find the window with the smallest squared error on training recordings."""
    batch = train(60, 300, torch.Generator().manual_seed(1))
    affect = predict(batch.inputs).affect
    errors = [float((moving_average(affect, window) - batch.labels).square().mean()) for window in _WINDOWS]
    return _WINDOWS[int(np.argmin(errors))]


def fluctuation(log: Path) -> float | None:
    """Measure how steady a training was: the mean absolute change of the held-out CCC between rows of its log.

    Both dimensions, from the second quarter on, after the warm-up of the learning rate. None for fewer than three rows.
    """
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    values = np.array([[float(row["ccc_valence"]), float(row["ccc_arousal"])] for row in rows])[len(rows) // 4 :]
    return float(np.abs(np.diff(values, axis=0)).mean()) if len(values) >= 3 else None


def ablation_table(variants: Mapping[str, Mapping[str, Sequence[float | None]]]) -> str:
    """Make a Markdown table: mean and, after ±, standard deviation over the seeds."""
    metrics = list(next(iter(variants.values())))
    lines = ["| variant | " + " | ".join(metrics) + " |", "|---" * (len(metrics) + 1) + "|"]
    for name, values in variants.items():
        lines.append(f"| {name} | " + " | ".join(_mean_and_spread(values[metric]) for metric in metrics) + " |")
    return "\n".join(lines) + "\n"


def _mean_and_spread(values: Sequence[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values) or not numbers:
        return f"never in {len(values) - len(numbers)} of {len(values)}" if values else ""
    spread = f" ± {np.std(numbers, ddof=1):.3f}" if len(numbers) > 1 else ""
    return f"{np.mean(numbers):.3f}{spread}"

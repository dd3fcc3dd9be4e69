"""What each part of AST-Net is worth: CNN alone, with a moving average, with the LSTM, and with Siamese training.

In: simulated recordings of some people to learn from and of others to be measured on. Out: a table and plot over seeds.

Every variant sees the same recordings, loss, number of iterations and seeds. "CNN" is a head without memory on the same
features; its moving average looks back only, over the window that is best on the training recordings. "LSTM" is trained
on the same pairs of clips as the Siamese one, only its term of consistency has no weight.
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

from ast_net_ros.evaluation.metrics.temporal_metrics import Predict
from ast_net_ros.model.network import SMALLEST_SIGMA, AffectOutput, NetworkConfig, StackedLSTM
from ast_net_ros.temporal_evaluation.held_out import predictor, simulated_metrics
from ast_net_ros.training.stage2 import ClipSampler, CNNFile, TemporalTraining, train_model

_WINDOWS = (3, 5, 10, 15, 25, 50)  # model steps of the moving average to choose from


class MemorylessHead(nn.Module):
    """Affect of each step from its features alone, called like a StackedLSTM."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.input_norm = nn.LayerNorm(config.attributes)
        self.hidden = nn.Linear(config.attributes, config.hidden)
        self.head = nn.Linear(config.hidden, 4)

    def forward(self, attributes: Tensor, state: None = None) -> tuple[AffectOutput, None]:
        """attributes: N x T x F -> affect and sigma (N x T x 2), no state."""
        hidden = functional.relu(self.hidden(self.input_norm(attributes)))
        affect, spread = self.head(hidden).chunk(2, dim=-1)
        return AffectOutput(torch.tanh(affect), SMALLEST_SIGMA + functional.softplus(spread)), None


def moving_average(values: Tensor, window: int) -> Tensor:
    """N x T x 2: the mean of each step and the window - 1 before it, of fewer at the beginning."""
    total = values.double().cumsum(dim=1)
    total[:, window:] = total[:, window:] - total[:, :-window].clone()
    counts = torch.arange(1, values.shape[1] + 1, dtype=torch.float64).clamp(max=window).view(1, -1, 1)
    return (total / counts).to(values.dtype)


def averaged(predict: Predict, window: int) -> Predict:
    """`predict`, its affect smoothed by a moving average over `window` steps."""

    def smooth(features: Tensor) -> AffectOutput:
        output = predict(features)
        return AffectOutput(moving_average(output.affect, window), output.sigma)

    return smooth


@dataclass(frozen=True)
class Ablation:
    """What is compared. seeds: one training each. consistencies: weights of the Siamese term to try, a variant each.


    held_out, steps, long_steps: how many recordings of how many model steps are measured; a quarter as many long ones.
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
    independent_augmentation: ClipSampler | None = None,
    cnn: CNNFile | None = None,
) -> dict[str, dict[str, list]]:
    """{variant: {measure: one value a seed}}. Trainings lie in `output`; one that has ended is not made again.

    independent_augmentation: the recordings of `train`, looked at twice; if given, LSTM and Siamese LSTM are trained on them as well.
    cnn: whose features they are made of.
    """
    variants: dict[str, dict[str, list]] = {}

    def add(name: str, predict: Predict, run: Path) -> None:
        measured = measure(predict, valid, network.step_seconds, ablation)
        measured["fluctuation"] = fluctuation(run / "temporal.csv")
        for key, value in measured.items():
            variants.setdefault(name, {}).setdefault(key, []).append(value)

    def trained(
        name: str, seed: int, consistency: float, make: Callable[[NetworkConfig], nn.Module], draw: ClipSampler = train
    ) -> tuple[Predict, Path]:
        run = output / f"{name}-seed{seed}"
        training = replace(ablation.training, seed=seed, consistency=consistency)
        return predictor(train_model(make, draw, network, training, run, valid, cnn=cnn)), run

    for seed in ablation.seeds:
        head, run = trained("cnn", seed, 0.0, MemorylessHead)
        add("CNN alone", head, run)
        add("CNN + moving average", averaged(head, best_window(head, train)), run)
        for draw, named, suffix in ((train, "", ""), (independent_augmentation, "-looks", ", own looks")):
            if draw is None:
                continue
            add(f"CNN + LSTM{suffix}", *trained(f"lstm{named}", seed, 0.0, StackedLSTM, draw))
            for weight in ablation.consistencies:
                name = "CNN + Siamese LSTM" + (f" ({weight:g})" if len(ablation.consistencies) > 1 else "")
                add(f"{name}{suffix}", *trained(f"siamese{weight:g}{named}", seed, weight, StackedLSTM, draw))
    return variants


def measure(predict: Predict, valid: ClipSampler, step_seconds: float, ablation: Ablation) -> dict[str, float | None]:
    """The figures of one trained variant; means over valence and arousal, recordings put end to end."""
    short = simulated_metrics(predict, valid, step_seconds, ablation.held_out, ablation.steps)
    long = simulated_metrics(predict, valid, step_seconds, max(1, ablation.held_out // 4), ablation.long_steps)
    accuracy = [short["accuracy"][d]["concatenated"] for d in ("valence", "arousal")]
    smoothness = [short["accuracy"][d]["smoothness"]["ratio"] for d in ("valence", "arousal")]
    return {
        "CCC valence": accuracy[0]["ccc"],
        "CCC arousal": accuracy[1]["ccc"],
        "RMSE": float(np.mean([a["rmse"] for a in accuracy])),
        "RMSE of long recordings": float(
            np.mean([long["accuracy"][d]["concatenated"]["rmse"] for d in ("valence", "arousal")])
        ),
        "change against the target's": float(np.mean(smoothness)),
        "catch-up in s": short["convergence_time"]["median"],
    }


def best_window(predict: Predict, train: ClipSampler) -> int:
    """The window with the least squared error on training recordings."""
    features, labels = train(60, 300, torch.Generator().manual_seed(1))
    affect = predict(features).affect
    errors = [float((moving_average(affect, window) - labels).square().mean()) for window in _WINDOWS]
    return _WINDOWS[int(np.argmin(errors))]


def fluctuation(log: Path) -> float | None:
    """How steady a training was: mean absolute change of the held-out CCC from one line of its log to the next.

    Both dimensions, from the second quarter on, after the learning rate has risen. None for fewer than three lines.
    """
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    values = np.array([[float(row["ccc_valence"]), float(row["ccc_arousal"])] for row in rows])[len(rows) // 4 :]
    return float(np.abs(np.diff(values, axis=0)).mean()) if len(values) >= 3 else None


def ablation_table(variants: Mapping[str, Mapping[str, Sequence[float | None]]]) -> str:
    """A Markdown table: mean and, after ±, standard deviation over the seeds."""
    measures = list(next(iter(variants.values())))
    lines = ["| variant | " + " | ".join(measures) + " |", "|---" * (len(measures) + 1) + "|"]
    for name, values in variants.items():
        lines.append(f"| {name} | " + " | ".join(_mean_and_spread(values[measure]) for measure in measures) + " |")
    return "\n".join(lines) + "\n"


def _mean_and_spread(values: Sequence[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values) or not numbers:
        return f"never in {len(values) - len(numbers)} of {len(values)}" if values else ""
    spread = f" ± {np.std(numbers, ddof=1):.3f}" if len(numbers) > 1 else ""
    return f"{np.mean(numbers):.3f}{spread}"

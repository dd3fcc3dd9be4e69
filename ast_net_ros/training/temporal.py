"""Stage 2: the stacked LSTM, trained as a Siamese network on temporally shifted clips.

In: features with labels (see simulation.py). Out: a trained :class:`StackedLSTM` and its figures on held-out people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ast_net_ros.model.network import NetworkConfig, StackedLSTM
from ast_net_ros.training.objective import agreement_loss, concordance, regression_loss

DrawClips = Callable[[int, int, torch.Generator], tuple[Tensor, Tensor]]
"""(count, steps, generator) -> features (count x steps x F) and labels (count x steps x 2)."""


@dataclass(frozen=True)
class TemporalTraining:
    """How stage 2 is trained. clip_steps: length of a branch's clip. largest_shift: between the branches, in steps.

    agreement: weight of the Siamese term; 0 trains without it. settle_steps: see objective.agreement_loss.
    """

    iterations: int = 1500
    batch: int = 48
    clip_steps: int = 150
    largest_shift: int = 50
    settle_steps: int = 5
    agreement: float = 1.0
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    seed: int = 1

    def __post_init__(self) -> None:
        if self.largest_shift + self.settle_steps >= self.clip_steps:
            raise ValueError(
                f"clips of {self.clip_steps} steps shifted by up to {self.largest_shift} leave nothing to agree on "
                f"after {self.settle_steps} steps of settling; lengthen clip_steps or lower largest_shift"
            )


def train_temporal(draw: DrawClips, network: NetworkConfig, training: TemporalTraining | None = None) -> StackedLSTM:
    """Train a stacked LSTM on clips that `draw` makes; every random draw follows from the seed."""
    training = training or TemporalTraining()
    torch.manual_seed(training.seed)
    generator = torch.Generator().manual_seed(training.seed)
    model = StackedLSTM(network)
    optimizer = torch.optim.AdamW(model.parameters(), training.learning_rate, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.learning_rate, training.iterations)
    for _ in tqdm(range(training.iterations), desc="training LSTM", unit="batch"):
        shift = int(torch.randint(1, training.largest_shift + 1, (1,), generator=generator))
        features, labels = draw(training.batch, training.clip_steps + shift, generator)
        earlier, _ = model(features[:, :-shift])
        later, _ = model(features[:, shift:])
        loss = (regression_loss(earlier, labels[:, :-shift]) + regression_loss(later, labels[:, shift:])) / 2
        if training.agreement:
            agree = agreement_loss(earlier.affect, later.affect, shift, training.settle_steps)
            loss = loss + training.agreement * agree
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.inference_mode()
def temporal_figures(model: StackedLSTM, draw: DrawClips, seed: int = 0, count: int = 200, steps: int = 300) -> dict:
    """CCC, RMSE and calibration of sigma on `count` held-out recordings; keys name the dimension."""
    features, labels = draw(count, steps, torch.Generator().manual_seed(seed))
    output, _ = model(features)
    error = output.affect - labels
    ccc, rmse = concordance(output.affect, labels), error.square().mean(dim=(0, 1)).sqrt()
    within = (error.abs() <= output.sigma).float().mean(dim=(0, 1))  # 0.683 for a calibrated normal error
    names = ("valence", "arousal")
    return {
        **{f"ccc_{n}": round(float(v), 4) for n, v in zip(names, ccc)},
        **{f"rmse_{n}": round(float(v), 4) for n, v in zip(names, rmse)},
        **{f"within_one_sigma_{n}": round(float(v), 4) for n, v in zip(names, within)},
    }

"""Stage 2 with the CNN trained along: clips of chips in place of clips of features.

In: clips of chips (N x T x S x S, uint8) and a CNN to begin with. Out: the CNN and the stacked LSTM, trained as one.
Only real recordings can be learnt from so, as simulated ones are made of features.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ast_net_ros.model.network import AffectOutput, DiscreteEmotionCNN, LSTMState, NetworkConfig, StackedLSTM
from ast_net_ros.training.augmentation import augment
from ast_net_ros.training.data.simulation import AUGMENTATION_STRENGTH
from ast_net_ros.training.engine import Engine
from ast_net_ros.training.stage2 import ClipSampler, CNNFile, TemporalTraining, train_model

_CHUNK = 512  # chips whose activations are held at once; the others' are computed again for the gradient
_REFIT_CLIPS, _REFIT_STEPS = 64, 30


class FineTunedNetwork(nn.Module):
    """CNN and LSTM, called like a StackedLSTM but with chips.

    The CNN's normalisation keeps the statistics of stage 1: the chips of a clip are too alike to measure them on. Its
    emotion head is not trained here (see `refit_emotions`).
    """

    def __init__(self, cnn: DiscreteEmotionCNN, network: NetworkConfig):
        super().__init__()
        self.cnn = copy.deepcopy(cnn)
        self.cnn.emotions.requires_grad_(False)
        self.temporal = StackedLSTM(network)

    def train(self, mode: bool = True) -> FineTunedNetwork:
        super().train(mode)
        self.cnn.eval()
        return self

    def forward(self, chips: Tensor, state: LSTMState | None = None) -> tuple[AffectOutput, LSTMState]:
        """chips: N x T x S x S -> affect and sigma (N x T x 2) and the state after the last step."""
        parts = chips.flatten(0, 1).unsqueeze(1).split(_CHUNK)
        attributes = torch.cat([self._attributes(part) for part in parts])
        return self.temporal(attributes.unflatten(0, chips.shape[:2]), state)

    def _attributes(self, chips: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            kept: Tensor = checkpoint(lambda part: self.cnn(part)[0], chips, use_reentrant=False)
            return kept
        return self.cnn(chips)[0]

    def parameter_groups(self, cnn_share: float) -> list[dict]:
        """For the optimizer: the LSTM at the whole learning rate, the CNN at `cnn_share` of it."""
        trained = [p for p in self.cnn.parameters() if p.requires_grad]
        return [{"params": list(self.temporal.parameters())}, {"params": trained, "share": cnn_share}]


def fine_tune(
    cnn: DiscreteEmotionCNN,
    draw: ClipSampler,
    network: NetworkConfig,
    training: TemporalTraining,
    output: Path | None = None,
    valid: ClipSampler | None = None,
    engine: Engine | None = None,
    cnn_file: CNNFile | None = None,
) -> FineTunedNetwork:
    """`train_temporal` with `cnn` trained along at `training.cnn_share` of the learning rate; `cnn` stays as it is.

    cnn_file: where `cnn` comes from; a run that began with another is not continued.
    """
    trained = train_model(
        lambda sizes: FineTunedNetwork(cnn, sizes),
        draw,
        network,
        training,
        output,
        valid,
        engine,
        lambda model: model.parameter_groups(training.cnn_share),
        cnn_file,
    )
    chips, _ = draw(_REFIT_CLIPS, _REFIT_STEPS, torch.Generator().manual_seed(training.seed))
    seen = chips.reshape(-1, *chips.shape[-2:]).to(next(cnn.parameters()).device)
    refit_emotions(cnn, trained.cnn, seen)
    return trained


def independent_augmentation(draw: ClipSampler) -> ClipSampler:
    """Each Siamese branch sees the chips with jitter, light and blur of its own: 2 x count x steps x S x S."""

    def twice(count: int, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        chips, labels = draw(count, steps, generator)
        flat = chips.flatten(0, 1).unsqueeze(1).float()
        looks = [
            augment(flat, generator, AUGMENTATION_STRENGTH).squeeze(1).unflatten(0, chips.shape[:2]) for _ in range(2)
        ]
        return torch.stack(looks), labels

    return twice


@torch.no_grad()
def refit_emotions(before: DiscreteEmotionCNN, after: DiscreteEmotionCNN, chips: Tensor) -> None:
    """Set the emotion head of `after` so that on `chips` (N x S x S) it says what `before` said.

    Least squares from the new attribute features to the old logits; the features have moved, the emotions have not.
    """
    old, new = [], []
    for part in chips.unsqueeze(1).split(_CHUNK):
        old.append(before(part)[1].double())
        new.append(after(part)[0].double())
    features = torch.cat(new)
    inputs = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
    # Held near the head that is there: few faces must not bend it where they say nothing.
    held = torch.cat([after.emotions.weight, after.emotions.bias[:, None]], dim=1).double().T
    ridge = 1e-3 * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.float64, device=inputs.device)
    fitted = held + torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ (torch.cat(old) - inputs @ held))
    after.emotions.weight.copy_(fitted[:-1].T)
    after.emotions.bias.copy_(fitted[-1])

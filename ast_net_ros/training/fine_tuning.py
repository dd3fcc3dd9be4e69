"""Stage 2 that also fine-tunes the CNN: on clips of chips in place of clips of features.

In: a sampler of chips and a CNN to start from. Out: the CNN and the stacked LSTM, trained as one. Only real recordings
can be used, as simulated ones are made of features.
"""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ast_net_ros.model.config import AffectOutput, LSTMState, NetworkConfig
from ast_net_ros.model.network import DiscreteEmotionCNN, StackedLSTM
from ast_net_ros.training.checkpoint import state_digest
from ast_net_ros.training.data.samplers import ClipSampler
from ast_net_ros.training.engine import Engine
from ast_net_ros.training.stage2 import TemporalTraining, train_siamese

_CHUNK = 512  # chips whose activations are held at once; those of the others are computed again for the gradient


class FineTunedNetwork(nn.Module):
    """CNN and LSTM (copied, the LSTM new where none is given) as one module, called like a StackedLSTM but with chips.

    The CNN's normalisation keeps the statistics of stage 1, as the chips of a clip are too similar to estimate them.
    Its emotion head is not trained here (see `refit_emotions`).
    """

    def __init__(self, cnn: DiscreteEmotionCNN, network: NetworkConfig, temporal: StackedLSTM | None = None):
        super().__init__()
        self.cnn = copy.deepcopy(cnn)
        self.cnn.emotions.requires_grad_(False)
        self.temporal = copy.deepcopy(temporal) if temporal else StackedLSTM(network)

    def train(self, mode: bool = True) -> FineTunedNetwork:
        """As `nn.Module.train`; the CNN stays in evaluation mode."""
        super().train(mode)
        self.cnn.eval()
        return self

    def forward(self, chips: Tensor, state: LSTMState | None = None) -> tuple[AffectOutput, LSTMState]:
        """Estimate affect and sigma (N x T x 2) from chips (N x T x S x S); also returns the state after them."""
        encode = partial(checkpoint, self.cnn, use_reentrant=False) if torch.is_grad_enabled() else self.cnn
        parts = chips.flatten(0, 1).unsqueeze(1).split(_CHUNK)
        attributes = torch.cat([encode(part)[0] for part in parts])
        return self.temporal(attributes.unflatten(0, chips.shape[:2]), state)


def fine_tune(
    cnn: DiscreteEmotionCNN,
    sampler: ClipSampler,
    network: NetworkConfig,
    training: TemporalTraining,
    output: Path | None = None,
    valid: ClipSampler | None = None,
    engine: Engine | None = None,
    temporal: StackedLSTM | None = None,
) -> FineTunedNetwork:
    """As `stage2.train_temporal`, and fine-tune a copy of `cnn` at `training.cnn_share` of the learning rate.

    The samplers give chips. The LSTM starts as a copy of `temporal` where one is given.
    """

    def groups(model: FineTunedNetwork) -> list[dict]:
        tuned = [p for p in model.cnn.parameters() if p.requires_grad]
        rate = training.learning_rate * training.cnn_share
        return [{"params": list(model.temporal.parameters())}, {"params": tuned, "lr": rate}]

    make = partial(FineTunedNetwork, cnn, temporal=temporal)
    trained = train_siamese(make, sampler, network, training, output, valid, engine, state_digest(cnn), groups)
    batch = sampler(64, 30, torch.Generator().manual_seed(training.seed))
    refit_emotions(cnn, trained.cnn, batch.inputs.flatten(0, 1).to(next(cnn.parameters()).device))
    return trained


@torch.no_grad()
def refit_emotions(before: DiscreteEmotionCNN, after: DiscreteEmotionCNN, chips: Tensor) -> None:
    """Fit the emotion head of `after`, in place, so that its logits on N x S x S chips stay those of `before`.

    Ridge regression from the new attribute features to the old logits: the features changed, the emotions did not.
    """
    parts = chips.unsqueeze(1).split(_CHUNK)
    old = torch.cat([before(part)[1].double() for part in parts])
    features = torch.cat([after(part)[0].double() for part in parts])
    inputs = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
    # Pulled towards the present head, so that few faces do not change it in directions they do not determine.
    present = torch.cat([after.emotions.weight, after.emotions.bias[:, None]], dim=1).double().T
    ridge = 1e-3 * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.float64, device=inputs.device)
    fitted = present + torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ (old - inputs @ present))
    after.emotions.weight.copy_(fitted[:-1].T)
    after.emotions.bias.copy_(fitted[-1])

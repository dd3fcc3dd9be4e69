"""AST-Net as torch modules, for training and for GPUs: a discrete-emotion CNN followed by a stacked LSTM.

The abstract of the thesis fixes the parts: a discrete-emotion CNN for pose- and identity-invariant attribute
features, a stacked LSTM for their dynamics. Every size here is this project's choice.

Shapes: N faces, T model steps, S the chip's side in pixels, F attribute features, L layers, H hidden units.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from ast_net_ros.model.config import (
    EMOTIONS,
    SE_REDUCTION,
    SMALLEST_SIGMA,
    AffectOutput,
    LSTMState,
    NetworkConfig,
    residual_blocks,
)
from ast_net_ros.model.weights import Weights, WeightsInfo, make_weights, read_weights, write_weights


class SqueezeExcitation(nn.Module):
    """Weights channels by their means over the image (Hu et al. 2018). N x C x H x W in and out."""

    def __init__(self, channels: int):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // SE_REDUCTION, 1)
        self.excite = nn.Conv2d(channels // SE_REDUCTION, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scale each channel by its weight in [0, 1]."""
        weights = functional.relu(self.squeeze(x.mean(dim=(2, 3), keepdim=True)))
        return x * torch.sigmoid(self.excite(weights))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a squeeze-excitation around a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.attention = SqueezeExcitation(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                nn.Conv2d(channels_in, channels, 1, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map N x channels_in x H x W to N x channels x H/stride x W/stride."""
        y = functional.relu(self.first_norm(self.first(x)))
        y = self.attention(self.second_norm(self.second(y)))
        return functional.relu(y + self.shortcut(x))


class DiscreteEmotionCNN(nn.Module):
    """Computes attribute features and logits of the eight FER+ emotions from grey chips."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        first = config.widths[0]
        self.stem = nn.Conv2d(1, first, 3, 2, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(first)
        self.blocks = nn.Sequential(*(ResidualBlock(*sizes) for sizes in residual_blocks(config)))
        self.attributes = nn.Linear(config.widths[-1], config.attributes)
        self.dropout = nn.Dropout(0.3)
        self.emotions = nn.Linear(config.attributes, len(EMOTIONS))

    def forward(self, chips: Tensor) -> tuple[Tensor, Tensor]:
        """Encode chips (N x 1 x S x S, of any real type) into N x F attribute features and N x 8 emotion logits."""
        x = functional.relu(self.stem_norm(self.stem(standardise(chips))))
        x = self.blocks(x).mean(dim=(2, 3))
        attributes = functional.relu(self.attributes(x))
        return attributes, self.emotions(self.dropout(attributes))


def standardise(chips: Tensor) -> Tensor:
    """Give each chip (N x 1 x S x S) mean 0 and standard deviation 1: light and contrast are not expression."""
    x = chips.float()
    x = x - x.mean(dim=(1, 2, 3), keepdim=True)
    return x / (x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + 1.0)


class StackedLSTM(nn.Module):
    """Computes valence, arousal and their standard deviations from attribute features over model steps."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.input_norm = nn.LayerNorm(config.attributes)
        self.lstm = nn.LSTM(config.attributes, config.hidden, config.layers, batch_first=True)
        self.head = nn.Linear(config.hidden, 4)

    def forward(self, attributes: Tensor, state: LSTMState | None = None) -> tuple[AffectOutput, LSTMState]:
        """Run over T model steps.

        Args:
            attributes: N x T x F.
            state: Before the first step; None for faces that were never seen.

        Returns:
            Affect and sigma, N x T x 2 each, and the state after the last step.
        """
        hidden, after = self.lstm(self.input_norm(attributes), None if state is None else tuple(state))
        affect, spread = self.head(hidden).chunk(2, dim=-1)
        return AffectOutput(torch.tanh(affect), SMALLEST_SIGMA + functional.softplus(spread)), LSTMState(*after)


class ASTNet(nn.Module):
    """The whole network: `encode` a chip, `step` a face's state by one model step, `forward` over whole clips."""

    def __init__(self, config: NetworkConfig | None = None):
        super().__init__()
        self.config = config or NetworkConfig()
        self.cnn = DiscreteEmotionCNN(self.config)
        self.temporal = StackedLSTM(self.config)

    def encode(self, chips: Tensor) -> tuple[Tensor, Tensor]:
        """Encode chips (N x 1 x S x S) into N x F attributes and N x 8 emotion logits."""
        return self.cnn(chips)

    def forward(self, clips: Tensor, state: LSTMState | None = None) -> tuple[AffectOutput, Tensor, LSTMState]:
        """Run over whole clips.

        Args:
            clips: N x T x 1 x S x S, one chip for each model step.
            state: Before the first step; None for faces that were never seen.

        Returns:
            Affect and sigma (N x T x 2 each), emotion logits (N x T x 8), and the state after the last step.
        """
        attributes, logits = self.encode(clips.flatten(0, 1))
        output, state = self.temporal(attributes.unflatten(0, clips.shape[:2]), state)
        return output, logits.unflatten(0, clips.shape[:2]), state

    def step(self, attributes: Tensor, state: LSTMState) -> tuple[AffectOutput, LSTMState]:
        """Advance by one model step: N x F attributes and a state; N x 2 affect and sigma, and the state after it."""
        output, after = self.temporal(attributes.unsqueeze(1), state)
        return AffectOutput(output.affect.squeeze(1), output.sigma.squeeze(1)), after

    def initial_state(self, faces: int) -> LSTMState:
        """Return the state of faces that were never seen: zeros, L x N x H each."""
        parameter = self.temporal.head.weight
        shape = (self.config.layers, faces, self.config.hidden)
        return LSTMState(parameter.new_zeros(shape), parameter.new_zeros(shape))


def load_weights(path: str | Path) -> tuple[ASTNet, WeightsInfo]:
    """Load a network for training, on the CPU and in evaluation mode. WeightsError: the file cannot be used."""
    weights = read_weights(path)
    return network_of(weights).eval(), weights.info


def network_of(weights: Weights) -> ASTNet:
    """Build the network of `weights`, on the CPU."""
    network = ASTNet(weights.config)
    network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.tensors.items()})
    return network


def save_weights(network: ASTNet, path: str | Path, description: str, provenance: str = "") -> WeightsInfo:
    """Write a network's weights atomically; see `ast_net_ros.model.weights.write_weights`."""
    return write_weights(path, weights_of(network, description, provenance))


def weights_of(network: ASTNet, description: str = "", provenance: str = "") -> Weights:
    """Copy the network's parameters into arrays."""
    tensors = {name: value.detach().cpu().contiguous().numpy().copy() for name, value in network.state_dict().items()}
    return make_weights(network.config, tensors, description, provenance)

"""What describes an AST-Net without computing it: sizes, parameter shapes, outputs and their meaning.

Shapes: N faces, F attribute features, L LSTM layers, H hidden units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The order of emotion logits and probabilities: that of the FER+ votes."""

SMALLEST_SIGMA = 0.02
CONFIDENCE_RADIUS = 0.25
"""Half the width of the interval that `confidence` refers to, in units of valence and arousal."""

SE_REDUCTION = 8
"""Channels of a block divided by those of its squeeze-excitation."""


@dataclass(frozen=True)
class NetworkConfig:
    """The sizes of an AST-Net, stored with its weights.

    Attributes:
        chip_side: Pixels of a chip's side.
        widths: Channels of each CNN stage. The resolution is halved before every stage.
        depths: Residual blocks of each CNN stage.
        attributes: F.
        hidden: H.
        layers: L.
        step_seconds: Duration of one model step.
    """

    chip_side: int = 48
    widths: tuple[int, ...] = (32, 64, 160, 256)
    depths: tuple[int, ...] = (1, 2, 2, 2)
    attributes: int = 128
    hidden: int = 64
    layers: int = 2
    step_seconds: float = 0.2


class LSTMState(NamedTuple):
    """State of the stacked LSTM for N faces: arrays (in training, tensors) of L x N x H."""

    hidden: Any
    cell: Any


class AffectOutput(NamedTuple):
    """Valence and arousal of N faces, arrays (in training, tensors) whose last axis is (valence, arousal).

    affect: In [-1, 1]. sigma: Standard deviation, at least SMALLEST_SIGMA.
    """

    affect: Any
    sigma: Any


class BlockSizes(NamedTuple):
    """One residual block of the CNN."""

    channels_in: int
    channels: int
    stride: int

    @property
    def has_projection(self) -> bool:
        """Whether the shortcut needs a convolution to fit the block's output."""
        return self.stride != 1 or self.channels_in != self.channels


def residual_blocks(config: NetworkConfig) -> list[BlockSizes]:
    """List the residual blocks of the CNN in their order."""
    blocks, channels = [], config.widths[0]
    for stage, (width, depth) in enumerate(zip(config.widths, config.depths)):
        for index in range(depth):
            blocks.append(BlockSizes(channels, width, 2 if stage > 0 and index == 0 else 1))
            channels = width
    return blocks


def parameter_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """List the shape of every tensor of an AST-Net by its name in a weights file."""
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *weight: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = weight, weight[:1]

    def convolution(name: str, norm: str, *weight: int) -> None:
        shapes[f"{name}.weight"] = weight
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = weight[:1]
        shapes[f"{norm}.num_batches_tracked"] = ()

    convolution("cnn.stem", "cnn.stem_norm", config.widths[0], 1, 3, 3)
    for index, block in enumerate(residual_blocks(config)):
        name, channels = f"cnn.blocks.{index}", block.channels
        convolution(f"{name}.first", f"{name}.first_norm", channels, block.channels_in, 3, 3)
        convolution(f"{name}.second", f"{name}.second_norm", channels, channels, 3, 3)
        layer(f"{name}.attention.squeeze", channels // SE_REDUCTION, channels, 1, 1)
        layer(f"{name}.attention.excite", channels, channels // SE_REDUCTION, 1, 1)
        if block.has_projection:
            convolution(f"{name}.shortcut.1", f"{name}.shortcut.2", channels, block.channels_in, 1, 1)
    layer("cnn.attributes", config.attributes, config.widths[-1])
    layer("cnn.emotions", len(EMOTIONS), config.attributes)
    layer("temporal.input_norm", config.attributes)
    for number in range(config.layers):
        inputs = {"ih": config.hidden if number else config.attributes, "hh": config.hidden}
        for side, features in inputs.items():
            shapes[f"temporal.lstm.weight_{side}_l{number}"] = (4 * config.hidden, features)
            shapes[f"temporal.lstm.bias_{side}_l{number}"] = (4 * config.hidden,)
    layer("temporal.head", 4, config.hidden)
    return shapes


_erf = np.vectorize(math.erf, otypes=[np.float64])


def confidence(sigma: np.ndarray) -> np.ndarray:
    """Compute the probability that valence and arousal both lie within CONFIDENCE_RADIUS of the truth.

    Their errors are taken as independent and normal, as the training loss does.

    Args:
        sigma: ... x 2 standard deviations of valence and arousal.

    Returns:
        ... probabilities.
    """
    return _erf(CONFIDENCE_RADIUS / (np.asarray(sigma, np.float64) * math.sqrt(2))).prod(axis=-1)

"""Initialise a CNN from stored weights of the same or other sizes.

In: a `cnn.safetensors` of `ast_net train-attributes` or a whole `ast_net.safetensors`, and the sizes wanted.
Out: a CNN of those sizes with the stored weights wherever they fit; the rest is random. A narrower CNN starts with the
strongest channels of every stage, where the strength of a channel is the scale of the normalisation that it leaves
(Liu et al. 2017, arXiv:1708.06519), summed over everything that is added to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import DiscreteEmotionCNN, load_weights
from ast_net_ros.model.weights import WeightsError
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.checkpoint import load_cnn


def load_any_cnn(path: Path) -> tuple[NetworkConfig, DiscreteEmotionCNN]:
    """Read the CNN of either kind of weights file."""
    try:
        net, _ = load_weights(path)
    except WeightsError:
        return load_cnn(path)
    return net.config, net.cnn


def init_from_checkpoint(path: Path, network: NetworkConfig) -> DiscreteEmotionCNN:
    """Make a CNN with the sizes of `network` and the stored stem, first blocks of each stage and heads where they fit.

    Raises:
        DataError: The file is no weights file, or not even the stems have the same size.
    """
    sizes, source = load_any_cnn(path)
    if any(stored > wanted for stored, wanted in zip(sizes.widths, network.widths)):
        sizes, source = narrow_cnn(source, sizes, network.widths)
    if sizes.chip_side != network.chip_side or sizes.widths[0] != network.widths[0]:
        raise DataError(
            f"{path}: chips of {sizes.chip_side} pixels and a stem of {sizes.widths[0]} channels; the network to train "
            f"has {network.chip_side} and {network.widths[0]}. Use the same for both, or start from random weights"
        )
    cnn = DiscreteEmotionCNN(network)
    matches = [(getattr(cnn, n), getattr(source, n)) for n in ("stem", "stem_norm", "attributes", "emotions")]
    for stage, stored in zip(_stages(cnn, network), _stages(source, sizes)):
        matches += list(zip(stage, stored))
    for ours, theirs in matches:
        if _shapes(ours) == _shapes(theirs):
            ours.load_state_dict(theirs.state_dict())
    return cnn


def _stages(cnn: DiscreteEmotionCNN, network: NetworkConfig) -> list[list[nn.Module]]:
    blocks = list(cnn.blocks)
    return [[blocks.pop(0) for _ in range(depth)] for depth in network.depths]


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def narrow_cnn(
    source: DiscreteEmotionCNN, sizes: NetworkConfig, widths: tuple[int, ...]
) -> tuple[NetworkConfig, DiscreteEmotionCNN]:
    """Copy a CNN with at most `widths` channels in its stages (those beyond keep their own); returns its sizes too."""
    limits = (*widths, *sizes.widths[len(widths) :])
    narrow = replace(sizes, widths=tuple(min(pair) for pair in zip(sizes.widths, limits)))
    cnn = DiscreteEmotionCNN(narrow)
    kept = _strongest(source.stem_norm.weight, narrow.widths[0])
    _copy_weight(cnn.stem, source.stem, kept)
    _copy_norm(cnn.stem_norm, source.stem_norm, kept)
    for stage, stored, width in zip(_stages(cnn, narrow), _stages(source, sizes), narrow.widths):
        before, kept = kept, _strongest(_added_scales(stored), width)
        for index, (ours, theirs) in enumerate(zip(stage, stored)):
            _copy_block(ours, theirs, kept if index else before, kept)
    _copy_weight(cnn.attributes, source.attributes, slice(None), kept)
    cnn.emotions.load_state_dict(source.emotions.state_dict())
    return narrow, cnn


def _strongest(scale: Tensor, count: int) -> Tensor:
    return scale.detach().abs().argsort(descending=True, stable=True)[:count].sort().values


def _added_scales(blocks: Sequence[Any]) -> Tensor:
    """The sum of the scales of all normalisations that a stage adds up."""
    norms = [block.second_norm for block in blocks]
    norms += [block.shortcut[2] for block in blocks if not isinstance(block.shortcut, nn.Identity)]
    return torch.stack([norm.weight.detach().abs() for norm in norms]).sum(dim=0)


def _copy_block(ours: Any, theirs: Any, before: Tensor, kept: Tensor) -> None:
    between = _strongest(theirs.first_norm.weight, len(kept))
    _copy_weight(ours.first, theirs.first, between, before)
    _copy_norm(ours.first_norm, theirs.first_norm, between)
    _copy_weight(ours.second, theirs.second, kept, between)
    _copy_norm(ours.second_norm, theirs.second_norm, kept)
    squeeze, excite = theirs.attention.squeeze, theirs.attention.excite
    squeezed = _strongest(squeeze.weight.flatten(1).norm(dim=1), ours.attention.squeeze.out_channels)
    _copy_weight(ours.attention.squeeze, squeeze, squeezed, kept)
    _copy_weight(ours.attention.excite, excite, kept, squeezed)
    if not isinstance(ours.shortcut, nn.Identity):
        _copy_weight(ours.shortcut[1], theirs.shortcut[1], kept, before)
        _copy_norm(ours.shortcut[2], theirs.shortcut[2], kept)


def _copy_weight(ours: Any, theirs: Any, rows: Tensor | slice, columns: Tensor | slice = slice(None)) -> None:
    ours.weight.data.copy_(theirs.weight.data[rows][:, columns])
    if ours.bias is not None:
        ours.bias.data.copy_(theirs.bias.data[rows])


def _copy_norm(ours: Any, theirs: Any, kept: Tensor) -> None:
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(ours, name).data.copy_(getattr(theirs, name).data[kept])

"""Make a CNN narrower: keep the strongest channels of every stage, as a start for training the narrow one.

The strength of a channel is the scale of the normalisation that it leaves (Liu et al. 2017, arXiv:1708.06519), summed
over everything that is added to it.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import DiscreteEmotionCNN


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
    ends = torch.tensor([0, *sizes.depths]).cumsum(dim=0).tolist()
    for (begin, end), width in zip(pairwise(ends), narrow.widths):
        before, kept = kept, _strongest(_added_scales(source.blocks[begin:end]), width)
        for index in range(begin, end):
            _copy_block(cnn.blocks[index], source.blocks[index], before if index == begin else kept, kept)
    _copy_weight(cnn.attributes, source.attributes, slice(None), kept)
    cnn.attributes.bias.data.copy_(source.attributes.bias.data)
    cnn.emotions.load_state_dict(source.emotions.state_dict())
    return narrow, cnn


def _strongest(scale: Tensor, count: int) -> Tensor:
    return scale.detach().abs().argsort(descending=True, stable=True)[:count].sort().values


def _added_scales(blocks: Any) -> Tensor:
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
    for layer, stored, rows, columns in (
        (ours.attention.squeeze, squeeze, squeezed, kept),
        (ours.attention.excite, excite, kept, squeezed),
    ):
        _copy_weight(layer, stored, rows, columns)
        layer.bias.data.copy_(stored.bias.data[rows])
    if not isinstance(ours.shortcut, nn.Identity):
        _copy_weight(ours.shortcut[1], theirs.shortcut[1], kept, before)
        _copy_norm(ours.shortcut[2], theirs.shortcut[2], kept)


def _copy_weight(ours: Any, theirs: Any, rows: Tensor | slice, columns: Tensor | slice = slice(None)) -> None:
    ours.weight.data.copy_(theirs.weight.data[rows][:, columns])


def _copy_norm(ours: Any, theirs: Any, kept: Tensor) -> None:
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(ours, name).data.copy_(getattr(theirs, name).data[kept])

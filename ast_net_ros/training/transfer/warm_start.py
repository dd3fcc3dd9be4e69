"""Start a CNN from stored weights of the same sizes or other ones.

In: a `cnn.safetensors` of `ast_net train-attributes` or a whole `ast_net.safetensors`, and the sizes wanted.
Out: a CNN of those sizes with the stored weights wherever they fit; the rest is random.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import DiscreteEmotionCNN, load_weights
from ast_net_ros.model.weights import WeightsError
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.checkpoint import load_cnn
from ast_net_ros.training.transfer.narrowing import narrow_cnn


def load_any_cnn(path: Path) -> tuple[NetworkConfig, DiscreteEmotionCNN]:
    """Read the CNN of either kind of weights file."""
    try:
        net, _ = load_weights(path)
    except WeightsError:
        return load_cnn(path)
    return net.config, net.cnn


def init_from_checkpoint(path: Path, network: NetworkConfig) -> DiscreteEmotionCNN:
    """Make a CNN of the sizes `network` with the stored stem, first blocks of each stage and heads, wherever they fit.

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
    matches: list[tuple[nn.Module, nn.Module]] = [(cnn.stem, source.stem), (cnn.stem_norm, source.stem_norm)]
    for stage, stored in zip(_stages(cnn, network), _stages(source, sizes)):
        matches += list(zip(stage, stored))
    matches += [(cnn.attributes, source.attributes), (cnn.emotions, source.emotions)]
    for ours, theirs in matches:
        if _shapes(ours) == _shapes(theirs):
            ours.load_state_dict(theirs.state_dict())
    return cnn


def _stages(cnn: DiscreteEmotionCNN, network: NetworkConfig) -> list[list[nn.Module]]:
    blocks = list(cnn.blocks)
    return [[blocks.pop(0) for _ in range(depth)] for depth in network.depths]


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}

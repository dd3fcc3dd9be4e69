"""A CNN that starts from the weights of another one, of the same sizes or smaller.

In: a `cnn.safetensors` of `ast_net train-attributes` or a whole `ast_net.safetensors`, and the sizes wanted.
Out: a CNN of those sizes whose parts are the stored ones wherever both have them; the rest is fresh.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ast_net_ros.model.network import DiscreteEmotionCNN, NetworkConfig
from ast_net_ros.model.weights import WeightsError, load_weights
from ast_net_ros.training.data.faces import DataError
from ast_net_ros.training.stage1 import load_cnn


def open_cnn(path: Path) -> tuple[NetworkConfig, DiscreteEmotionCNN]:
    """The CNN in either kind of weights file. Raises DataError for a file that is neither."""
    try:
        net, _ = load_weights(path)
    except WeightsError:
        return load_cnn(path)
    return net.config, net.cnn


def init_from_checkpoint(path: Path, network: NetworkConfig) -> DiscreteEmotionCNN:
    """A CNN of the sizes `network` with the weights of the one in `path`: stem, each stage's first blocks, heads.

    Raises DataError where not even the stems agree, as then nothing could be taken over.
    """
    sizes, source = open_cnn(path)
    if sizes.chip_side != network.chip_side or sizes.widths[0] != network.widths[0]:
        raise DataError(
            f"{path}: chips of {sizes.chip_side} pixels and a stem of {sizes.widths[0]} channels; the network to "
            f"train has {network.chip_side} and {network.widths[0]}. Keep both, or start from fresh weights"
        )
    cnn = DiscreteEmotionCNN(network)
    pairs: list[tuple[nn.Module, nn.Module]] = [(cnn.stem, source.stem), (cnn.stem_norm, source.stem_norm)]
    for stage, stored in zip(_stages(cnn, network), _stages(source, sizes)):
        pairs += list(zip(stage, stored))
    pairs += [(cnn.attributes, source.attributes), (cnn.emotions, source.emotions)]
    for ours, theirs in pairs:
        if _shapes(ours) == _shapes(theirs):
            ours.load_state_dict(theirs.state_dict())
    return cnn


def _stages(cnn: DiscreteEmotionCNN, network: NetworkConfig) -> list[list[nn.Module]]:
    blocks = list(cnn.blocks)
    return [[blocks.pop(0) for _ in range(depth)] for depth in network.depths]


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}

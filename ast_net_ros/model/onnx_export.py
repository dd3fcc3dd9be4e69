"""The CNN on ONNX Runtime: the same function as in torch, about twice as quick for a single face on a CPU.

In: a discrete-emotion CNN with its normalisation folded. Out: what encodes chips like it. The graph is built in
memory from the network that was loaded, layer by layer: there is no second weights file that could differ.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ast_net_ros.model.network import DiscreteEmotionCNN, ResidualBlock, SqueezeExcitation

_OPSET, _IR_VERSION = 13, 8  # understood by ONNX Runtime from 1.9 on


def onnx_available() -> bool:
    """Whether graphs can be built and run here."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


class OnnxEncoder:
    """Encodes chips on the CPU. threads: of its own; 0 for what suits the machine. Safe to share between threads."""

    def __init__(self, cnn: DiscreteEmotionCNN, chip_side: int, threads: int = 0):
        from ast_net_ros.model.ort_session import cpu_session

        self._session = cpu_session(onnx_graph(cnn, chip_side), threads)

    def __call__(self, chips: Tensor) -> tuple[Tensor, Tensor]:
        """chips: N x S x S uint8 -> (N x F attributes, N x 8 emotion logits)."""
        attributes, logits = self._session.run(None, {"chips": chips.unsqueeze(1).numpy()})
        return torch.from_numpy(attributes), torch.from_numpy(logits)


def onnx_graph(cnn: DiscreteEmotionCNN, chip_side: int) -> bytes:
    """The ONNX model of `cnn`: chips (N x 1 x S x S uint8) -> attributes (N x F) and logits (N x 8)."""
    from onnx import TensorProto, checker, helper

    graph = _Graph()
    x = graph.relu(graph.convolution(_standardised(graph, "chips"), cnn.stem))
    for block in cnn.blocks:
        x = _residual(graph, x, block)
    x = graph.add_node("Flatten", [graph.add_node("GlobalAveragePool", [x])], axis=1)
    attributes = graph.relu(graph.linear(x, cnn.attributes), name="attributes")
    logits = graph.linear(attributes, cnn.emotions, name="logits")
    sizes = {attributes: cnn.attributes.out_features, logits: cnn.emotions.out_features}
    shape: list[str | int | None] = ["faces", 1, chip_side, chip_side]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "discrete_emotion_cnn",
            [helper.make_tensor_value_info("chips", TensorProto.UINT8, shape)],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["faces", size]) for n, size in sizes.items()],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
    )
    model.ir_version = _IR_VERSION
    checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized


def _standardised(graph: _Graph, chips: str) -> str:
    """As network.standardise."""
    from onnx import TensorProto

    x = graph.add_node("Cast", [chips], to=TensorProto.FLOAT)
    centred = graph.add_node("Sub", [x, graph.add_node("ReduceMean", [x], axes=[1, 2, 3])])
    variance = graph.add_node("ReduceMean", [graph.add_node("Mul", [centred, centred])], axes=[1, 2, 3])
    spread = graph.add_node("Add", [graph.add_node("Sqrt", [variance]), graph.constant(np.float32(1.0))])
    return graph.add_node("Div", [centred, spread])


def _residual(graph: _Graph, x: str, block: nn.Module) -> str:
    if not isinstance(block, ResidualBlock):
        raise TypeError(f"{type(block).__name__}: only residual blocks are known here")
    y = graph.convolution(graph.relu(graph.convolution(x, block.first)), block.second)
    y = _weighed(graph, y, block.attention)
    shortcut = x
    if isinstance(block.shortcut, nn.Sequential):
        pool, projection = block.shortcut[0], block.shortcut[1]
        if isinstance(pool, nn.AvgPool2d):
            side = pool.kernel_size
            sides = [side, side] if isinstance(side, int) else list(side)
            shortcut = graph.add_node("AveragePool", [shortcut], kernel_shape=sides, strides=sides)
        shortcut = graph.convolution(shortcut, projection)
    return graph.relu(graph.add_node("Add", [y, shortcut]))


def _weighed(graph: _Graph, x: str, attention: SqueezeExcitation) -> str:
    squeezed = graph.relu(graph.convolution(graph.add_node("GlobalAveragePool", [x]), attention.squeeze))
    weights = graph.add_node("Sigmoid", [graph.convolution(squeezed, attention.excite)])
    return graph.add_node("Mul", [x, weights])


class _Graph:
    """The nodes and constants of a graph that grows; what a method gives is the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add_node(self, operator: str, inputs: list[str], name: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = name or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, value: np.ndarray | np.float32) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def relu(self, x: str, name: str = "") -> str:
        return self.add_node("Relu", [x], name)

    def convolution(self, x: str, layer: nn.Module) -> str:
        if not isinstance(layer, nn.Conv2d):
            raise TypeError(f"{type(layer).__name__}: wanted a convolution")
        inputs = [x, self.constant(layer.weight.detach().cpu().contiguous().numpy())]
        if layer.bias is not None:
            inputs.append(self.constant(layer.bias.detach().cpu().numpy()))
        padding = [int(side) for side in layer.padding] * 2
        return self.add_node("Conv", inputs, pads=padding, strides=list(layer.stride))

    def linear(self, x: str, layer: nn.Linear, name: str = "") -> str:
        inputs = [x, *(self.constant(p.detach().cpu().contiguous().numpy()) for p in (layer.weight, layer.bias))]
        return self.add_node("Gemm", inputs, name, transB=1)

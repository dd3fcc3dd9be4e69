"""The CNN as an ONNX model, built in memory from the weights: no second file could differ from them."""

from __future__ import annotations

import numpy as np

from ast_net_ros.model import onnx_proto
from ast_net_ros.model.config import EMOTIONS, BlockSizes, residual_blocks
from ast_net_ros.model.weights import Weights

OPSET, IR_VERSION = 13, 8  # understood by ONNX Runtime from 1.9 on
_BATCH_NORM_EPSILON = 1e-5


def onnx_model(weights: Weights) -> bytes:
    """Build the ONNX model of the CNN, with batch normalisation folded into the convolutions.

    Returns:
        A ModelProto: `chips` (N x 1 x S x S uint8) -> `attributes` (N x F float32), `logits` (N x 8 float32).
    """
    config, graph = weights.config, _Graph(weights)
    x = graph.relu(graph.convolution(_standardised(graph, "chips"), "cnn.stem", "cnn.stem_norm", stride=2, padding=1))
    for index, block in enumerate(residual_blocks(config)):
        x = _residual(graph, x, f"cnn.blocks.{index}", block)
    x = graph.node("Flatten", [graph.node("GlobalAveragePool", [x])], axis=1)
    graph.relu(graph.linear(x, "cnn.attributes"), output="attributes")
    graph.linear("attributes", "cnn.emotions", output="logits")
    shape: list[int | str] = ["faces", 1, config.chip_side, config.chip_side]
    sizes = {"attributes": config.attributes, "logits": len(EMOTIONS)}
    encoded = onnx_proto.graph(
        "discrete_emotion_cnn",
        graph.nodes,
        graph.constants,
        [onnx_proto.value_info("chips", onnx_proto.UINT8, shape)],
        [onnx_proto.value_info(name, onnx_proto.FLOAT, ["faces", size]) for name, size in sizes.items()],
    )
    return onnx_proto.model(encoded, OPSET, IR_VERSION)


def _standardised(graph: _Graph, chips: str) -> str:
    """As network.standardise."""
    x = graph.node("Cast", [chips], to=onnx_proto.FLOAT)
    centred = graph.node("Sub", [x, graph.node("ReduceMean", [x], axes=[1, 2, 3])])
    variance = graph.node("ReduceMean", [graph.node("Mul", [centred, centred])], axes=[1, 2, 3])
    spread = graph.node("Add", [graph.node("Sqrt", [variance]), graph.constant(np.float32(1))])
    return graph.node("Div", [centred, spread])


def _residual(graph: _Graph, x: str, name: str, block: BlockSizes) -> str:
    y = graph.relu(graph.convolution(x, f"{name}.first", f"{name}.first_norm", block.stride, padding=1))
    y = graph.convolution(y, f"{name}.second", f"{name}.second_norm", padding=1)
    squeezed = graph.node("GlobalAveragePool", [y])
    squeezed = graph.relu(graph.convolution(squeezed, f"{name}.attention.squeeze"))
    y = graph.node("Mul", [y, graph.node("Sigmoid", [graph.convolution(squeezed, f"{name}.attention.excite")])])
    shortcut = x
    if block.has_projection:
        if block.stride > 1:
            sides = [block.stride] * 2
            shortcut = graph.node("AveragePool", [shortcut], kernel_shape=sides, strides=sides)
        shortcut = graph.convolution(shortcut, f"{name}.shortcut.1", f"{name}.shortcut.2")
    return graph.relu(graph.node("Add", [y, shortcut]))


class _Graph:
    """Nodes and constants under construction. Methods return the name of their output."""

    def __init__(self, weights: Weights) -> None:
        self._tensors = {name: np.asarray(value, np.float32) for name, value in weights.tensors.items()}
        self.nodes: list[bytes] = []
        self.constants: list[bytes] = []

    def node(self, operator: str, inputs: list[str], output: str = "", **attributes: onnx_proto.Attribute) -> str:
        output = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(onnx_proto.node(operator, inputs, output, attributes))
        return output

    def constant(self, value: np.ndarray | np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx_proto.tensor(name, np.asarray(value, np.float32)))
        return name

    def relu(self, x: str, output: str = "") -> str:
        return self.node("Relu", [x], output)

    def convolution(self, x: str, name: str, norm: str = "", stride: int = 1, padding: int = 0) -> str:
        """A convolution with its bias, or with the batch normalisation that follows it."""
        weight = self._tensors[f"{name}.weight"]
        if norm:
            gain, shift, mean, variance = (
                self._tensors[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
            )
            scale = gain / np.sqrt(variance + np.float32(_BATCH_NORM_EPSILON))
            weight, bias = weight * scale[:, None, None, None], shift - mean * scale
        else:
            bias = self._tensors[f"{name}.bias"]
        inputs = [x, self.constant(weight), self.constant(bias)]
        return self.node("Conv", inputs, pads=[padding] * 4, strides=[stride] * 2)

    def linear(self, x: str, name: str, output: str = "") -> str:
        parameters = [self.constant(self._tensors[f"{name}.{part}"]) for part in ("weight", "bias")]
        return self.node("Gemm", [x, *parameters], output, transB=1)

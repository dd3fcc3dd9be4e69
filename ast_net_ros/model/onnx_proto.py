"""Writes ONNX models without the package onnx, which is several times the size of this one.

An ONNX file is a protocol buffer message (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); the few fields that
a network of convolutions needs are written here. The package's own checker reads them back in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FLOAT, UINT8 = 1, 2  # TensorProto.DataType
_INT_ATTRIBUTE, _INTS_ATTRIBUTE = 2, 7  # AttributeProto.AttributeType

Attribute = int | Sequence[int]


def model(graph: bytes, opset: int, ir_version: int) -> bytes:
    """Encode a ModelProto."""
    return _number(1, ir_version) + _bytes(8, _number(2, opset)) + _bytes(7, graph)


def graph(
    name: str, nodes: Sequence[bytes], constants: Sequence[bytes], inputs: Sequence[bytes], outputs: Sequence[bytes]
) -> bytes:
    """Encode a GraphProto."""
    parts = [(1, nodes), (2, [name.encode()]), (5, constants), (11, inputs), (12, outputs)]
    return b"".join(_bytes(field, value) for field, values in parts for value in values)


def node(operator: str, inputs: Sequence[str], output: str, attributes: dict[str, Attribute]) -> bytes:
    """Encode a NodeProto with one output, which also names the node."""
    encoded = b"".join(_bytes(1, name.encode()) for name in inputs)
    encoded += _bytes(2, output.encode()) + _bytes(3, output.encode()) + _bytes(4, operator.encode())
    for name, value in attributes.items():
        if isinstance(value, int):
            content = _number(3, value) + _number(20, _INT_ATTRIBUTE)
        else:
            content = b"".join(_number(8, item) for item in value) + _number(20, _INTS_ATTRIBUTE)
        encoded += _bytes(5, _bytes(1, name.encode()) + content)
    return encoded


def tensor(name: str, value: np.ndarray) -> bytes:
    """Encode a TensorProto of float32 values."""
    sizes = b"".join(_number(1, size) for size in value.shape)
    return sizes + _number(2, FLOAT) + _bytes(8, name.encode()) + _bytes(9, value.tobytes())


def value_info(name: str, element_type: int, shape: Sequence[int | str]) -> bytes:
    """Encode a ValueInfoProto: an input or output. A size that may vary is given by a name."""
    sizes = (_number(1, size) if isinstance(size, int) else _bytes(2, size.encode()) for size in shape)
    dimensions = b"".join(_bytes(1, size) for size in sizes)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, element_type) + _bytes(2, dimensions)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value  # 2: the length precedes the value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(encoded) + bytes([value])

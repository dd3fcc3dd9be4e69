"""Operations and bytes of a face detection, for the floors, from the shapes of the layers in ONNX Runtime's profile."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ast_net_ros.model.ort_session import CPU, onnxruntime
from ast_net_ros.vision.retinaface import detector_weights


@dataclass(frozen=True)
class DetectionCost:
    """Cost of detecting in one image.

    Attributes:
        operations: Of the convolutions; a multiply-add is two.
        parameter_bytes: Size of the weights.
        activation_bytes: What the layers write in float32 without fusion.
        size: Width and height of the network's input.
    """

    operations: int
    parameter_bytes: int
    activation_bytes: int
    size: tuple[int, int]


def detection_cost(width: int, height: int, detector_input_size: int) -> DetectionCost:
    """Count the cost of detecting in an image of this size, scaled down to `detector_input_size`."""
    scale = min(1.0, detector_input_size / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    operations = parameters = activations = 0
    for layer in _profile(*size):
        shapes = [next(iter(shape.values())) for shape in layer["input_type_shape"]]
        written = [next(iter(shape.values())) for shape in layer["output_type_shape"]]
        activations += 4 * sum(math.prod(shape) for shape in written)
        parameters += int(layer["parameter_size"])
        if layer["op_name"] == "Conv":  # every output pixel uses each weight once
            operations += 2 * math.prod(shapes[1]) * math.prod(written[0][2:])
    return DetectionCost(operations, parameters, activations, size)


def _profile(width: int, height: int) -> list[dict]:
    """Return the layers of one run without graph optimisation."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "detection")
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(detector_weights(), options, providers=[CPU])
        session.run(None, {session.get_inputs()[0].name: np.zeros((1, 3, height, width), np.float32)})
        events = json.loads(Path(session.end_profiling()).read_text())
    return [e["args"] for e in events if e.get("cat") == "Node" and "output_type_shape" in e.get("args", {})]

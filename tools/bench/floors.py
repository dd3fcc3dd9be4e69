"""How fast each stage could be at best on this machine, and how far it is from that.

A stage's floor is the longer of the times for its float32 operations and for the bytes that it must move, at the rates
of this machine. No code with the same arithmetic can be faster.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import ASTNet
from ast_net_ros.vision.alignment import LANDMARK_TEMPLATE, similarity_transform
from bench.detection_cost import DetectionCost
from bench.timing import Spread

FLOAT = 4  # bytes


def model_cost(config: NetworkConfig) -> dict[str, dict[str, int]]:
    """Count the cost of `encode` and `step` with one face.

    Args:
        config: Sizes of the network.

    Returns:
        Operations (a multiply-add is two), parameters, and unavoidable_bytes: weights, input and output, once each.
    """
    network = ASTNet(config).eval()
    chip = torch.zeros(1, 1, config.chip_side, config.chip_side)
    attributes, state = torch.zeros(1, config.attributes), network.initial_state(1)
    with torch.no_grad():
        encode = _count(lambda: network.encode(chip))
        step = _count(lambda: network.step(attributes, state))
    state_bytes = FLOAT * 2 * sum(part.numel() for part in state)  # read and written
    in_out = {"encode": config.chip_side**2 + FLOAT * (config.attributes + 8), "step": state_bytes + FLOAT * 4}
    return {
        "encode": _cost(encode, network.cnn, in_out["encode"]),
        "step": _cost(step, network.temporal, in_out["step"]),
    }


def _cost(operations: int, part: nn.Module, in_out: int) -> dict[str, int]:
    parameters = sum(p.numel() for p in part.parameters())
    return {"operations": operations, "parameters": parameters, "unavoidable_bytes": FLOAT * parameters + in_out}


def count_operations(module: nn.Module, example: Tensor) -> int:
    """Count the operations of one forward pass with torch's counter; a multiply-add is two."""
    with torch.no_grad():
        return _count(lambda: module(example))


def _count(call: Callable[[], object]) -> int:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TF32")  # switching oneDNN off and on warns about GPUs
        # The counter does not know oneDNN's LSTM; without oneDNN the LSTM consists of products that it knows.
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
            call()
    return counter.get_total_flops()


def align_bytes(landmarks: np.ndarray, side: int) -> int:
    """Count the bytes that one chip must read from a BGR image, and those of the chip."""
    to_chip = similarity_transform(landmarks, LANDMARK_TEMPLATE * side - 0.5)
    scale = float(np.hypot(to_chip[0, 0], to_chip[1, 0]))
    return round(3 * (side / scale) ** 2) + side**2


def stage_floors(
    costs: dict[str, dict[str, int]],
    detection: DetectionCost,
    moved_bytes: dict[str, int],
    matrix: Spread,
    copies: dict[str, Spread],
    measured_ms: dict[str, Spread],
) -> dict[str, dict]:
    """Compare the measured stages with their floors, at the machine's best rates.

    Args:
        costs: Of the network, from `model_cost`.
        detection: Of the detector.
        moved_bytes: Of the stages that only move data.
        matrix: Operations per second.
        copies: Bytes per second, by memory.
        measured_ms: Milliseconds of each stage.

    Returns:
        For each stage its operations, bytes and floor in milliseconds, and the ratio of the median to the floor.
    """
    operations_per_second, bytes_per_second = matrix["max"], max(rate["max"] for rate in copies.values())
    needs = {name: (cost["operations"], cost["unavoidable_bytes"]) for name, cost in costs.items()}
    width, height = detection.size
    needs["detect"] = (detection.operations, detection.parameter_bytes + FLOAT * 3 * width * height)
    needs |= {name: (0, count) for name, count in moved_bytes.items()}
    floors = {}
    for name, figure in measured_ms.items():
        if name not in needs:
            continue
        operations, count = needs[name]
        arithmetic, copying = operations / operations_per_second * 1e3, count / bytes_per_second * 1e3
        floor = max(arithmetic, copying)
        floors[name] = {
            "operations": operations,
            "bytes": count,
            "arithmetic_ms": round(arithmetic, 5),
            "copying_ms": round(copying, 5),
            "floor_ms": round(floor, 5),
            "measured_ms": figure,
            "times_the_floor": round(figure["median"] / floor, 2) if floor > 0 else math.inf,
        }
    return floors

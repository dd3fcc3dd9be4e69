"""How fast each stage could be at best on this machine, and how far from that it is.

In: the model's sizes, this machine's rates of multiplying and copying, measured stage times. Out: for each stage its
operations, the bytes that it cannot avoid to move, and the floor: the longer of both at those rates, which no code
that does the same float32 arithmetic can be below.
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
from bench.timing import Figure

FLOAT = 4  # bytes


def model_cost(config: NetworkConfig) -> dict[str, dict[str, int]]:
    """Of `encode` and `step` with one face: operations (a multiply-add is two), parameters, and unavoidable_bytes:
    weights, input and output, once each."""
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
    """Operations of one forward pass, by torch's own counter; a multiply-add is two."""
    with torch.no_grad():
        return _count(lambda: module(example))


def _count(call: Callable[[], object]) -> int:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TF32")  # switching oneDNN off and on speaks of GPUs
        # oneDNN's LSTM is one call that the counter does not know; without it, it is made of products that it does.
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
            call()
    return counter.get_total_flops()


def align_bytes(landmarks: np.ndarray, side: int) -> int:
    """Bytes that cutting out one chip must read of a BGR picture, and the chip itself."""
    to_chip = similarity_transform(landmarks, LANDMARK_TEMPLATE * side - 0.5)
    scale = float(np.hypot(to_chip[0, 0], to_chip[1, 0]))
    return round(3 * (side / scale) ** 2) + side**2


def stage_floors(
    costs: dict[str, dict[str, int]],
    detection: DetectionCost,
    moved_bytes: dict[str, int],
    matrix: Figure,
    copies: dict[str, Figure],
    measured_ms: dict[str, Figure],
) -> dict[str, dict]:
    """For each measured stage its floor in milliseconds and how many times that it takes (medians).

    moved_bytes: of the stages that only move data. The machine's best rates are taken, so that no figure is below.
    """
    operations_a_second, bytes_a_second = matrix["max"], max(rate["max"] for rate in copies.values())
    needs = {name: (cost["operations"], cost["unavoidable_bytes"]) for name, cost in costs.items()}
    width, height = detection.size
    needs["detect"] = (detection.operations, detection.parameter_bytes + FLOAT * 3 * width * height)
    needs |= {name: (0, count) for name, count in moved_bytes.items()}
    floors = {}
    for name, figure in measured_ms.items():
        if name not in needs:
            continue
        operations, count = needs[name]
        arithmetic, copying = operations / operations_a_second * 1e3, count / bytes_a_second * 1e3
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

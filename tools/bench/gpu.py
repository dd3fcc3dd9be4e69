"""What only a GPU offers: larger batches and half precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ast_net_ros.model.encoders import PRECISIONS
from ast_net_ros.model.errors import DeviceError
from ast_net_ros.model.inference import AffectModel, load_model
from bench.scenarios import BATCHES, Progress
from bench.timing import Spread, repeated

GPU_BATCHES = (*BATCHES, 32, 64, 128)


def why_not(device: str) -> str:
    """Return why no GPU can be measured; empty if one can."""
    if device == "cpu":
        return "--device cpu was asked for"
    if not torch.cuda.is_available():
        return f"this torch ({torch.__version__}) sees no CUDA device"
    return ""


def gpu_sweep(weights: Path | None, device: str, repeats: int, progress: Progress) -> dict[str, dict]:
    """Measure `encode` and `step` over batches in every precision that the device supports."""
    results: dict[str, dict] = {}
    for precision in PRECISIONS:
        try:
            model = load_model(weights, "cuda" if device == "auto" else device, precision)
        except DeviceError:  # a GPU without bfloat16
            progress(f"gpu, {precision}")
            continue
        results[precision] = {str(batch): _batch(model, batch, repeats) for batch in GPU_BATCHES}
        progress(f"gpu, {precision}")
    return results


def gpu_parts() -> int:
    """Return how often :func:`gpu_sweep` reports progress."""
    return len(PRECISIONS)


def _batch(model: AffectModel, batch: int, repeats: int) -> dict[str, Spread]:
    side = model.config.chip_side
    chips = np.zeros((batch, side, side), np.uint8)
    attributes, _ = model.encode(chips)
    state = model.initial_state(batch)
    return {
        "encode_ms": repeated(lambda: model.encode(chips), repeats),
        "step_ms": repeated(lambda: model.step(attributes, state), repeats),
    }

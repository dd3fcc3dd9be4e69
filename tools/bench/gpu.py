"""What only a GPU has: larger batches, half precision, and the step as a CUDA graph.

In: the weights' path and a device. Out: figures as of the other scenarios. Where there is no GPU, :func:`why_not` says
so, and the harness names this scenario as left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from ast_net_ros.model.inference import PRECISIONS, AffectModel, DeviceError, load_model
from ast_net_ros.model.network import AffectOutput
from bench.scenarios import BATCHES, Progress
from bench.timing import Figure, repeated

GPU_BATCHES = (*BATCHES, 32, 64, 128)


def why_not(device: str) -> str:
    """Why nothing can be measured on a GPU; empty when something can."""
    if device == "cpu":
        return "--device cpu was asked for"
    if not torch.cuda.is_available():
        return f"this torch ({torch.__version__}) sees no CUDA device"
    return ""


def gpu_sweep(weights: Path | None, device: str, repeats: int, progress: Progress) -> dict[str, dict]:
    """encode and step over batches in every precision that the device has, the step also replayed as a graph."""
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
    """How often :func:`gpu_sweep` reports progress."""
    return len(PRECISIONS)


def _batch(model: AffectModel, batch: int, repeats: int) -> dict[str, Figure]:
    side = model.config.chip_side
    chips = torch.randint(0, 256, (batch, side, side), dtype=torch.uint8)
    attributes, _ = model.encode(chips)
    state = model.initial_state(batch)
    replay, _ = step_as_graph(model, batch)
    return {
        "encode_ms": repeated(lambda: model.encode(chips), repeats, model.device),
        "step_ms": repeated(lambda: model.step(attributes, state), repeats, model.device),
        "step_graph_ms": repeated(replay, repeats, model.device),
    }


def step_as_graph(model: AffectModel, batch: int) -> tuple[Callable[[], None], AffectOutput]:
    """One model step of zeros, captured once: what replays it, and the output that each replay fills anew."""
    attributes = torch.zeros(batch, model.config.attributes, device=model.device)
    state = model.initial_state(batch)
    side_stream = torch.cuda.Stream(model.device)
    side_stream.wait_stream(torch.cuda.current_stream(model.device))
    with torch.cuda.stream(side_stream):  # a graph may be captured only after the libraries have set themselves up
        for _ in range(3):
            model.step(attributes, state)
    torch.cuda.current_stream(model.device).wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output, _ = model.step(attributes, state)
    return graph.replay, output

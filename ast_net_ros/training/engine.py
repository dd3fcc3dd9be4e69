"""Where training runs: one process, or several on one or many machines.

In: a model and its optimizer. Out: the same, made ready; and the few operations of a training step that differ. One
process needs nothing but torch. Several need Lightning Fabric (`pip install lightning-fabric`), which also understands
torchrun.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ast_net_ros.training.data.faces import DataError


class Engine(Protocol):
    """rank: of this process among `processes`, 0 writes the files. device: where this process computes."""

    rank: int
    processes: int
    device: torch.device

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
        """The model to call and the optimizer to step; they share their parameters with the given ones."""

    def step(self, loss: Tensor, model: Any, optimizer: Any, largest_norm: float) -> None:
        """Gradients of `loss`, averaged over all processes, cut to `largest_norm` and applied."""

    def wait(self) -> None:
        """Until all processes have come here."""


class SingleProcess:
    """Training in this process alone."""

    rank, processes = 0, 1

    def __init__(self, device: str = "cpu"):
        self.device = torch.device(device)

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
        return model.to(self.device), optimizer

    def step(self, loss: Tensor, model: Any, optimizer: Any, largest_norm: float) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), largest_norm)
        optimizer.step()

    def wait(self) -> None:
        return


class FabricEngine:
    """Training in several processes; each holds a copy of the model, gradients are averaged."""

    def __init__(self, fabric: Any):
        self._fabric = fabric
        self.rank, self.processes = fabric.global_rank, fabric.world_size
        self.device = fabric.device

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
        return self._fabric.setup(model, optimizer)

    def step(self, loss: Tensor, model: Any, optimizer: Any, largest_norm: float) -> None:
        optimizer.zero_grad(set_to_none=True)
        self._fabric.backward(loss)
        self._fabric.clip_gradients(model, optimizer, max_norm=largest_norm)
        optimizer.step()

    def wait(self) -> None:
        self._fabric.barrier()


def start_engine(devices: int = 1, nodes: int = 1, device: str = "cpu") -> Engine:
    """The engine for `devices` processes on each of `nodes` machines, or as many as torchrun has started.

    device: "cpu", "cuda" or "cuda:N" (one process). The other processes of this machine are started here, unless
    torchrun did so; each runs the same command line. Raises DataError where Fabric or a GPU is missing.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise DataError(f"device '{device}': this torch sees no CUDA device; use cpu, or install the CUDA build")
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if devices * nodes == 1 and launched == 1:
        return SingleProcess(device)
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise DataError(
            f"training in {max(launched, devices * nodes)} processes needs Lightning Fabric ({error}); "
            "pip install lightning-fabric"
        ) from error
    if launched > 1:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
        devices, nodes = local, max(1, launched // local)
    fabric = Fabric(accelerator=device.partition(":")[0], devices=devices, num_nodes=nodes, strategy="ddp")
    fabric.launch()
    return FabricEngine(fabric)

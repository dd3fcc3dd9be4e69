"""Where training runs: in one process, or with Lightning Fabric in several on one or more machines."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

from ast_net_ros.rating_files import DataError


class Engine:
    """Trains in this process alone; subclasses train in several."""

    rank, processes = 0, 1  # rank 0 writes the files

    def __init__(self, device: str = "cpu"):
        self.device = torch.device(device)

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
        """Return the model to call and the optimizer to step; they share their parameters with the given ones."""
        return model.to(self.device), optimizer

    def step(self, loss: Tensor, model: Any, optimizer: Any, largest_norm: float) -> None:
        """Apply the gradients of `loss`, averaged over all processes and clipped to the norm `largest_norm`."""
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), largest_norm)
        optimizer.step()

    def wait(self) -> None:
        """Wait until all processes have reached this call."""


class _FabricEngine(Engine):
    """Trains in several processes; each holds a copy of the model, gradients are averaged."""

    def __init__(self, fabric: Any):
        self._fabric = fabric
        self.rank, self.processes = fabric.global_rank, fabric.world_size
        self.device = fabric.device

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
        return self._fabric.setup(model, optimizer)

    def step(self, loss: Tensor, model: Any, optimizer: Any, largest_norm: float) -> None:
        optimizer.zero_grad()
        self._fabric.backward(loss)
        self._fabric.clip_gradients(model, optimizer, max_norm=largest_norm)
        optimizer.step()

    def wait(self) -> None:
        self._fabric.barrier()


def start_engine(devices: int = 1, nodes: int = 1, device: str = "cpu") -> Engine:
    """Start the processes of a training, unless torchrun has started them; each runs the same command line.

    Under torchrun its own numbers of `devices` (processes on each machine) and `nodes` (machines) count.

    Raises:
        DataError: Lightning Fabric or a GPU is missing.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise DataError(f"device '{device}': this torch sees no CUDA device; use cpu, or install the CUDA build")
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if devices * nodes == 1 and launched == 1:
        return Engine(device)
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        count = max(launched, devices * nodes)
        message = f"training in {count} processes needs Lightning Fabric ({error}); pip install lightning-fabric"
        raise DataError(message) from error
    if launched > 1:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
        devices, nodes = local, max(1, launched // local)
    fabric = Fabric(accelerator=device.partition(":")[0], devices=devices, num_nodes=nodes, strategy="ddp")
    fabric.launch()
    return _FabricEngine(fabric)

"""The learning-rate schedule of both stages: linear warm-up, then half a cosine down to zero."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, total_steps: int, warmup_steps: int, finished_steps: int = 0) -> LambdaLR:
    """Scale each parameter group's learning rate over a run (Loshchilov and Hutter 2017, without restarts).

    The groups' current rates are the peaks; `finished_steps` were made by the run that is resumed.
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return LambdaLR(optimizer, factor, last_epoch=finished_steps - 1)

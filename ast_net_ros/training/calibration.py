"""Fit the model's confidence to its errors on held-out people.

In: a trained stacked LSTM and a sampler of clips of held-out people. Out: the same LSTM with two numbers changed, the
biases of sigma's two outputs. Estimates of valence and arousal stay as they are.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ast_net_ros.model.config import CONFIDENCE_RADIUS, SMALLEST_SIGMA
from ast_net_ros.model.network import StackedLSTM
from ast_net_ros.training.data.samplers import ClipSampler


@torch.no_grad()
def calibrate_sigma(
    temporal: StackedLSTM, sampler: ClipSampler, model: nn.Module | None = None, count: int = 200
) -> Tensor:
    """Shift sigma's biases until the stated confidence is right on average.

    In each dimension the mean stated probability of an error below CONFIDENCE_RADIUS becomes the share of such errors.
    (Maximum likelihood would be dominated by the few large errors, of which there are more than a normal distribution
    has.) The people must not be those trained on, nor, with real data, those on which the confidence is measured.

    Args:
        temporal: Changed in place.
        sampler: Clips of held-out people.
        model: Called with the clips, where that is not `temporal` itself (fine_tuning.py).
        count: Clips to fit on.

    Returns:
        The shifts of both biases; zero where no clip has labels.
    """
    batch = sampler(count, 300, torch.Generator().manual_seed(1000)).to(temporal.head.weight.device)
    output, _ = (model or temporal)(batch.inputs)
    labelled = torch.isfinite(batch.labels).all(dim=-1)
    if not bool(labelled.any()):
        return torch.zeros(2)
    shifts = sigma_shifts((output.affect - batch.labels)[labelled], output.sigma[labelled])
    temporal.head.bias[2:] += shifts.to(temporal.head.bias)
    return shifts.float().cpu()


def sigma_shifts(error: Tensor, sigma: Tensor) -> Tensor:
    """Return the shifts of sigma's two biases with which the stated confidence is right for N x 2 errors and sigmas."""
    share = (error.abs() < CONFIDENCE_RADIUS).double().mean(dim=0)
    spread = torch.log(torch.expm1((sigma.double() - SMALLEST_SIGMA).clamp(min=1e-6)))  # before the softplus
    low, high = spread.new_full((2,), -8.0), spread.new_full((2,), 8.0)  # from a sigma of 0.7 to the smallest, and up
    for _ in range(50):  # of a bisection
        shift = (low + high) / 2
        stated = torch.erf(CONFIDENCE_RADIUS / ((SMALLEST_SIGMA + softplus(spread + shift)) * math.sqrt(2))).mean(dim=0)
        low, high = torch.where(stated > share, shift, low), torch.where(stated > share, high, shift)
    return (low + high) / 2

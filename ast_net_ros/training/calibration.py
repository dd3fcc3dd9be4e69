"""Fit the model's confidence to its errors on held-out people.

In: a trained stacked LSTM and a sampler of clips of held-out people. Out: the same LSTM with two numbers changed, the
biases of sigma's two outputs. Estimates of valence and arousal stay as they are.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ast_net_ros.model.config import CONFIDENCE_RADIUS, SMALLEST_SIGMA
from ast_net_ros.model.network import StackedLSTM
from ast_net_ros.training.data.samplers import ClipSampler

_LARGEST_SHIFT = 8.0  # of a bias: from a sigma of 0.7 down to the smallest, and far up
_ROUNDS = 50  # of the bisection


@torch.no_grad()
def calibrate_sigma(
    temporal: StackedLSTM, sampler: ClipSampler, model: nn.Module | None = None, seed: int = 1000, count: int = 200
) -> Tensor:
    """Shift sigma's biases until the stated confidence is right on average.

    In each dimension the mean stated probability of an error below CONFIDENCE_RADIUS becomes the share of such errors.
    (Maximum likelihood would be dominated by the few large errors, of which there are more than a normal distribution
    has.) The people must be neither those trained on, nor on real data those on whom the confidence is measured.

    Args:
        temporal: Changed in place.
        sampler: Clips of held-out people.
        model: Called with the clips, where that is not `temporal` itself (fine_tuning.py).
        seed: Of the clips.
        count: Clips to fit on.

    Returns:
        The shifts of both biases; zero where no clip has labels.
    """
    batch = sampler(count, 300, torch.Generator().manual_seed(seed)).to(temporal.head.weight.device)
    output, _ = (model or temporal)(batch.inputs)
    labelled = torch.isfinite(batch.labels).all(dim=-1)
    if not bool(labelled.any()):
        return torch.zeros(2)
    shifts = sigma_shifts((output.affect - batch.labels)[labelled], output.sigma[labelled])
    temporal.head.bias[2:] += shifts.to(temporal.head.bias)
    return shifts.float().cpu()


def sigma_shifts(error: Tensor, sigma: Tensor) -> Tensor:
    """Return the shifts of sigma's two biases with which the stated confidence is right for N x 2 errors and sigmas."""
    spread = torch.log(torch.expm1((sigma.double() - SMALLEST_SIGMA).clamp(min=1e-6)))
    return torch.stack([_calibrated_shift(error.double()[:, d], spread[:, d]) for d in range(2)])


def _calibrated_shift(error: Tensor, spread: Tensor) -> Tensor:
    """The shift of `spread` (before the softplus) with which N errors are below the radius as often as stated."""
    share = (error.abs() < CONFIDENCE_RADIUS).double().mean()
    low, high = (torch.tensor(side, dtype=torch.float64) for side in (-_LARGEST_SHIFT, _LARGEST_SHIFT))
    for _ in range(_ROUNDS):
        shift = (low + high) / 2
        sigma = SMALLEST_SIGMA + functional.softplus(spread + shift)
        stated = torch.erf(CONFIDENCE_RADIUS / (sigma * math.sqrt(2))).mean()
        low, high = (shift, high) if stated > share else (low, shift)  # a larger sigma states less
    return (low + high) / 2

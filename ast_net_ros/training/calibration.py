"""What the model says of its own errors, held against the errors of people it was not trained on.

In: a trained stacked LSTM and what draws clips of held-out people. Out: the same LSTM, whose confidence fits their
errors.
Estimates stay as they are: two numbers are fitted, the biases of sigma's two outputs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ast_net_ros.model.network import CONFIDENCE_RADIUS, SMALLEST_SIGMA, StackedLSTM
from ast_net_ros.training.stage2 import ClipSampler

_WIDEST_SHIFT = 8.0  # of a bias: from a sigma of 0.7 down to the smallest, and far up
_ROUNDS = 50  # of the search, each halving the range


@torch.no_grad()
def calibrate_sigma(
    temporal: StackedLSTM, draw: ClipSampler, whole: nn.Module | None = None, seed: int = 1000, count: int = 200
) -> Tensor:
    """Shift sigma's biases until confidence keeps its word on held-out people; returns both shifts.

    For each dimension the stated probability of an error below CONFIDENCE_RADIUS becomes, in the mean, the share of
    such errors. (The likelihood would be led by the few large errors, which are more than a normal distribution has.)

    whole: what is called with what `draw` draws, where that is more than the LSTM (fine_tuning.py).
    A network that has learnt its training people by heart thinks too well of itself; on real data the same people
    should not be used for this and for the figures of confidence.
    """
    device = temporal.head.weight.device
    features, labels = (t.to(device) for t in draw(count, 300, torch.Generator().manual_seed(seed)))
    output, _ = (whole or temporal)(features)
    labelled = torch.isfinite(labels).all(dim=-1)
    if not bool(labelled.any()):
        return torch.zeros(2)
    error = (output.affect - labels)[labelled].double()
    spread = torch.log(torch.expm1((output.sigma[labelled].double() - SMALLEST_SIGMA).clamp(min=1e-6)))
    shifts = torch.stack([_honest_shift(error[:, d], spread[:, d]) for d in range(2)])
    temporal.head.bias[2:] += shifts.to(temporal.head.bias)
    return shifts.float().cpu()


def _honest_shift(error: Tensor, spread: Tensor) -> Tensor:
    """The shift of `spread` under which N errors are below the radius as often as is stated."""
    share = (error.abs() < CONFIDENCE_RADIUS).double().mean()
    low, high = (torch.tensor(side, dtype=torch.float64) for side in (-_WIDEST_SHIFT, _WIDEST_SHIFT))
    for _ in range(_ROUNDS):
        shift = (low + high) / 2
        sigma = SMALLEST_SIGMA + functional.softplus(spread + shift)
        stated = torch.erf(CONFIDENCE_RADIUS / (sigma * math.sqrt(2))).mean()
        low, high = (shift, high) if stated > share else (low, shift)  # a larger sigma states less
    return (low + high) / 2

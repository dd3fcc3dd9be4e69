"""The first stage of a fit: an affine map of the network's two outputs, folded into its last layer.

With u the two numbers whose tanh is valence and arousal, the map is u -> M u + c: six numbers, which a few minutes of
ratings determine. Since u is linear in the LSTM's output, M and c fold into the last layer: the result is a network of
the same sizes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.functional import hessian, jacobian

from ast_net_ros.model.network import ASTNet
from ast_net_ros.training.losses import concordance

RIDGE = 0.3
"""Weight of the squared distance of the map from the identity, for each independent rating."""
INDEPENDENT_SECONDS = 10.0
"""Ratings this far apart count as independent: continuous ratings hardly change from one second to the next."""

_MOST_STEPS, _FLAT = 50, 1e-7


class OutputMap(NamedTuple):
    """u -> M u + c on the two outputs before their tanh."""

    matrix: Tensor  # 2 x 2
    offset: Tensor  # 2


def fit_output_map(before_tanh: Tensor, ratings: Tensor, step_seconds: float) -> OutputMap:
    """Minimise 1 - CCC plus the squared error over N x 2 outputs and ratings, with a ridge towards the identity.

    The ridge weakens as ratings get more: see RIDGE.
    """
    outputs, ratings = before_tanh.double(), ratings.double()
    identity = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    ridge = RIDGE * INDEPENDENT_SECONDS / (len(ratings) * step_seconds)

    def loss(numbers: Tensor) -> Tensor:
        affect = torch.tanh(outputs @ numbers[:4].view(2, 2).T + numbers[4:])
        error = (1 - concordance(affect, ratings)).mean() + (affect - ratings).square().mean()
        return error + ridge * (numbers - identity).square().sum()

    numbers = _minimum(loss, identity)
    return OutputMap(numbers[:4].view(2, 2), numbers[4:])


def _minimum(loss: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Find a minimum of few numbers by Newton's method with halved steps.

    An optimizer of torch would load its compiler, which takes longer than everything else here.
    """
    numbers = start.clone()
    for _ in range(_MOST_STEPS):
        gradient = jacobian(loss, numbers)
        if float(gradient.abs().max()) < _FLAT:
            break
        curvature, axes = torch.linalg.eigh(hessian(loss, numbers))
        # Absolute values: down along an axis of negative curvature as well.
        step = axes @ ((axes.T @ gradient) / curvature.abs().clamp(min=1e-3))
        now, share = loss(numbers), 1.0
        while share > _FLAT and loss(numbers - share * step) >= now:
            share /= 2
        numbers = numbers - share * step
    return numbers


@torch.no_grad()
def with_output_map(net: ASTNet, fitted: OutputMap) -> ASTNet:
    """Return a copy of `net` whose outputs are mapped."""
    mapped = copy.deepcopy(net)
    head = mapped.temporal.head
    matrix = fitted.matrix.to(head.weight.device)
    head.weight[:2] = (matrix @ head.weight[:2].double()).to(head.weight)
    head.bias[:2] = (matrix @ head.bias[:2].double() + fitted.offset.to(matrix.device)).to(head.bias)
    return mapped

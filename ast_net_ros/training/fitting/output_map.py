"""The first stage of a fit: an affine map of the network's two outputs, folded into its last layer.

With u the two numbers whose tanh is valence and arousal, the map is u -> M u + c: six numbers, which a few minutes of
ratings determine. Since u is linear in the LSTM's output, M and c fold into the last layer: the result is a network of
the same sizes.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor

from ast_net_ros.model.network import ASTNet
from ast_net_ros.training.losses import concordance

RIDGE = 0.3
"""Weight of the squared distance of the map from the identity, for each independent rating."""
INDEPENDENT_SECONDS = 10.0
"""Ratings this far apart count as independent: continuous ratings hardly change from one second to the next."""


class OutputMap(NamedTuple):
    """u -> M u + c on the two outputs before their tanh."""

    matrix: Tensor  # 2 x 2
    offset: Tensor  # 2


def fit_output_map(before_tanh: Tensor, ratings: Tensor, step_seconds: float) -> OutputMap:
    """Minimise 1 - CCC plus the squared error over N x 2 outputs and ratings, with a ridge towards the identity.

    The ridge weakens as ratings get more: see RIDGE.
    """
    outputs, ratings = before_tanh.double(), ratings.double()
    identity = torch.eye(2, dtype=torch.float64)
    matrix, offset = identity.clone().requires_grad_(), torch.zeros(2, dtype=torch.float64, requires_grad=True)
    ridge = RIDGE * INDEPENDENT_SECONDS / (len(ratings) * step_seconds)
    optimizer = torch.optim.LBFGS([matrix, offset], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        affect = torch.tanh(outputs @ matrix.T + offset)
        loss = (1 - concordance(affect, ratings)).mean() + (affect - ratings).square().mean()
        loss = loss + ridge * ((matrix - identity).square().sum() + offset.square().sum())
        loss.backward()
        return loss

    optimizer.step(closure)
    return OutputMap(matrix.detach(), offset.detach())


@torch.no_grad()
def with_output_map(net: ASTNet, fitted: OutputMap) -> ASTNet:
    """Return a copy of `net` whose outputs are mapped."""
    mapped = copy.deepcopy(net)
    head = mapped.temporal.head
    matrix = fitted.matrix.to(head.weight.device)
    head.weight[:2] = (matrix @ head.weight[:2].double()).to(head.weight)
    head.bias[:2] = (matrix @ head.bias[:2].double() + fitted.offset.to(matrix.device)).to(head.bias)
    return mapped

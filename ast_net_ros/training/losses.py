"""Every loss of both training stages.

Affect, sigma and labels are N x T x 2, last axis (valence, arousal). A moment whose label holds NaN is left out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ast_net_ros.model.config import AffectOutput

_LIKELIHOOD_WEIGHT = 0.1


def vote_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of N x 8 logits against N x 8 vote distributions (Barsoum et al. 2016), a scalar."""
    return -(targets * torch.log_softmax(logits.float(), dim=1)).sum(dim=1).mean()


def concordance(predicted: Tensor, labels: Tensor) -> Tensor:
    """Concordance correlation coefficient (Lin 1989) over all axes but the last one, of 2: 2 values in [-1, 1]."""
    p, t = predicted.flatten(0, -2), labels.flatten(0, -2)
    p_mean, t_mean = p.mean(dim=0), t.mean(dim=0)
    covariance = ((p - p_mean) * (t - t_mean)).mean(dim=0)
    spread = (p - p_mean).square().mean(dim=0) + (t - t_mean).square().mean(dim=0)
    return 2 * covariance / (spread + (p_mean - t_mean).square() + 1e-8)


def regression_loss(output: AffectOutput, labels: Tensor) -> Tensor:
    """1 - CCC, plus squared error, plus the Gaussian negative log likelihood that fits sigma to the errors.

    The likelihood's error is detached: otherwise uncertain faces would be learned less well (the attenuation that
    Kendall and Gal 2017 describe). Loss and gradient are zero where no moment has a label.
    """
    labelled = torch.isfinite(labels).all(dim=-1)
    if not bool(labelled.any()):
        return 0.0 * (output.affect.sum() + output.sigma.sum())
    affect, sigma, labels = output.affect[labelled], output.sigma[labelled], labels[labelled]
    error = affect - labels
    likelihood = (error.detach() / sigma).square() / 2 + torch.log(sigma)
    return (1 - concordance(affect, labels)).mean() + error.square().mean() + _LIKELIHOOD_WEIGHT * likelihood.mean()


def consistency_loss(earlier: Tensor, later: Tensor, shift: int, settle_steps: int) -> Tensor:
    """Mean squared difference between the affect of the two branches where their clips overlap.

    The later clip starts `shift` model steps after the other; `settle_steps` after its cold start do not count yet.
    """
    return (earlier[:, shift + settle_steps :] - later[:, settle_steps : later.shape[1] - shift]).square().mean()


class SiameseLoss(NamedTuple):
    """The loss of a batch (`total`) and its two terms, scalars each."""

    total: Tensor
    regression: Tensor
    consistency: Tensor


def siamese_loss(
    earlier: AffectOutput, later: AffectOutput, labels: Tensor, shift: int, settle_steps: int, weight: float
) -> SiameseLoss:
    """Regression of both branches, and `weight` times their consistency (0 keeps it out of the gradient).

    The branches saw the first and the last T steps of a clip; labels: N x (T + shift) x 2, of the whole clip.
    """
    regression = (regression_loss(earlier, labels[:, :-shift]) + regression_loss(later, labels[:, shift:])) / 2
    consistency = consistency_loss(earlier.affect, later.affect, shift, settle_steps)
    return SiameseLoss(regression + weight * consistency if weight else regression, regression, consistency)

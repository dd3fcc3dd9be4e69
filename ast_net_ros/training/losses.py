"""What stage 2 minimises: regression of both Siamese branches and their consistency.

All tensors are N x T x 2, last axis (valence, arousal). A moment whose truth holds NaN has no label and is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ast_net_ros.model.network import AffectOutput


def concordance(predicted: Tensor, truth: Tensor) -> Tensor:
    """Concordance correlation coefficient (Lin 1989) over everything but the last axis; 2 values in [-1, 1]."""
    p, t = predicted.flatten(0, -2), truth.flatten(0, -2)
    p_mean, t_mean = p.mean(dim=0), t.mean(dim=0)
    covariance = ((p - p_mean) * (t - t_mean)).mean(dim=0)
    spread = (p - p_mean).square().mean(dim=0) + (t - t_mean).square().mean(dim=0)
    return 2 * covariance / (spread + (p_mean - t_mean).square() + 1e-8)


def regression_loss(output: AffectOutput, truth: Tensor) -> Tensor:
    """1 - CCC, plus squared error, plus the negative log likelihood by which sigma learns the size of the errors.

    The likelihood's error is detached: a doubtful face must not be learnt less well for being doubtful.
    """
    labelled = torch.isfinite(truth).all(dim=-1)
    if not bool(labelled.any()):
        return 0.0 * (output.affect.sum() + output.sigma.sum())
    affect, sigma, truth = output.affect[labelled], output.sigma[labelled], truth[labelled]
    error = affect - truth
    likelihood = (error.detach() / sigma).square() / 2 + torch.log(sigma)
    return (1 - concordance(affect, truth)).mean() + error.square().mean() + 0.1 * likelihood.mean()


def consistency_loss(earlier: Tensor, later: Tensor, shift: int, settle: int) -> Tensor:
    """Mean squared difference of two branches where their clips overlap.

    earlier, later: affect of clips of equal length, `later` beginning `shift` steps after `earlier`.
    settle: steps after a branch's cold start in which it is not yet asked to consistency.
    """
    return (earlier[:, shift + settle :] - later[:, settle : later.shape[1] - shift]).square().mean()

"""Knowledge distillation and mixup for stage 1.

Hinton et al. 2015 (arXiv:1503.02531); Zhang et al. 2018, mixup (arXiv:1710.09412).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ast_net_ros.model.network import DiscreteEmotionCNN, standardise

_CONTRAST = 64.0  # grey values; of the standardised chips that mixup returns, so that the network's own step keeps them


@torch.no_grad()
def teacher_probabilities(teachers: Sequence[DiscreteEmotionCNN], chips: Tensor, generator: torch.Generator) -> Tensor:
    """Ask trained CNNs for the emotions of the chips that the student sees, augmented and blended as they are.

    Each teacher sees the chips or, chosen at random, their mirror images, so that the student learns the mean of both.
    Teacher and student see the same view (Beyer et al. 2022, arXiv:2106.05237).

    Args:
        teachers: At least one, in evaluation mode, on the device of `chips`.
        chips: N x 1 x S x S.
        generator: Of the training step.

    Returns:
        N x 8 probabilities, averaged over the teachers.
    """
    mirrored = (torch.rand(len(teachers), generator=generator) < 0.5).tolist()
    views = [chips.flip(3) if flip else chips for flip in mirrored]
    return torch.stack([teacher(view)[1].float().softmax(dim=1) for teacher, view in zip(teachers, views)]).mean(dim=0)


def mixup(chips: Tensor, targets: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Blend every chip and its target with those of another face of the batch, all with one weight.

    The chips are standardised first, so that a bright face does not outweigh a dark one. `alpha` is that of the Beta
    distribution which the weight is sampled from.
    """
    seed = int(torch.randint(1 << 31, (), generator=generator))
    weight = float(np.random.default_rng(seed).beta(alpha, alpha))
    other = torch.randperm(len(chips), generator=generator).to(chips.device)
    even = standardise(chips)
    blended = _CONTRAST * torch.lerp(even[other], even, weight)
    return blended, torch.lerp(targets[other], targets, weight)

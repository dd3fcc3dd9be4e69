"""Knowledge distillation and mixup for stage 1.

Hinton et al. 2015 (arXiv:1503.02531); Zhang et al. 2018, mixup (arXiv:1710.09412).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ast_net_ros.model.network import DiscreteEmotionCNN, standardise
from ast_net_ros.training.data.faces import Faces

_CONTRAST = 64.0  # grey values; of the standardised chips that mixup returns, so that the network's own step keeps them


def teacher_probabilities(teachers: Sequence[DiscreteEmotionCNN], faces: Faces, device: str = "cpu") -> Tensor:
    """Ask trained CNNs for the emotions of each face, averaged over them and over its mirror image.

    Args:
        teachers: At least one.
        faces: N faces.
        device: "cpu", "cuda" or "cuda:N".

    Returns:
        2 x N x 8 probabilities of the aligned chips and of the unaligned images.
    """
    return torch.stack([_one_teacher(teacher, faces, device) for teacher in teachers]).mean(dim=0)


@torch.inference_mode()
def _one_teacher(teacher: DiscreteEmotionCNN, faces: Faces, device: str) -> Tensor:
    teacher.eval().to(device)
    parts = []
    for images in (faces.chips, faces.images):
        batches = torch.from_numpy(np.ascontiguousarray(images)).unsqueeze(1).split(256)
        parts.append(
            torch.cat(
                [
                    (_probabilities(teacher, batch.to(device)) + _probabilities(teacher, batch.flip(3).to(device))) / 2
                    for batch in tqdm(batches, "asking the teacher", unit="batch")
                ]
            )
        )
    return torch.stack(parts)


def _probabilities(teacher: DiscreteEmotionCNN, chips: Tensor) -> Tensor:
    return teacher(chips)[1].float().softmax(dim=1).cpu()


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

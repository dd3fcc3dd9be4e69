"""Several sources of clips as one.

In: what draws clips, with a weight each. Out: one that draws from all of them, in shares that follow the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ast_net_ros.training.stage2 import ClipSampler


def same_look(draw: ClipSampler) -> ClipSampler:
    """`draw` for Siamese branches that each want a look of their own, where a recording offers only one."""

    def twice(count: int, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        features, labels = draw(count, steps, generator)
        return torch.stack([features, features]), labels

    return twice


def mixture(sources: Sequence[tuple[ClipSampler, float]]) -> ClipSampler:
    """A batch holds clips of every source, their number random with the weights' shares."""
    if len(sources) == 1:
        return sources[0][0]
    weights = torch.tensor([weight for _, weight in sources])

    def draw(count: int, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator)
        parts = [
            source(number, steps, generator)
            for (source, _), number in zip(sources, chosen.bincount(minlength=len(sources)).tolist())
            if number
        ]
        features, labels = zip(*parts)
        return torch.cat(features, dim=-3), torch.cat(labels)

    return draw

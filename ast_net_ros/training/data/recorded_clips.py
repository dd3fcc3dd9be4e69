"""Batches of clips drawn from real recordings.

In: unbroken clips on model steps. Out: what training asks for, features (or chips) and labels of so many clips of one
length.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ast_net_ros.training.data.faces import DataError
from ast_net_ros.training.data.recordings import StepClip


class RecordedClips:
    """Draws pieces of recordings, every recording as often as it is long.

    A clip shorter than the piece asked for is shown whole, and its last moment goes on without labels (NaN).
    """

    def __init__(self, clips: Sequence[StepClip]):
        if not clips:
            raise DataError("no clip to learn from; is every recording of this split left out?")
        self._features = [torch.from_numpy(clip.features) for clip in clips]
        self._labels = [torch.from_numpy(clip.labels).float() for clip in clips]
        self._weights = torch.tensor([float(len(clip.features)) for clip in clips])

    def draw(self, count: int, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """features: count x steps x F (chips: x S x S); labels: count x steps x 2, NaN where there is none."""
        chosen = torch.multinomial(self._weights, count, replacement=True, generator=generator).tolist()
        places = torch.rand(count, generator=generator).tolist()
        features, labels = zip(*(self._piece(clip, place, steps) for clip, place in zip(chosen, places)))
        return torch.stack(features), torch.stack(labels)

    def _piece(self, clip: int, place: float, steps: int) -> tuple[Tensor, Tensor]:
        features, labels = self._features[clip], self._labels[clip]
        begin = int(place * (max(0, len(features) - steps) + 1))
        features, labels = features[begin : begin + steps], labels[begin : begin + steps]
        lacking = steps - len(features)
        if lacking:
            features = torch.cat([features, features[-1:].expand(lacking, *features.shape[1:])])
            labels = torch.cat([labels, labels.new_full((lacking, 2), torch.nan)])
        return features, labels

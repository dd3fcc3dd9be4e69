"""What a training step sees: faces in stage 1, batches of labelled clips in stage 2.

Every sampler takes its randomness from the generator it is given, so that a resumed run sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ast_net_ros.rating_files import DataError
from ast_net_ros.training.augmentation import augment
from ast_net_ros.training.data.recordings import StepClip

AUGMENTATION_STRENGTH = 0.4
"""Strength of `augment` that matches how much the chip of a tracked face changes from one frame to the next."""


class ClipBatch(NamedTuple):
    """N labelled clips of T model steps, as both Siamese branches see them."""

    inputs: Tensor  # N x T x F features or N x T x S x S chips
    labels: Tensor  # N x T x 2 (valence, arousal), NaN where there is none
    second_view: Tensor | None = None  # the same moments under an augmentation of their own, for the second branch

    def views(self) -> tuple[Tensor, Tensor]:
        """Return the inputs of the first and of the second branch."""
        return self.inputs, self.inputs if self.second_view is None else self.second_view

    def to(self, device: torch.device) -> ClipBatch:
        """Return this batch on `device`."""
        second = None if self.second_view is None else self.second_view.to(device)
        return ClipBatch(self.inputs.to(device), self.labels.to(device), second)


ClipSampler = Callable[[int, int, torch.Generator], ClipBatch]
"""(number of clips, model steps of each, generator) -> a batch."""


def recorded_clip_sampler(clips: Sequence[StepClip]) -> ClipSampler:
    """Sample pieces of real recordings, each recording in proportion to its length.

    A clip shorter than the piece asked for is taken whole; its last step is repeated without labels (NaN).
    """
    if not clips:
        raise DataError("no clip to train on: every recording of this split was left out")
    weights = torch.tensor([float(len(clip.inputs)) for clip in clips])

    def sample(count: int, steps: int, generator: torch.Generator) -> ClipBatch:
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator).tolist()
        places = torch.rand(count, generator=generator).tolist()
        inputs, labels = zip(*(_piece(clips[clip], place, steps) for clip, place in zip(chosen, places)))
        return ClipBatch(torch.stack(inputs), torch.stack(labels))

    return sample


def _piece(clip: StepClip, place: float, steps: int) -> tuple[Tensor, Tensor]:
    first = int(place * (max(0, len(clip.inputs) - steps) + 1))
    inputs = torch.from_numpy(clip.inputs[first : first + steps])
    labels = torch.from_numpy(clip.labels[first : first + steps]).float()
    missing = steps - len(inputs)
    if missing:
        inputs = torch.cat([inputs, inputs[-1:].expand(missing, *inputs.shape[1:])])
        labels = torch.cat([labels, labels.new_full((missing, 2), torch.nan)])
    return inputs, labels


def independent_augmentation(sampler: ClipSampler) -> ClipSampler:
    """Augment the chips of `sampler` twice, once for each Siamese branch; float in place of uint8."""

    def sample(count: int, steps: int, generator: torch.Generator) -> ClipBatch:
        batch = sampler(count, steps, generator)
        chips = batch.inputs.flatten(0, 1).unsqueeze(1).float()
        first, second = (
            augment(chips, generator, AUGMENTATION_STRENGTH).squeeze(1).unflatten(0, (count, steps)) for _ in range(2)
        )
        return ClipBatch(first, batch.labels, second)

    return sample


def delayed_labels(sampler: ClipSampler, delays: Sequence[int]) -> ClipSampler:
    """Delay the labels of each clip by one of `delays` (model steps, at least 0), as raters do who react late."""
    if not any(delays):
        return sampler
    longest, choices = max(delays), torch.tensor(delays)

    def sample(count: int, steps: int, generator: torch.Generator) -> ClipBatch:
        batch = sampler(count, steps + longest, generator)
        delay = choices[torch.randint(len(choices), (count, 1), generator=generator)]
        places = (torch.arange(steps) + longest - delay).unsqueeze(-1).expand(count, steps, 2)
        second = None if batch.second_view is None else batch.second_view[:, longest:]
        return ClipBatch(batch.inputs[:, longest:], batch.labels.gather(1, places), second)

    return sample


def mixture(sources: Sequence[tuple[ClipSampler, float]]) -> ClipSampler:
    """Combine samplers of one kind of input, each with its weight: its expected share of a batch."""
    if len(sources) == 1:
        return sources[0][0]
    weights = torch.tensor([weight for _, weight in sources])

    def sample(count: int, steps: int, generator: torch.Generator) -> ClipBatch:
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator)
        numbers = chosen.bincount(minlength=len(sources)).tolist()
        parts = [source(number, steps, generator) for (source, _), number in zip(sources, numbers) if number]
        inputs, labels = torch.cat([part.inputs for part in parts]), torch.cat([part.labels for part in parts])
        if all(part.second_view is None for part in parts):
            return ClipBatch(inputs, labels)
        return ClipBatch(inputs, labels, torch.cat([part.views()[1] for part in parts]))

    return sample


def rarity_weights(targets: Tensor, exponent: float) -> Tensor:
    """Weight each face for sampling: the mean of (largest share / own share) ** exponent over its emotions.

    targets: N x 8 vote distributions, all zero (and so the weight) where a face carries no target. exponent: 0 samples
    all faces equally often, 1 all emotions.
    """
    share = targets.double().sum(dim=0)
    rarity = (share.max() / share.clamp(min=1)) ** exponent
    return targets.double() @ rarity


def weighted_order(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Sample `count` indices in proportion to `weights`, in random order.

    Systematic sampling: an index comes as often as its expected number says, rounded down or up; with equal weights and
    count = N each comes exactly once.
    """
    ends = torch.cumsum(weights * (count / weights.sum()), dim=0)
    ends[-1] = count
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    sampled = torch.searchsorted(ends, torch.arange(count, dtype=torch.float64) + offset, right=True)
    return sampled[torch.randperm(count, generator=generator)]

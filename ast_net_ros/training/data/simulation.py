"""Simulated recordings: faces that follow a trajectory in the valence-arousal plane, as features with labels.

In: attribute features of many faces, each in several augmented versions, and the position of each face in the plane.
Out: batches of feature sequences, one entry per model step, with the valence and arousal of every step.

A trajectory moves as continuous annotation does (Ornstein-Uhlenbeck with holds). At irregular moments a face near the
trajectory is sampled; in between, the features are interpolated from one face to the next and the label with them, so
that label and face always match. A recording shows one person: a part of what the emotion does not explain of a face
stays for long (`identity_share`). Steps show differently augmented versions of the face, and now and then the face is
missed.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ast_net_ros.label_statistics import LabelStatistics, Pair
from ast_net_ros.model.network import DiscreteEmotionCNN
from ast_net_ros.training.augmentation import augment
from ast_net_ros.training.checkpoint import state_digest
from ast_net_ros.training.data.affect_map import FITTED_MAP, soften
from ast_net_ros.training.data.array_cache import cached_arrays
from ast_net_ros.training.data.faces import Faces, vote_distribution
from ast_net_ros.training.data.samplers import AUGMENTATION_STRENGTH, ClipBatch

VOTE_SHARE = 0.5
"""Weight of the raters' votes in a face's target; the rest is what the CNN sees, which grades each expression."""


class AffectEvent(NamedTuple):
    """A short departure from the trajectory: its largest changes, and seconds until they are reached, held and over."""

    valence: float
    arousal: float
    rise: float
    hold: float
    fall: float


AFFECT_EVENTS = {
    "startle": AffectEvent(0.0, 0.6, 0.4, 0.8, 2.0),
    "tension": AffectEvent(-0.5, 0.5, 3.0, 6.0, 4.0),
    "tiredness": AffectEvent(-0.2, -0.6, 6.0, 8.0, 5.0),
    "laughter": AffectEvent(0.6, 0.5, 0.6, 2.5, 3.0),
}
"""Project's choice, by how these pass on a face."""


@dataclass(frozen=True)
class Simulation:
    """The statistics of simulated recordings; "measured" means in the annotation of 236 recordings."""

    step_seconds: float = 0.2  # length of a model step
    correlation_seconds: tuple[float, float] = (12.0, 25.0)  # until the correlation falls to 1/e (measured)
    mean_spread: float = 0.30  # standard deviation of the recordings' means (measured)
    spread: float = 0.14  # standard deviation within a recording (measured)
    # Recordings with wide, faster movement, which annotation of mostly calm conversation lacks and a robot meets.
    expressive_share: float = 0.5
    expressive_spread: float = 0.45
    expressive_correlation_seconds: tuple[float, float] = (2.0, 10.0)
    still_share: float = 0.6  # of steps without change
    stretch_seconds: float = 3.0  # mean time from one sampled face to the next
    nearest: int = 48  # faces that the next one is chosen from
    event_rate: float = 0.04  # per second
    miss_rate: float = 0.05  # of the face, per second
    miss_seconds: float = 1.0  # at most
    # Share of the variation unexplained by valence and arousal that stays with a person (measured on 51 people, each
    # neutral and smiling: correlation 0.23), and its mean duration.
    identity_share: float = 0.25
    identity_seconds: float = 60.0
    held_share: float = 0.5  # of steps that show a slow change (light, blur, pose) instead of a fresh version (jitter)
    held_seconds: float = 4.0  # its mean duration
    # Correlation time and spread (valence, arousal) of real recordings, of which each simulated one takes one's, in
    # place of the calm and expressive ones above; see `measured_simulation`.
    measured: tuple[tuple[Pair, Pair], ...] = ()


def measured_simulation(statistics: LabelStatistics, step_seconds: float) -> Simulation:
    """Make simulated recordings move as real ratings do: no faster and no wider, and without events of their own."""
    correlation = torch.tensor(statistics.correlation_seconds)
    return Simulation(
        step_seconds=step_seconds,
        mean_spread=statistics.mean_spread,
        still_share=min(statistics.still_share, 0.95),  # beyond, movement would be a few jumps
        stretch_seconds=min(Simulation.stretch_seconds, float(correlation.median()) / 4),  # as in the defaults
        event_rate=0.0,
        measured=tuple(zip(statistics.correlation_seconds, statistics.spread)),
    )


class SimulatedRecordings:
    """Samples recordings of N faces: V augmented versions of each (N x V x F), and their targets (N x 2)."""

    def __init__(self, features: Tensor, targets: Tensor, simulation: Simulation | None = None):
        self.features, self.targets = features, targets
        self.simulation = simulation or Simulation()
        self._lowest = features.amin(dim=(0, 1))  # the network's features are never negative
        self._residuals = unexplained_variation(features.mean(dim=1), targets)

    def sample(self, count: int, steps: int, generator: torch.Generator) -> ClipBatch:
        """Sample `count` recordings of `steps` model steps (a `ClipSampler`)."""
        return self._sample(1, count, steps, generator)

    def sample_two_views(self, count: int, steps: int, generator: torch.Generator) -> ClipBatch:
        """As `sample`, with a second view: the same faces under jitter, light and blur of its own."""
        return self._sample(2, count, steps, generator)

    def _sample(self, views: int, count: int, steps: int, generator: torch.Generator) -> ClipBatch:
        wanted, keyframes = self._with_events(self.trajectories(count, steps, generator), generator)
        faces, weight = self._faces_along(wanted, keyframes, generator)
        weight = weight.unsqueeze(-1)
        parts = []
        for _ in range(views):
            before, after = (self.features[face, self.versions(count, steps, generator)] for face in faces)
            parts.append(torch.lerp(before, after, weight))
        residual = torch.lerp(self._residuals[faces[0]], self._residuals[faces[1]], weight)
        labels = torch.lerp(self.targets[faces[0]], self.targets[faces[1]], weight)
        # Identity and misses belong to the person and the moment: they are the same in every view.
        features = self._with_identity(torch.stack(parts, dim=-2), residual.unsqueeze(-2), generator)
        first, *second = self.miss(features.flatten(-2), generator).unflatten(-1, (views, -1)).unbind(dim=-2)
        return ClipBatch(first, labels, *second)

    def trajectories(self, count: int, steps: int, generator: torch.Generator) -> Tensor:
        """Sample positions in the valence-arousal plane: count x steps x 2 in [-1, 1]."""
        s = self.simulation
        correlation, spread = self._tempos(count, generator)
        keep = torch.exp(-s.step_seconds / (1 - s.still_share) / correlation).clamp(max=0.999)
        mean = s.mean_spread * torch.randn(count, 2, generator=generator)
        position = spread * torch.randn(count, 2, generator=generator)
        positions = []
        for _ in range(steps):
            still = torch.rand(count, 1, generator=generator) < s.still_share
            moved = keep * position + spread * torch.sqrt(1 - keep**2) * torch.randn(count, 2, generator=generator)
            position = torch.where(still, position, moved)
            positions.append(position)
        return (torch.stack(positions, dim=1) + mean.unsqueeze(1)).clamp(-1, 1)

    def _tempos(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sample correlation times in seconds and spreads: count x 1 for both dimensions, or count x 2."""
        s = self.simulation
        if s.measured:
            chosen = torch.tensor(s.measured)[torch.randint(len(s.measured), (count,), generator=generator)]
            return chosen[:, 0], chosen[:, 1]
        expressive = torch.rand(count, 1, generator=generator) < s.expressive_share
        low, high = (
            torch.where(expressive, quick, calm)
            for quick, calm in zip(s.expressive_correlation_seconds, s.correlation_seconds)
        )
        correlation = low + (high - low) * torch.rand(count, 1, generator=generator)
        return correlation, torch.where(expressive, s.expressive_spread, s.spread)

    def _with_events(self, wanted: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Add events to trajectories (count x steps x 2); also which steps (count x steps) need a face of their own."""
        s = self.simulation
        count, steps, _ = wanted.shape
        wanted, keyframes = wanted.clone(), torch.zeros(count, steps, dtype=torch.bool)
        events = list(AFFECT_EVENTS.values())
        begins = torch.rand(count, steps, generator=generator) < s.event_rate * s.step_seconds
        for recording, begin in begins.nonzero().tolist():
            event = events[int(torch.randint(len(events), (1,), generator=generator))]
            strength = 0.6 + 0.6 * float(torch.rand(1, generator=generator))
            peak, end = event.rise + event.hold, event.rise + event.hold + event.fall
            seconds = torch.arange(min(steps - begin, math.ceil(end / s.step_seconds))) * s.step_seconds
            course = (seconds / event.rise).clamp(max=1) * ((end - seconds) / event.fall).clamp(0, 1)
            change = torch.tensor([event.valence, event.arousal]) * strength
            wanted[recording, begin : begin + len(course)] += course.unsqueeze(1) * change
            for moment in (0.0, event.rise, peak, end):
                keyframes[recording, min(begin + round(moment / s.step_seconds), steps - 1)] = True
        return wanted.clamp(-1, 1), keyframes

    def _faces_along(self, wanted: Tensor, keyframes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """For every step the faces before and after it (2 x count x steps), and the weight of the one after it."""
        s = self.simulation
        count, steps, _ = wanted.shape
        sampled = keyframes | (torch.rand(count, steps, generator=generator) < s.step_seconds / s.stretch_seconds)
        sampled[:, 0] = sampled[:, -1] = True
        where = sampled.nonzero()
        near = torch.cdist(wanted[sampled], self.targets).topk(min(s.nearest, len(self.targets)), largest=False).indices
        pick = torch.randint(near.shape[1], (len(near), 1), generator=generator)
        chosen = near.gather(1, pick).squeeze(1)
        order = sampled.long().cumsum(dim=1) - 1  # index of the last sample at or before each step, in its recording
        first = torch.searchsorted(where[:, 0].contiguous(), torch.arange(count)).unsqueeze(1)
        before = first + order
        after = torch.where(order < sampled.sum(dim=1, keepdim=True) - 1, before + 1, before)
        begin, end = where[before, 1], where[after, 1]
        passed = (torch.arange(steps) - begin) / (end - begin).clamp(min=1)
        # A face rests in its expression and changes in the middle of the stretch.
        glide = ((passed - 0.5) / torch.empty(count, 1).uniform_(0.2, 1.0, generator=generator) + 0.5).clamp(0, 1)
        return torch.stack([chosen[before], chosen[after]]), 0.5 - 0.5 * torch.cos(math.pi * glide)

    def versions(self, count: int, steps: int, generator: torch.Generator) -> Tensor:
        """Sample which augmented version each step shows: count x steps indices, some held for a while, some fresh."""
        s, choices = self.simulation, self.features.shape[1]
        held = _held(count, steps, s.step_seconds / s.held_seconds, choices, generator)
        fresh = torch.randint(choices, (count, steps), generator=generator)
        return torch.where(torch.rand(count, steps, generator=generator) < s.held_share, held, fresh)

    def _with_identity(self, features: Tensor, residual: Tensor, generator: torch.Generator) -> Tensor:
        """Replace part of the faces' residual variation by that of one person; the amount of variation stays.

        features: count x steps x views x F; residual: count x steps x 1 x F.
        """
        s = self.simulation
        count, steps = features.shape[:2]
        person = _held(count, steps, s.step_seconds / s.identity_seconds, len(self._residuals), generator)
        stays, passes = math.sqrt(s.identity_share), math.sqrt(1 - s.identity_share)
        mixed = features + (passes - 1) * residual + stays * self._residuals[person].unsqueeze(-2)
        return torch.maximum(mixed, self._lowest)

    def miss(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Repeat earlier features (count x steps x F) where the face is missed, as the running pipeline does."""
        s = self.simulation
        count, steps, _ = features.shape
        longest = max(1, round(s.miss_seconds / s.step_seconds))
        index = torch.arange(steps).expand(count, steps).clone()
        begins = torch.rand(count, steps, generator=generator) < s.miss_rate * s.step_seconds
        for recording, begin in begins.nonzero().tolist():
            length = int(torch.randint(1, longest + 1, (1,), generator=generator))
            index[recording, begin : begin + length] = index[recording, max(0, begin - 1)]
        return features.gather(1, index.unsqueeze(-1).expand_as(features))


def unexplained_variation(features: Tensor, targets: Tensor) -> Tensor:
    """What valence and arousal (N x 2 targets) do not explain of each face's features (N x F): N x F residuals.

    The explained part is a polynomial of the fourth degree, fitted by least squares.
    """
    valence, arousal = targets.double().unbind(dim=1)
    terms = torch.stack([valence**i * arousal**j for i in range(5) for j in range(5 - i)], dim=1)
    # With few faces, or faces that all lie in one place, only the ridge makes this solvable.
    ridge = 1e-3 * len(terms) * torch.eye(terms.shape[1], dtype=torch.float64)
    explained = terms @ torch.linalg.solve(terms.T @ terms + ridge, terms.T @ features.double())
    return (features - explained).to(features.dtype)


def _held(count: int, steps: int, change_rate: float, choices: int, generator: torch.Generator) -> Tensor:
    """Random indices (count x steps) below `choices`, each held until it changes, at `change_rate` per step."""
    sampled = torch.randint(choices, (count, steps), generator=generator)
    changes = torch.rand(count, steps, generator=generator) < change_rate
    changes[:, 0] = True
    since = torch.where(changes, torch.arange(steps).expand(count, steps), 0).cummax(dim=1).values
    return sampled.gather(1, since)


def simulate_recordings(
    cnn: DiscreteEmotionCNN,
    faces: Faces,
    versions: int,
    seed: int,
    simulation: Simulation | None = None,
    cache: Path | None = None,
    vote_share: float = VOTE_SHARE,
) -> SimulatedRecordings:
    """Encode faces with votes that the detector found, without duplicates, and make simulated recordings of them.

    Args:
        cnn: Encodes the faces.
        faces: Labelled faces.
        versions: Augmented versions of each face.
        seed: Seed of the augmentation.
        simulation: Statistics of the recordings.
        cache: Folder in which the features are kept.
        vote_share: Weight of the raters' votes in the targets. 1 for metrics and calibration, which must not depend on
            what the CNN itself sees.
    """
    votes = vote_distribution(faces.votes)
    chosen = np.flatnonzero((votes.sum(axis=1) > 0) & faces.found & ~faces.duplicate)
    chips = faces.chips[chosen]
    key = hashlib.sha256(f"{versions} {seed} {state_digest(cnn)}".encode() + chips.tobytes()).hexdigest()
    path = cache / f"faces-{key[:16]}.npz" if cache else None
    made = cached_arrays(path, key, lambda: {"features": augmented_features(cnn, chips, versions, seed).numpy()})
    features = torch.from_numpy(made["features"])
    return SimulatedRecordings(features, face_targets(cnn, features, votes[chosen], vote_share), simulation)


@torch.inference_mode()
def face_targets(
    cnn: DiscreteEmotionCNN, features: Tensor, votes: np.ndarray, vote_share: float = VOTE_SHARE
) -> Tensor:
    """Give each face its valence and arousal, from the raters' votes and from what the CNN sees in it.

    features: N x V x F, V augmented versions of each face; votes: N x 8 shares; the result: N x 2 in [-1, 1].
    """
    cnn.eval()
    head = next(cnn.emotions.parameters())
    logits = cnn.emotions(features.mean(dim=1).to(head.device)).cpu().numpy()
    weights = vote_share * votes + (1 - vote_share) * soften(logits, FITTED_MAP.temperature)
    return torch.from_numpy(FITTED_MAP.of_weights(weights, logits)).float()


@torch.inference_mode()
def augmented_features(cnn: DiscreteEmotionCNN, chips: np.ndarray, versions: int, seed: int) -> Tensor:
    """Encode augmented versions of N x S x S chips, as far apart as a tracked face jitters: N x versions x F."""
    cnn.eval()
    device = next(cnn.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for batch in tqdm(torch.from_numpy(chips).unsqueeze(1).split(256), desc="encoding faces", unit="batch"):
        augmented = (augment(batch.to(device).float(), generator, AUGMENTATION_STRENGTH) for _ in range(versions))
        parts.append(torch.stack([cnn(chip)[0].cpu() for chip in augmented], dim=1))
    return torch.cat(parts)

"""Simulated recordings: faces that follow a trajectory in the valence-arousal plane, as features with labels.

In: cached attribute features of many faces, each in several disturbed versions, and where each face lies in the
plane. Out: batches of feature sequences, one entry a model step, with the valence and arousal of every step.

A trajectory wanders as continuous annotation does (Ornstein-Uhlenbeck with holds). At irregular moments a face near
the trajectory is drawn; in between, the features glide from one face to the next and the label with them, so that label
and face always agree. A recording shows one person: of what the emotion does not explain of a face, a part stays for
long stretches (`identity_share`). Steps show differently disturbed versions of the face, and now and then none.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from ast_net_ros.model.network import DiscreteEmotionCNN
from ast_net_ros.training.augmentation import augment
from ast_net_ros.training.data.faces import Faces, vote_distribution

EMOTION_COORDINATES = np.array(
    [
        [0.00, -0.30],  # neutral
        [0.81, 0.51],  # happiness
        [0.40, 0.67],  # surprise
        [-0.63, -0.25],  # sadness
        [-0.51, 0.59],  # anger
        [-0.60, 0.35],  # disgust
        [-0.64, 0.60],  # fear
        [-0.55, 0.00],  # contempt
    ],
    np.float32,
)
"""Valence and arousal of each emotion, in the order of EMOTIONS.

Russell and Mehrabian 1977 for the words, with three departures. Neutral: arousal -0.30 instead of 0, since raters of
pictured faces find the neutral face the least aroused of all. Sadness: -0.25 instead of -0.27, so that it does not
lie below neutral's neighbourhood. Contempt: this project's choice (Labs et al. 2015 measured 0.01 for its arousal).
"""

AUGMENTATION_STRENGTH = 0.4
"""Of the augmentation, for what a tracked face does to its chip from one look to the next."""


@dataclass(frozen=True)
class Simulation:
    """The statistics of simulated recordings.

    correlation_seconds: quartile-like range of the trajectory's time to 1/e (annotation of 236 recordings: 12 to 25).
    mean_spread, spread: standard deviation of recordings' means and inside a recording (0.30 and 0.14 measured).
    expressive_share, expressive_spread: recordings with wide, quicker movement, which annotation of mostly
        calm conversation lacks and a robot meets. still_share: of steps without change.
    stretch_seconds: mean time from one drawn face to the next. miss_rate: a second; miss_seconds: how long at most.
    identity_share: how much of the variation that valence and arousal do not explain stays with a person (measured on
        51 people, each neutral and smiling: correlation 0.23). identity_seconds: mean time until another person comes.
    held_share: of steps that show the version of a slow change (light, blur, pose) instead of a fresh one (jitter);
        held_seconds: mean time until that changes.
    """

    step_seconds: float = 0.2
    correlation_seconds: tuple[float, float] = (12.0, 25.0)
    mean_spread: float = 0.30
    spread: float = 0.14
    expressive_share: float = 0.5
    expressive_spread: float = 0.45
    expressive_correlation_seconds: tuple[float, float] = (2.0, 10.0)
    still_share: float = 0.6
    stretch_seconds: float = 3.0
    nearest: int = 48
    miss_rate: float = 0.05
    miss_seconds: float = 1.0
    identity_share: float = 0.25
    identity_seconds: float = 60.0
    held_share: float = 0.5
    held_seconds: float = 4.0


class SimulatedRecordings:
    """Draws recordings from faces: features N x V x F (V disturbed versions of each) and targets N x 2."""

    def __init__(self, features: Tensor, targets: Tensor, simulation: Simulation | None = None):
        self.features, self.targets = features, targets
        self.simulation = simulation or Simulation()
        self._lowest = features.amin(dim=(0, 1))  # the network's features are never negative
        self._own = own_variation(features.mean(dim=1), targets)

    def draw(self, count: int, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` recordings of `steps` model steps: features (count x steps x F) and labels (count x steps x 2)."""
        features, labels = self._draw(1, count, steps, generator)
        return features[0], labels

    def sample_with_augmentation(self, count: int, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As `draw`, but looked at twice with jitter, light and blur of its own: features are 2 x count x steps x F."""
        return self._draw(2, count, steps, generator)

    def _draw(self, looks: int, count: int, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        wanted = self.trajectories(count, steps, generator)
        faces, weight = self._faces_along(wanted, generator)
        weight = weight.unsqueeze(-1)
        seen = []
        for _ in range(looks):
            before, after = (self.features[face, self.versions(count, steps, generator)] for face in faces)
            seen.append(torch.lerp(before, after, weight))
        own = torch.lerp(self._own[faces[0]], self._own[faces[1]], weight)
        labels = torch.lerp(self.targets[faces[0]], self.targets[faces[1]], weight)
        # What belongs to the person and to the moment, identity and misses, is the same in every look.
        features = self._with_identity(torch.stack(seen, dim=-2), own.unsqueeze(-2), generator)
        return self.miss(features.flatten(-2), generator).unflatten(-1, (looks, -1)).movedim(-2, 0), labels

    def trajectories(self, count: int, steps: int, generator: torch.Generator) -> Tensor:
        """count x steps x 2 wanted positions."""
        s = self.simulation
        expressive = torch.rand(count, 1, generator=generator) < s.expressive_share
        low, high = (
            torch.where(expressive, quick, calm)
            for quick, calm in zip(s.expressive_correlation_seconds, s.correlation_seconds)
        )
        correlation = low + (high - low) * torch.rand(count, 1, generator=generator)
        spread = torch.where(expressive, s.expressive_spread, s.spread)
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

    def _faces_along(self, wanted: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """For every step the face before and the face after it (2 x count x steps) and how far between them it lies."""
        s = self.simulation
        count, steps, _ = wanted.shape
        drawn = torch.rand(count, steps, generator=generator) < s.step_seconds / s.stretch_seconds
        drawn[:, 0] = drawn[:, -1] = True
        where = drawn.nonzero()
        near = torch.cdist(wanted[drawn], self.targets).topk(min(s.nearest, len(self.targets)), largest=False).indices
        pick = torch.randint(near.shape[1], (len(near), 1), generator=generator)
        chosen = near.gather(1, pick).squeeze(1)
        order = drawn.long().cumsum(dim=1) - 1  # index of the last draw at or before each step, within its recording
        first = torch.searchsorted(where[:, 0].contiguous(), torch.arange(count)).unsqueeze(1)
        before = first + order
        after = torch.where(order < drawn.sum(dim=1, keepdim=True) - 1, before + 1, before)
        begin, end = where[before, 1], where[after, 1]
        passed = (torch.arange(steps) - begin) / (end - begin).clamp(min=1)
        # A face rests in its expression, then moves within the middle of the stretch.
        glide = ((passed - 0.5) / torch.empty(count, 1).uniform_(0.2, 1.0, generator=generator) + 0.5).clamp(0, 1)
        return torch.stack([chosen[before], chosen[after]]), 0.5 - 0.5 * torch.cos(math.pi * glide)

    def versions(self, count: int, steps: int, generator: torch.Generator) -> Tensor:
        """count x steps indices of disturbed versions: some held for a while, some fresh."""
        s, choices = self.simulation, self.features.shape[1]
        held = _held(count, steps, s.step_seconds / s.held_seconds, choices, generator)
        fresh = torch.randint(choices, (count, steps), generator=generator)
        return torch.where(torch.rand(count, steps, generator=generator) < s.held_share, held, fresh)

    def _with_identity(self, features: Tensor, own: Tensor, generator: torch.Generator) -> Tensor:
        """Part of the shown faces' own variation replaced by that of one person; the amount of variation stays.

        features: count x steps x looks x F; own: count x steps x 1 x F.
        """
        s = self.simulation
        count, steps = features.shape[:2]
        person = _held(count, steps, s.step_seconds / s.identity_seconds, len(self._own), generator)
        stays, passes = math.sqrt(s.identity_share), math.sqrt(1 - s.identity_share)
        return torch.maximum(features + (passes - 1) * own + stays * self._own[person].unsqueeze(-2), self._lowest)

    def miss(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Steps in which the face is not seen repeat the features before, as the running pipeline does."""
        s = self.simulation
        count, steps, _ = features.shape
        longest = max(1, round(s.miss_seconds / s.step_seconds))
        index = torch.arange(steps).expand(count, steps).clone()
        begins = torch.rand(count, steps, generator=generator) < s.miss_rate * s.step_seconds
        for recording, begin in begins.nonzero().tolist():
            length = int(torch.randint(1, longest + 1, (1,), generator=generator))
            index[recording, begin : begin + length] = index[recording, max(0, begin - 1)]
        return features.gather(1, index.unsqueeze(-1).expand_as(features))


def own_variation(features: Tensor, targets: Tensor) -> Tensor:
    """N x F: what of each face's features (N x F) its place in the plane (N x 2) does not explain.

    The explained part is a polynomial of the fourth degree, fitted by least squares.
    """
    valence, arousal = targets.double().unbind(dim=1)
    terms = torch.stack([valence**i * arousal**j for i in range(5) for j in range(5 - i)], dim=1)
    # The ridge keeps few faces, or faces that all lie in one place, solvable.
    ridge = 1e-3 * len(terms) * torch.eye(terms.shape[1], dtype=torch.float64)
    explained = terms @ torch.linalg.solve(terms.T @ terms + ridge, terms.T @ features.double())
    return (features - explained).to(features.dtype)


def _held(count: int, steps: int, change_rate: float, choices: int, generator: torch.Generator) -> Tensor:
    """count x steps random indices below `choices`, each kept until a change comes, at `change_rate` a step."""
    drawn = torch.randint(choices, (count, steps), generator=generator)
    changes = torch.rand(count, steps, generator=generator) < change_rate
    changes[:, 0] = True
    since = torch.where(changes, torch.arange(steps).expand(count, steps), 0).cummax(dim=1).values
    return drawn.gather(1, since)


def recordings_of(
    cnn: DiscreteEmotionCNN,
    faces: Faces,
    versions: int,
    seed: int,
    simulation: Simulation | None = None,
    cache: Path | None = None,
) -> SimulatedRecordings:
    """Recordings that show `faces` as `cnn` sees them: those with votes, found by the detector, no duplicates.

    cache: folder in which features are kept; they are made anew for other weights, faces, versions or another seed.
    """
    votes = vote_distribution(faces.votes)
    chosen = np.flatnonzero((votes.sum(axis=1) > 0) & faces.found & ~faces.duplicate)
    targets = torch.from_numpy(votes[chosen] @ EMOTION_COORDINATES)
    features = _cached_features(cnn, faces.chips[chosen], versions, seed, cache)
    return SimulatedRecordings(features, targets, simulation)


def _cached_features(
    cnn: DiscreteEmotionCNN, chips: np.ndarray, versions: int, seed: int, cache: Path | None
) -> Tensor:
    if cache is None:
        return disturbed_features(cnn, chips, versions, seed)
    digest = hashlib.sha256(f"{versions} {seed}".encode() + chips.tobytes())
    for name, value in sorted(cnn.state_dict().items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    path = cache / f"faces-{digest.hexdigest()[:16]}.safetensors"
    try:
        return load_file(path)["features"]
    except (OSError, KeyError, SafetensorError):
        pass  # not there, or cut short by an interruption
    features = disturbed_features(cnn, chips, versions, seed)
    cache.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}.partial")
    save_file({"features": features.contiguous()}, aside)
    aside.replace(path)
    return features


@torch.inference_mode()
def disturbed_features(cnn: DiscreteEmotionCNN, chips: np.ndarray, versions: int, seed: int) -> Tensor:
    """Features (N x V x F) of N chips (N x S x S uint8), each seen V = `versions` times as a tracked face jitters."""
    cnn.eval()
    device = next(cnn.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for batch in tqdm(torch.from_numpy(chips).unsqueeze(1).split(256), desc="encoding faces", unit="batch"):
        seen = [
            cnn(augment(batch.to(device).float(), generator, AUGMENTATION_STRENGTH))[0].cpu() for _ in range(versions)
        ]
        parts.append(torch.stack(seen, dim=1))
    return torch.cat(parts)

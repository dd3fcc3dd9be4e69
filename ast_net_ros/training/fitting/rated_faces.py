"""The face of a recording together with its ratings, and what the network puts out for it.

Shapes: T model steps, F attribute features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ast_net_ros.model.network import ASTNet
from ast_net_ros.training.data.recordings import FaceSequence, Recording, StepClip, labels_at, step_clips

_BATCH = 512  # chips that are encoded at once


@dataclass(frozen=True, eq=False)
class RatedFace:
    """A recording of one person, whose labels are ratings as given (with their lag), and the features of the face."""

    recording: Recording
    sequence: FaceSequence  # attribute features
    chips: Callable[[], FaceSequence] | None = None  # opens the chips of the same frames, to train the CNN

    @property
    def person(self) -> str:
        """The person that the recording shows."""
        return self.recording.person


class Outputs(NamedTuple):
    """What the network puts out at the ends of T model steps of one uninterrupted track."""

    ends: np.ndarray  # T seconds, on the clock of the ratings
    before_tanh: Tensor  # T x 2; their tanh is valence and arousal
    affect: np.ndarray  # T x 2 in [-1, 1]
    sigma: np.ndarray  # T x 2


def clips_of(faces: Sequence[RatedFace], step_seconds: float, delay: float) -> list[StepClip]:
    """Return the clips of features of all faces, with the ratings moved back by `delay` seconds."""
    return [clip for face in faces for clip in step_clips(face.recording, face.sequence, step_seconds, delay)]


def chip_clips_of(faces: Sequence[RatedFace], step_seconds: float, delay: float) -> list[StepClip]:
    """As `clips_of`, with chips; faces that have none are left out."""
    opened = ((face.recording, face.chips()) for face in faces if face.chips)
    return [clip for recording, chips in opened for clip in step_clips(recording, chips, step_seconds, delay)]


def encoded(face: RatedFace, net: ASTNet) -> RatedFace:
    """Return the face with the features that the CNN of `net` computes from its chips."""
    assert face.chips
    chips = face.chips()
    device = net.temporal.head.weight.device
    with torch.inference_mode():
        parts = torch.from_numpy(chips.inputs).unsqueeze(1).split(_BATCH)
        features = np.concatenate([net.cnn(part.to(device))[0].cpu().numpy() for part in parts])
    return replace(face, sequence=replace(chips, inputs=features))


@torch.inference_mode()
def outputs_of(net: ASTNet, face: RatedFace) -> Iterator[Outputs]:
    """Run the LSTM over the features of each uninterrupted track of a face, from a cold state as in the node."""
    step, temporal = net.config.step_seconds, net.temporal
    for clip in clips_of([face], step, 0.0):
        features = torch.from_numpy(clip.inputs)[None].to(temporal.head.weight.device)
        affect, sigma = (part[0].cpu() for part in temporal(features)[0])
        ends = clip.start + step * np.arange(1, len(features[0]) + 1)
        # As in float32 tanh reaches 1, its inverse needs a limit.
        before = torch.atanh(affect.double().clamp(-1 + 1e-7, 1 - 1e-7))
        yield Outputs(ends, before, affect.double().numpy(), sigma.double().numpy())


def ratings_of(face: RatedFace, ends: np.ndarray, delay: float) -> np.ndarray:
    """Return the ratings at T model steps, given `delay` seconds later: T x 2, NaN where there is none."""
    return labels_at(ends + delay, face.recording.label_stamps, face.recording.labels)

"""Identity-true change: one person's neutral and smiling picture, and everything in between.

In: a folder of NAME_neutral.jpg and NAME_smiling.jpg (the Face Research Lab London Set is one, CC BY 4.0). Out:
recordings in which a person smiles and stops smiling along a trajectory, while nothing else about the face changes.

The pictures between the two come from dense optical flow: both are warped towards each other and blended.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ast_net_ros.model.network import EMOTIONS, DiscreteEmotionCNN
from ast_net_ros.training.data.faces import DataError, largest_face, read_picture
from ast_net_ros.training.data.recordings import split_by_person
from ast_net_ros.training.data.simulation import (
    EMOTION_COORDINATES,
    SimulatedRecordings,
    Simulation,
    disturbed_features,
)
from ast_net_ros.vision.alignment import CHIP_SIDE, align_face
from ast_net_ros.vision.detection import FaceDetector

SMILE_INTENSITY = 0.6
"""How far a closed-mouth smile lies from neutral to happiness (project's choice; raters put a morph half to three
quarters of the way from neutral to a broad smile at valence 0.38 to 0.52)."""

_STAGES = 9  # pictures from neutral to smiling, both included
_WARP_SIDE = 4 * CHIP_SIDE


class PairRecordings:
    """Draws recordings from P people: features P x A x V x F, A stages of their smile in V disturbed versions."""

    def __init__(self, features: Tensor, simulation: Simulation | None = None):
        self.features = features
        neutral, happy = (torch.from_numpy(EMOTION_COORDINATES[EMOTIONS.index(e)]) for e in ("neutral", "happiness"))
        self._ends = torch.stack([neutral, torch.lerp(neutral, happy, SMILE_INTENSITY)])
        # Trajectories, misses and held versions are those of the other simulated recordings.
        self._like = SimulatedRecordings(
            features.flatten(0, 1), torch.zeros(features.shape[0] * features.shape[1], 2), simulation
        )

    def draw(self, count: int, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """features: count x steps x F; labels: count x steps x 2."""
        people, stages, _, _ = self.features.shape
        wanted = self._like.trajectories(count, steps, generator)[..., 0]
        rest, smile = self._ends[:, 0]
        amount = ((wanted - rest) / (smile - rest)).clamp(0, 1)
        person = torch.randint(people, (count, 1), generator=generator).expand(count, steps)
        version = self._like.versions(count, steps, generator)
        place = amount * (stages - 1)
        below = place.floor().long().clamp(max=stages - 2)
        between = (place - below).unsqueeze(-1)
        features = torch.lerp(self.features[person, below, version], self.features[person, below + 1, version], between)
        labels = torch.lerp(self._ends[0], self._ends[1], amount.unsqueeze(-1))
        return self._like.miss(features, generator), labels


def pair_recordings(
    cnn: DiscreteEmotionCNN, folder: Path, split: str, versions: int, seed: int, simulation: Simulation | None = None
) -> PairRecordings:
    """Recordings of the people of `folder` who fall to `split` ('train' or 'valid', by their names).

    Raises DataError when the folder holds no pair with a face for that split.
    """
    detector = FaceDetector(threads=1)
    stages = [
        found
        for name in people_in(folder)
        if split_by_person(name) == split and (found := _stages(folder, name, detector)) is not None
    ]
    if not stages:
        raise DataError(f"{folder}: no pair for '{split}' in which both faces are found")
    chips = np.stack(stages)
    features = disturbed_features(cnn, chips.reshape(-1, *chips.shape[2:]), versions, seed)
    return PairRecordings(features.unflatten(0, chips.shape[:2]), simulation)


def people_in(folder: Path) -> list[str]:
    """The names of the people in a folder of pairs. Raises DataError where there is none."""
    names = sorted(path.name.removesuffix("_neutral.jpg") for path in folder.glob("*_neutral.jpg"))
    if not names:
        raise DataError(f"{folder}: holds no NAME_neutral.jpg with a NAME_smiling.jpg beside it")
    return names


def aligned_pair(folder: Path, name: str, detector: FaceDetector, side: int) -> tuple[np.ndarray, np.ndarray] | None:
    """A person's neutral and smiling face, side x side; None where one is not found.

    Raises DataError for a picture that is missing or cannot be decoded.
    """
    faces = []
    for which in ("neutral", "smiling"):
        path = folder / f"{name}_{which}.jpg"
        picture = read_picture(path)
        if picture is None:
            raise DataError(f"{path}: missing or not a picture")
        largest = largest_face(detector.detect(picture))
        if largest is None:
            return None
        faces.append(align_face(picture, largest.landmarks, side))
    return faces[0], faces[1]


def _stages(folder: Path, name: str, detector: FaceDetector) -> np.ndarray | None:
    pair = aligned_pair(folder, name, detector, _WARP_SIDE)
    return None if pair is None else warp_between(*pair, _STAGES)


def warp_between(first: np.ndarray, second: np.ndarray, stages: int) -> np.ndarray:
    """stages x CHIP_SIDE x CHIP_SIDE chips from `first` to `second` (both S x S grey), ends included."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    forth, back = flow.calc(first, second, None), flow.calc(second, first, None)
    y, x = np.mgrid[: first.shape[0], : first.shape[1]].astype(np.float32)
    chips = []
    for amount in np.linspace(0, 1, stages):
        # Where a pixel of the picture between comes from: approximately against the flow, for small movements.
        from_first = _remap(first, x - amount * forth[..., 0], y - amount * forth[..., 1])
        from_second = _remap(second, x - (1 - amount) * back[..., 0], y - (1 - amount) * back[..., 1])
        mixed = (1 - amount) * from_first + amount * from_second
        chips.append(cv2.resize(mixed.round().astype(np.uint8), (CHIP_SIDE, CHIP_SIDE), interpolation=cv2.INTER_AREA))
    return np.stack(chips)


def _remap(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    remapped = cv2.remap(
        picture, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return remapped.astype(np.float32)

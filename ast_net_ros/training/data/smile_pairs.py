"""Smiles of one person: a neutral and a smiling image of each, and everything in between.

In: a folder of NAME_neutral.jpg and NAME_smiling.jpg (the Face Research Lab London Set is one, CC BY 4.0). Out:
recordings in which a person smiles and stops smiling along a trajectory, while nothing else about the face changes.

The images between the two come from dense optical flow: both are warped towards each other and blended.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ast_net_ros.model.config import EMOTIONS
from ast_net_ros.model.network import DiscreteEmotionCNN
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.data.affect_map import FITTED_MAP
from ast_net_ros.training.data.recordings import read_image, split_by_person
from ast_net_ros.training.data.samplers import ClipBatch
from ast_net_ros.training.data.simulation import SimulatedRecordings, Simulation, augmented_features
from ast_net_ros.vision.alignment import CHIP_SIDE, align_face
from ast_net_ros.vision.detection import Detector, largest_detection, make_detector

SMILE_INTENSITY = 0.6
"""How far a closed-mouth smile lies from neutral to happiness (project's choice; raters put a morph half to three
quarters of the way from neutral to a broad smile at valence 0.38 to 0.52)."""

WARP_SIDE = 4 * CHIP_SIDE
_STAGES = 9  # images from neutral to smiling, both included


class SmileRecordings:
    """Samples recordings of P people from V augmented versions of A stages of their smile (P x A x V x F)."""

    def __init__(self, features: Tensor, simulation: Simulation | None = None):
        self.features = features
        places = [EMOTIONS.index("neutral"), EMOTIONS.index("happiness")]
        neutral, happy = torch.from_numpy(FITTED_MAP.coordinates[places]).float()
        self._ends = torch.stack([neutral, torch.lerp(neutral, happy, SMILE_INTENSITY)])
        # Trajectories, misses and held versions are those of the other simulated recordings.
        faces = features.flatten(0, 1)
        self._simulated = SimulatedRecordings(faces, torch.zeros(len(faces), 2), simulation)

    def sample(self, count: int, steps: int, generator: torch.Generator) -> ClipBatch:
        """Sample `count` recordings of `steps` model steps (a `ClipSampler`)."""
        people, stages, _, _ = self.features.shape
        wanted = self._simulated.trajectories(count, steps, generator)[..., 0]
        rest, smile = self._ends[:, 0]
        amount = ((wanted - rest) / (smile - rest)).clamp(0, 1)
        person = torch.randint(people, (count, 1), generator=generator).expand(count, steps)
        version = self._simulated.versions(count, steps, generator)
        place = amount * (stages - 1)
        below = place.floor().long().clamp(max=stages - 2)
        between = (place - below).unsqueeze(-1)
        features = torch.lerp(self.features[person, below, version], self.features[person, below + 1, version], between)
        labels = torch.lerp(self._ends[0], self._ends[1], amount.unsqueeze(-1))
        return ClipBatch(self._simulated.miss(features, generator), labels)


def smile_recordings(
    cnn: DiscreteEmotionCNN, folder: Path, split: str, versions: int, seed: int, simulation: Simulation | None = None
) -> SmileRecordings:
    """Make smile recordings of the people that `split_by_person` assigns to `split`.

    Raises:
        DataError: No pair of this split shows a face in both images, or an image is missing.
    """
    detector = make_detector()
    pairs = [aligned_pair(folder, name, detector, WARP_SIDE) for name in people_in(folder, split)]
    stages = [warp_between(*pair, _STAGES) for pair in pairs if pair is not None]
    if not stages:
        raise DataError(f"{folder}: no pair for '{split}' in which both faces are found")
    chips = np.stack(stages)
    features = augmented_features(cnn, chips.reshape(-1, *chips.shape[2:]), versions, seed)
    return SmileRecordings(features.unflatten(0, chips.shape[:2]), simulation)


def people_in(folder: Path, split: str | None = None) -> list[str]:
    """List the people of a folder of smile pairs, those of `split` ("train" or "valid") or all, sorted by name.

    Raises:
        DataError: The folder contains no pair.
    """
    names = sorted(path.name.removesuffix("_neutral.jpg") for path in folder.glob("*_neutral.jpg"))
    if not names:
        raise DataError(f"{folder}: contains no NAME_neutral.jpg with a NAME_smiling.jpg beside it")
    return [name for name in names if split is None or split_by_person(name) == split]


def aligned_pair(folder: Path, name: str, detector: Detector, side: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Read NAME_neutral.jpg and NAME_smiling.jpg and align both faces; None where a face is not found."""
    faces = []
    for expression in ("neutral", "smiling"):
        path = folder / f"{name}_{expression}.jpg"
        image = read_image(path)
        if image is None:
            raise DataError(f"{path}: missing or not an image")
        face = largest_detection(detector.detect(image))
        if face is None:
            return None
        faces.append(align_face(image, face.landmarks, side))
    return faces[0], faces[1]


def warp_between(first: np.ndarray, second: np.ndarray, stages: int) -> np.ndarray:
    """Make `stages` chips (x CHIP_SIDE x CHIP_SIDE uint8) from one aligned face (S x S grey uint8) to the other."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    forth, back = flow.calc(first, second, None), flow.calc(second, first, None)
    chips = []
    for amount in np.linspace(0, 1, stages):
        mixed = (1 - amount) * _moved(first, amount * forth) + amount * _moved(second, (1 - amount) * back)
        chips.append(cv2.resize(mixed.round().astype(np.uint8), (CHIP_SIDE, CHIP_SIDE), interpolation=cv2.INTER_AREA))
    return np.stack(chips)


def _moved(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Move an image along H x W x 2 pixels; where each pixel comes from is approximate, as the movements are small."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    origin = (np.dstack([x, y]) - flow).astype(np.float32)
    return cv2.remap(image, origin, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)

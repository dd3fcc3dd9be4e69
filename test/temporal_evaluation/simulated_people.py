"""Simulated people who are rated by a known map and delay of what the network says of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ast_net_ros.model.network import ASTNet
from ast_net_ros.training.augmentation import augment
from ast_net_ros.training.data.affect_map import FITTED_MAP
from ast_net_ros.training.data.recordings import FaceSequence, Recording
from ast_net_ros.training.data.samplers import AUGMENTATION_STRENGTH
from ast_net_ros.training.data.simulation import SimulatedRecordings, Simulation
from ast_net_ros.training.fitting.rated_faces import RatedFace, outputs_of
from ast_net_ros.vision.alignment import align_face
from ast_net_ros.vision.detection import largest_detection, make_detector
from ast_net_ros.vision.video import open_video

VIDEOS = {"WolfgangLanger_Pexels.mp4": 6, "single_face.mp4": 2}
"""Videos, and of how many frames one is used."""
RATE = 25.0  # ratings per second


@dataclass(frozen=True)
class Rater:
    """How a rater departs from the network: affect A becomes scale * A + offset, seconds later, with noise."""

    scale: tuple[float, float] = (0.55, 1.6)  # of valence and arousal
    offset: tuple[float, float] = (0.25, -0.3)
    delay: float = 2.6  # s
    noise: float = 0.05  # standard deviation of ratings, correlated over a second
    habit: float = 0.05  # standard deviation of an offset of each person

    def map(self, affect: np.ndarray) -> np.ndarray:
        """What is rated for T x 2 affect, without delay and noise."""
        return np.clip(affect * self.scale + self.offset, -1, 1)


def simulated_recordings(net: ASTNet, media: Path) -> SimulatedRecordings:
    """Features of faces of two people in four augmented versions, as the simulation of stage 2 combines them."""
    detector, chips = make_detector(), []
    for name, every in VIDEOS.items():
        with open_video(media / name) as video:
            for index, (_, frame) in enumerate(video):
                if index % every == 0 and (face := largest_detection(detector.detect(frame))):
                    chips.append(align_face(frame, face.landmarks, net.config.chip_side))
    batch = torch.from_numpy(np.stack(chips)).unsqueeze(1)
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        targets = FITTED_MAP(net.cnn(batch)[1].numpy())
        versions = [net.cnn(augment(batch.float(), generator, AUGMENTATION_STRENGTH))[0] for _ in range(4)]
    simulation = Simulation(step_seconds=net.config.step_seconds)
    return SimulatedRecordings(torch.stack(versions, dim=1), torch.from_numpy(targets).float(), simulation)


def rated_people(
    recordings: SimulatedRecordings, net: ASTNet, rater: Rater, count: int, seconds: float, seed: int
) -> list[RatedFace]:
    """One recording of each of `count` people, rated."""
    step = net.config.step_seconds
    generator, noise = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    features = recordings.sample(count, round(seconds / step), generator).inputs.numpy()
    stamps = step * np.arange(features.shape[1])
    return [
        _rated(net, FaceSequence(stamps, one, frames=len(one)), rater, f"person_{seed}_{index}", noise)
        for index, one in enumerate(features)
    ]


def _rated(net: ASTNet, sequence: FaceSequence, rater: Rater, name: str, noise: np.random.Generator) -> RatedFace:
    unrated = np.zeros((2, 2))
    empty = Recording(name, "train", name, lambda: iter(()), (), np.array([0.0, 1e6]), unrated)
    (track,) = outputs_of(net, RatedFace(empty, sequence))
    times = np.arange(0.0, track.ends[-1], 1 / RATE)
    wanted = rater.map(track.affect)
    ratings = np.stack([np.interp(times - rater.delay, track.ends, column) for column in wanted.T], axis=1)
    jitter = noise.normal(size=(len(times) + 50, 2))
    smooth = np.stack([np.convolve(column, np.ones(25) / 5, "same") for column in jitter.T], axis=1)[: len(times)]
    ratings += rater.noise * smooth + rater.habit * noise.normal(size=2)
    return RatedFace(Recording(name, "train", name, lambda: iter(()), (), times, np.clip(ratings, -1, 1)), sequence)

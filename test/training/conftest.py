"""What the training tests share: an image of a face, and samplers that interrupt a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ast_net_ros.training.data.samplers import ClipBatch, ClipSampler
from ast_net_ros.vision.video import open_video


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The networks here are small: more threads only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def face_image(media: Path) -> np.ndarray:
    """H x W x 3 BGR: the first frame of a video of one face."""
    with open_video(media / "single_face.mp4") as video:
        return next(iter(video))[1]


@pytest.fixture(scope="session")
def distress_and_smile(media: Path) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last frame of a face that turns from distress to a smile, H x W x 3 BGR."""
    with open_video(media / "WolfgangLanger_Pexels.mp4") as video:
        frames = [frame for _, frame in video]
    return frames[0], frames[-1]


@pytest.fixture
def interrupted() -> Callable[[ClipSampler, int], ClipSampler]:
    """`interrupted(sampler, 3)`: the same sampler, which raises KeyboardInterrupt at its third call."""

    def make(sampler: ClipSampler, last: int) -> ClipSampler:
        calls = []

        def sample(count: int, steps: int, generator: torch.Generator) -> ClipBatch:
            calls.append(1)
            if len(calls) == last:
                raise KeyboardInterrupt
            return sampler(count, steps, generator)

        return sample

    return make

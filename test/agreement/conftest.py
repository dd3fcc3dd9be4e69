"""Ratings of simulated people by raters whose lag, noise and habits are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ast_net_ros.ratings import RatingInfo, rating_rows, ratings_path, write_ratings

STEP = 0.04


def drift(generator: np.random.Generator, count: int, seconds: float, spread: float) -> np.ndarray:
    """An Ornstein-Uhlenbeck process of `count` samples: correlation time, standard deviation."""
    keep = np.exp(-STEP / seconds)
    values = np.empty(count)
    values[0] = spread * generator.standard_normal()
    for index in range(1, count):
        values[index] = keep * values[index - 1] + spread * np.sqrt(1 - keep**2) * generator.standard_normal()
    return values


def smooth(values: np.ndarray, seconds: float) -> np.ndarray:
    offsets = np.arange(-3 * seconds, 3 * seconds + STEP / 2, STEP)
    kernel = np.exp(-0.5 * (offsets / seconds) ** 2)
    return np.convolve(values, kernel / kernel.sum())[len(kernel) // 2 :][: len(values)]


class Study:
    """A folder of ratings: `recordings` people, each rated by raters of the given lags."""

    def __init__(self, folder: Path, recordings: int = 1, seconds: float = 60.0, seed: int = 0):
        self.folder = folder
        self.times = np.arange(round(seconds / STEP) + 1) * STEP
        self._generator = np.random.default_rng(seed)
        self._wide = np.arange(-250, len(self.times) + 250) * STEP
        self.truths = [
            np.stack([smooth(drift(self._generator, len(self._wide), 6.0, 0.35), 0.3) for _ in range(2)], axis=1)
            for _ in range(recordings)
        ]

    def truth(self, recording: int, lag: float = 0.0) -> np.ndarray:
        """T x 2: what a rater of that lag would give."""
        return np.stack([np.interp(self.times - lag, self._wide, c) for c in self.truths[recording].T], axis=1)

    def rated(self, recording: int, lag: float, noise: float = 0.05) -> np.ndarray:
        """T x 2: the same with noise of a rater's own."""
        count = len(self.times)
        own = [smooth(drift(self._generator, count, 1.0, noise), 0.15) for _ in range(2)]
        return np.clip(self.truth(recording, lag) + np.stack(own, axis=1), -1, 1)

    def write(
        self, rater: str, recording: int, values: np.ndarray, sha: str = "", name: str = "", face: str = "face_1"
    ) -> Path:
        name = name or f"walk_{recording}"
        about = RatingInfo(name, sha or f"{recording:064x}", rater, face, float(self.times[-1]))
        path = ratings_path(self.folder, name, rater, face)
        write_ratings(path, about, rating_rows(self.times, values))
        return path

    def write_all(self, lags: Sequence[float], noise: float = 0.05) -> None:
        for recording in range(len(self.truths)):
            for number, lag in enumerate(lags):
                self.write(f"rater_{number}", recording, self.rated(recording, lag, noise))


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Study]:
    folder = tmp_path / "ratings"
    folder.mkdir()
    return lambda **given: Study(folder, **given)

"""From emotion logits to valence and arousal: a linear map of softened probabilities, fitted on rated faces.

Stage 2 takes the targets of its simulated recordings from it. `tools/affect_map` fits one and cross-validates it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ast_net_ros.model.config import EMOTIONS

_HAPPINESS = EMOTIONS.index("happiness")

TEMPERATURE = 1.5
"""Temperature of the softmax before the map: slight expressions keep their share, and strong ones saturate later."""

STRENGTH_SLOPES = (0.10, 0.08)
"""Rise of valence and arousal per standard deviation of the strength of a smile (project's choice; the ratings have
five levels, too coarse to fit it)."""


@dataclass(frozen=True)
class AffectMap:
    """Valence and arousal as the mean of the emotions' coordinates, happiness graded by its strength."""

    coordinates: np.ndarray  # 8 x 2, valence and arousal of each emotion in the order of EMOTIONS
    strength_slopes: tuple[float, float] = (0.0, 0.0)  # rise per standard deviation of strength of a happy face
    strength_mean: float = 0.0  # of happy faces; the strength is the logit of happiness minus the mean of all
    strength_deviation: float = 1.0  # standard deviation among them
    temperature: float = TEMPERATURE  # of the softmax that turns logits into weights

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Return N x 2 valence and arousal of N x 8 emotion logits."""
        return self.of_weights(soften(logits, self.temperature), logits)

    def of_weights(self, weights: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Return N x 2 of N x 8 shares of the emotions, such as votes, and N x 8 logits for the strength of smiles."""
        strength = np.clip((happiness_strength(logits) - self.strength_mean) / self.strength_deviation, -2, 2)
        rise = (weights[:, _HAPPINESS] * strength)[:, None] * np.array(self.strength_slopes)
        return np.clip(weights @ self.coordinates + rise, -1, 1)


FITTED_MAP = AffectMap(
    np.array(
        [
            [-0.050, 0.000, 0.700, 0.650, 0.362, 0.500, -0.771, -0.424],  # neutral, happiness, surprise, sadness
            [-0.800, 0.150, -0.656, 0.200, -0.663, 0.400, -0.580, -0.086],  # anger, disgust, fear, contempt
        ]
    ).reshape(8, 2),
    STRENGTH_SLOPES,
    strength_mean=5.80,
    strength_deviation=1.51,
)
"""The map that the default weights were trained with."""


def soften(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return the softmax of N x 8 logits divided by `temperature`."""
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def happiness_strength(logits: np.ndarray) -> np.ndarray:
    """Return N: the logit of happiness minus the mean of all, of N x 8 emotion logits."""
    return logits[:, _HAPPINESS] - logits.mean(axis=1)

"""Each person's resting valence: learned while a face is at rest, and subtracted from its estimates.

Faces differ at rest, and the network takes a part of that for expression. One :class:`RestingBaseline` per track.
"""

from __future__ import annotations

import math

from ast_net_ros.model.config import EMOTIONS

_NEUTRAL = EMOTIONS.index("neutral")
_RESTING_AROUSAL = 0.35  # an aroused face is not at rest
_LEARNING_SECONDS = 2.5  # time constant while the face is at rest
_FORGETTING_SECONDS = 120.0  # time constant otherwise
_MAX_SURPRISE = 0.1  # one observation counts for no more than this much distance: robust against outliers
_MAX_STEP = 1.0  # seconds; a longer gap carries no information about the time between


class RestingBaseline:
    """The resting valence of one face.

    A face is at rest while neutral is its most likely emotion, its arousal is low and its valence within the limit: a
    face that smiles from the first frame teaches nothing.

    Args:
        limit: Largest absolute baseline, in (0, 0.5].

    Raises:
        ValueError: The limit is outside its range.
    """

    def __init__(self, limit: float):
        if not 0 < limit <= 0.5:
            raise ValueError(f"personal_baseline is {limit}; it must be above 0 and at most 0.5")
        self.limit = limit
        self.value = 0.0
        self._stamp: float | None = None

    def update(self, stamp: float, valence: float, arousal: float, emotions: tuple[float, ...]) -> float:
        """Observe the face.

        Args:
            stamp: Seconds, not before the one of the last call.
            valence: Estimate without the baseline.
            arousal: Likewise.
            emotions: Eight probabilities in the order of EMOTIONS.

        Returns:
            The baseline to subtract from valence, within [-limit, limit].
        """
        seconds = 0.0 if self._stamp is None else min(max(stamp - self._stamp, 0.0), _MAX_STEP)
        self._stamp = stamp
        neutral = max(emotions) == emotions[_NEUTRAL]
        if neutral and arousal <= _RESTING_AROUSAL and abs(valence) <= self.limit:
            surprise = min(max(valence - self.value, -_MAX_SURPRISE), _MAX_SURPRISE)
            self.value += (1 - math.exp(-seconds / _LEARNING_SECONDS)) * surprise
        else:
            self.value *= math.exp(-seconds / _FORGETTING_SECONDS)
        return self.value

"""When moods and engagement start and end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ast_net_ros.vision.quality import QUALITY_THRESHOLD


@dataclass(frozen=True)
class Hysteresis:
    """When one mood starts and ends.

    Attributes:
        enter: Value at which it starts, in [0, 1]: absolute valence, arousal or engagement.
        leave: Value below which it ends; less than `enter`.
        dwell: Seconds for which a change must last before it is reported.
    """

    enter: float = 0.3
    leave: float = 0.15
    dwell: float = 0.5


@dataclass(frozen=True)
class MoodSettings:
    """When moods start and end.

    Attributes:
        positive: By valence.
        negative: By valence, negated.
        excited: By arousal, while valence is neutral.
        engaged: By engagement.
        calm_dwell: Seconds for which no other mood must apply until a person is calm.
        min_confidence: Estimates with a lower confidence are not used, in [0, 1].
        min_quality: Estimates with a lower quality are not used, in [0, 1].
        warm_up: Estimates with a lower state_age, in seconds, are not used.
        patience: Seconds for which a face may be unseen before the person is lost, or seen without a usable estimate
            before the mood is unknown.
        memory: Seconds after a negative mood within which a positive one counts as cheering up.

    Raises:
        ValueError: A value is out of range, or a `leave` is not less than its `enter`.
    """

    positive: Hysteresis = Hysteresis()
    negative: Hysteresis = Hysteresis()
    excited: Hysteresis = Hysteresis()
    engaged: Hysteresis = Hysteresis(enter=0.6, leave=0.4, dwell=0.0)
    calm_dwell: float = 0.5
    min_confidence: float = 0.35
    min_quality: float = QUALITY_THRESHOLD
    warm_up: float = 1.0
    patience: float = 2.0
    memory: float = 20.0

    def __post_init__(self) -> None:
        for name, value in self.values().items():
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}: use a number of at least 0")
        for name in ("positive", "negative", "excited", "engaged"):
            limits = self.of(name)
            if not limits.leave < limits.enter <= 1:
                raise ValueError(
                    f"{name}.enter is {limits.enter} and {name}.leave is {limits.leave}: use leave < enter <= 1"
                )
        for name in ("min_confidence", "min_quality"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} is {getattr(self, name)}: use 0 to 1")

    def of(self, mood: str) -> Hysteresis:
        """Return the limits of a mood, or of "engaged"."""
        return Hysteresis(dwell=self.calm_dwell) if mood == "calm" else getattr(self, mood)

    def values(self) -> dict[str, float]:
        """Return every value by its name, such as "positive.enter" and "patience"."""
        flat = {}
        for name, value in asdict(self).items():
            flat.update({f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value})
        return flat

    @classmethod
    def from_values(cls, values: Mapping[str, float]) -> MoodSettings:
        """Return the settings of `values`, named as in values(); those that are missing keep their default.

        Raises:
            ValueError: A value is out of range.
        """
        settings: dict[str, Any] = asdict(cls())
        for name, value in values.items():
            group, _, key = name.rpartition(".")
            target = settings[group] if group else settings
            target[key] = value
        fields: dict[str, Any] = {n: Hysteresis(**v) if isinstance(v, dict) else v for n, v in settings.items()}
        return cls(**fields)

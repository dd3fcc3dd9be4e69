"""How ratings move over time: label_statistics.json, which `ast_net agree` writes and `ast_net train-temporal` reads.

Measured on real raters: how fast a face's gold standard changes, how widely, and how late raters are. The simulation
of recordings for training samples from these values.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ast_net_ros.atomic_files import atomic_write
from ast_net_ros.rating_files import DataError

FORMAT, VERSION = "ast_net label statistics", 1
STEP_SECONDS = 0.2
"""Rates of change are between moments this far apart: a step of the default network."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_LONGEST_SECONDS = 3600.0

Pair = tuple[float, float]
"""A value of valence and one of arousal."""


@dataclass(frozen=True)
class RaterNoise:
    """How single ratings deviate from the gold standard, after lag and offset have been removed."""

    spread: Pair  # standard deviation, root mean square over raters
    correlation_seconds: Pair  # until its autocorrelation falls to 1/e, median


@dataclass(frozen=True)
class LabelStatistics:
    """The statistics of some recordings and their raters."""

    recordings: int
    raters: int
    minutes: float
    correlation_seconds: tuple[Pair, ...]  # of each recording's gold standard, until its autocorrelation falls to 1/e
    spread: tuple[Pair, ...]  # standard deviation within each recording
    mean_spread: float  # root mean square of the recordings' means
    still_share: float  # of steps in which a rating does not change
    rate_of_change: tuple[Pair, ...]  # per second, absolute: quantiles QUANTILES of the raters' steps
    reaction_lags: tuple[float, ...] = ()  # seconds behind the face, one for each rater where known
    noise: RaterNoise | None = None


def write_label_statistics(path: Path, statistics: LabelStatistics) -> None:
    """Write the file; it appears complete or not at all."""
    about = {"format": FORMAT, "version": VERSION, "step_seconds": STEP_SECONDS, "quantiles": QUANTILES}
    atomic_write(path, json.dumps(about | asdict(statistics), indent=2, allow_nan=False) + "\n")


def read_label_statistics(path: Path) -> LabelStatistics:
    """Read and check the file.

    Raises:
        DataError: It is missing, damaged, of another kind or version, or a value is impossible.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            raise DataError(f"label statistics {path}: not a label_statistics.json of `ast_net agree`")
        if stored.get("version") != VERSION:
            raise DataError(
                f"label statistics {path}: version {stored.get('version')!r}, not {VERSION}; run `ast_net agree` again"
            )
        return _parsed(stored)
    except OSError as error:
        raise DataError(f"label statistics {path}: cannot be read ({error.strerror})") from error
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise DataError(f"label statistics {path}: damaged ({type(error).__name__}: {error})") from error


def _parsed(stored: dict[str, Any]) -> LabelStatistics:
    noise = stored.get("noise")
    statistics = LabelStatistics(
        recordings=int(_number("recordings", stored["recordings"], 1, 1e9)),
        raters=int(_number("raters", stored["raters"], 1, 1e9)),
        minutes=_number("minutes", stored["minutes"], 0, math.inf),
        correlation_seconds=_pairs("correlation_seconds", stored["correlation_seconds"], 1e-3, _LONGEST_SECONDS),
        spread=_pairs("spread", stored["spread"], 0, 1),
        mean_spread=_number("mean_spread", stored["mean_spread"], 0, 1),
        still_share=_number("still_share", stored["still_share"], 0, 1),
        rate_of_change=_pairs("rate_of_change", stored["rate_of_change"], 0, math.inf),
        reaction_lags=tuple(_number("reaction_lags", lag, -60, 60) for lag in stored["reaction_lags"]),
        noise=noise
        and RaterNoise(
            *_pairs("noise.spread", [noise["spread"]], 0, 2),
            *_pairs("noise.correlation_seconds", [noise["correlation_seconds"]], 0, _LONGEST_SECONDS),
        ),
    )
    if not statistics.spread or len(statistics.spread) != len(statistics.correlation_seconds):
        raise ValueError(
            f"spread has {len(statistics.spread)} recordings and correlation_seconds "
            f"{len(statistics.correlation_seconds)}; expected equally many, at least one"
        )
    return statistics


def _number(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}; expected a number from {low:g} to {high:g}")
    return float(value)


def _pairs(name: str, pairs: Any, low: float, high: float) -> tuple[Pair, ...]:
    return tuple((_number(name, valence, low, high), _number(name, arousal, low, high)) for valence, arousal in pairs)

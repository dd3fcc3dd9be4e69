"""Read files of ratings and group them into panels: all raters of one face in one recording, on common times.

A recording is identified by the hash of its images, so those of the same name do not mix. Ratings are interpolated to
25 moments a second; there is no value where a rater gave none, in a gap longer than a second, and before and after the
ratings.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ast_net_ros.rating_files import STAMP_TOLERANCE, DataError, interpolate
from ast_net_ros.ratings import RATING_RATE, RatingInfo, Ratings, find_ratings, read_ratings

STEP_SECONDS = 1 / RATING_RATE
MAX_GAP = 1.0
"""Longest gap between two ratings that is interpolated, in seconds."""
LEAST_COVERAGE = 0.5
"""A rater takes part in a panel with ratings of at least this share of the recording."""


class AgreementError(DataError):
    """Ratings that cannot be compared; the text names the files and the reason."""


@dataclass(frozen=True, eq=False)
class Panel:
    """The ratings of one face in one recording by k >= 2 raters, at T evenly spaced times."""

    name: str  # unique: the recording's, with the face's where there are several
    info: RatingInfo  # of the first rater
    raters: tuple[str, ...]
    times: np.ndarray  # T seconds from the recording's first image
    values: np.ndarray  # k x T x 2 (valence, arousal), NaN for none

    @property
    def minutes(self) -> float:
        """Its length."""
        return len(self.times) * STEP_SECONDS / 60

    def complete(self, dimension: int) -> np.ndarray:
        """Return k x N values of one dimension at the moments that all raters rated."""
        values = self.values[:, :, dimension]
        return values[:, np.isfinite(values).all(axis=0)]

    def shifted(self, lags: Sequence[float]) -> Panel:
        """Return the panel with each rater's values earlier by that rater's lag, in seconds."""
        moved = [
            on_times(self.times, self.times - lag, values) if lag else values for lag, values in zip(lags, self.values)
        ]
        return replace(self, values=np.stack(moved))


@dataclass(frozen=True)
class PanelSet:
    """The panels, what could not be used and why, and what was noticed while reading."""

    panels: tuple[Panel, ...]
    left_out: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def raters(self) -> list[str]:
        """All raters, by name."""
        return sorted({rater for panel in self.panels for rater in panel.raters})


def read_panels(places: Iterable[Path], excluded: Sequence[str] = ()) -> PanelSet:
    """Read ratings from files and folders, but not those of the `excluded` raters.

    Raises:
        AgreementError: Two files are of one rater, or no face has two raters.
        DataError: A place is missing or holds no ratings.
    """
    groups: dict[tuple[str, str], dict[str, Ratings]] = defaultdict(dict)
    files: dict[tuple[str, str, str], Path] = {}
    left_out: list[str] = []
    remarks: list[str] = []
    for path in find_ratings(places):
        try:
            ratings = read_ratings(path)
        except DataError as error:
            left_out.append(str(error))
            continue
        info = ratings.info
        if info.rater in excluded:
            continue
        key = (info.recording_sha256, info.face, info.rater)
        if key in files:
            raise AgreementError(
                f"ratings {files[key]} and {path}: both are of '{info.recording}', {info.face}, by {info.rater}; "
                "remove one, or give the raters different names"
            )
        files[key] = path
        groups[key[:2]][info.rater] = ratings
        remarks += ratings.remarks
    panels = []
    for group in groups.values():
        panel, reasons = _panel(group)
        left_out += reasons
        if panel:
            panels.append(panel)
        else:
            left_out.append(_one_rater(group, groups.values()))
    if not panels:
        raise AgreementError(f"no face has ratings of two raters: {'; '.join(left_out) or 'all are excluded'}")
    return PanelSet(_named(panels), tuple(left_out), tuple(remarks))


def _panel(group: dict[str, Ratings]) -> tuple[Panel | None, list[str]]:
    """Interpolate the ratings of one face at common times; None where fewer than two raters are left."""
    info = next(iter(group.values())).info
    times = np.arange(int(info.duration_seconds / STEP_SECONDS + STAMP_TOLERANCE) + 1) * STEP_SECONDS
    curves, reasons = {}, []
    for rater, ratings in sorted(group.items()):
        values = on_times(times, ratings.times, ratings.values)
        coverage = np.isfinite(values).mean(axis=0)
        if coverage.max() < LEAST_COVERAGE:
            reasons.append(
                f"ratings of '{info.recording}' by {rater}: they cover only {100 * coverage.max():.0f} % of the "
                "recording"
            )
        else:
            curves[rater] = values
    if len(curves) < 2:
        return None, reasons
    return Panel(info.recording, info, tuple(curves), times, np.stack(list(curves.values()))), reasons


def on_times(wanted: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolate M x 2 values at M rising times to T wanted times, each dimension by itself: T x 2, NaN for none."""
    return np.hstack([interpolate(wanted, times, column, MAX_GAP) for column in np.hsplit(values, 2)])


def _one_rater(group: dict[str, Ratings], groups: Iterable[dict[str, Ratings]]) -> str:
    """Return why a face is left out, and whether the same name was rated on other images."""
    info = next(iter(group.values())).info
    text = f"'{info.recording}', {info.face}: only {len(group)} rater ({', '.join(group)}); at least two are needed"
    other = next(
        (
            ratings.info
            for candidates in groups
            for ratings in candidates.values()
            if ratings.info.recording == info.recording and ratings.info.recording_sha256 != info.recording_sha256
        ),
        None,
    )
    if other is None:
        return text
    return (
        f"{text}; {other.rater} rated different images with that name (SHA-256 {other.recording_sha256[:12]}..., not "
        f"{info.recording_sha256[:12]}...)"
    )


def safe_name(name: str) -> str:
    """Replace what would lead to another folder or cannot be in a file's name."""
    return re.sub(r"[/\\\x00-\x1f]", "_", name)


def _named(panels: Sequence[Panel]) -> tuple[Panel, ...]:
    """Give panels unique names that can be files': the recording's, then the beginning of the hash, then the face."""
    ordered = sorted(panels, key=lambda panel: (panel.info.recording, panel.info.recording_sha256, panel.info.face))
    keys = [(panel.info.recording_sha256, safe_name(panel.info.recording)) for panel in ordered]
    named = []
    for panel, (sha256, name) in zip(ordered, keys):
        if any(other == name and sha != sha256 for sha, other in keys):
            name += f".{safe_name(sha256[:8])}"
        if sum(panel.info.recording_sha256 == sha for sha, _ in keys) > 1:
            name += f".{safe_name(panel.info.face)}"
        named.append(replace(panel, name=name))
    return tuple(named)

"""Fit stage by stage, and keep a stage only if people held out from it gain from it.

In: rated faces and the network to start from. Out: the fitted network, or none, and what every stage did. Each fold
holds people out of everything: of the delay of the ratings, and of all stages before.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from ast_net_ros.model.network import ASTNet
from ast_net_ros.rating_files import DataError
from ast_net_ros.temporal_evaluation.fitting.held_out_gain import Gain, HeldOut, folds_of, gain_of, held_out
from ast_net_ros.training.calibration import sigma_shifts
from ast_net_ros.training.fitting.rated_faces import RatedFace, encoded, outputs_of
from ast_net_ros.training.fitting.rating_delay import RatingDelay, estimate_rating_delay
from ast_net_ros.training.fitting.stages import Stage, default_stages

LEAST_PEOPLE = 3
"""With fewer people no interval over people says anything."""

Log = Callable[[str], None]


@dataclass(frozen=True)
class StageOutcome:
    """What became of one stage."""

    name: str
    kept: bool
    reason: str
    gain: Gain | None = None  # over what was kept before; None where the stage was not tried


@dataclass(frozen=True, eq=False)
class FitOutcome:
    """What a fit found."""

    net: ASTNet | None  # None where no gain can be claimed
    delay: RatingDelay
    stages: tuple[StageOutcome, ...]
    gain: Gain | None  # of the kept stages over the parent; None where none is kept
    before: Mapping[str, HeldOut]  # of the parent, by person
    after: Mapping[str, HeldOut]  # of the kept stages, by held-out person


@dataclass(eq=False)
class _Fold:
    """People held out, the others' faces and delay, and the network that was fitted to the others so far."""

    held: list[RatedFace]
    others: list[RatedFace]
    delay: float
    net: ASTNet


def fit_ratings(
    faces: Sequence[RatedFace],
    parent: ASTNet,
    stages: Sequence[Stage] | None = None,
    delay: float | None = None,
    longest_delay: float = 10.0,
    largest_folds: int = 10,
    log: Log = lambda _: None,
) -> FitOutcome:
    """Fit `parent` to the ratings of faces.

    Args:
        faces: Recordings with ratings, several of a person allowed.
        parent: The network to start from; not changed.
        stages: Tried in this order; all by default.
        delay: Seconds by which the ratings lag; None estimates it.
        longest_delay: Largest delay tried, in seconds.
        largest_folds: Largest number of groups of people that are held out in turn.
        log: Called with progress in words.

    Raises:
        DataError: There are too few people, or no rating changes.
    """
    people = list(dict.fromkeys(face.person for face in faces))
    if len(people) < LEAST_PEOPLE:
        raise DataError(
            f"ratings of {len(people)} people ({', '.join(people) or 'none'}): at least {LEAST_PEOPLE} are needed to "
            "measure whether a fit helps on unseen people; rate more, or identify people with --person"
        )
    outputs = {id(face): list(outputs_of(parent, face)) for face in faces}

    def delay_of(chosen: Sequence[RatedFace]) -> RatingDelay:
        if delay is not None:
            return RatingDelay(delay, float("nan"), False)
        return estimate_rating_delay(chosen, [outputs[id(face)] for face in chosen], longest_delay)

    folds = []
    for people_out in folds_of(people, largest_folds):
        held, others = ([f for f in faces if (f.person in people_out) == side] for side in (True, False))
        folds.append(_Fold(held, others, delay_of(others).seconds, parent))
    before = _joined(held_out(parent, fold.held, fold.delay) for fold in folds)
    whole = delay_of(faces)
    log(f"ratings lag by {whole.seconds:g} s")
    minutes = sum(len(found.ratings) for found in before.values()) * parent.config.step_seconds / 60
    net, after, outcomes = parent, before, []
    for stage in stages or default_stages():
        lacking = _lacking(stage, faces, len(before), minutes)
        if lacking:
            outcomes.append(StageOutcome(stage.name, False, lacking))
            continue
        candidates = [stage.fit(f.net, f.others, f.delay) for f in tqdm(folds, f"{stage.name}: people held out")]
        measured = []
        for fold, candidate in zip(folds, candidates):
            held = [encoded(face, candidate) for face in fold.held] if stage.trains_cnn else fold.held
            measured.append(held_out(candidate, held, fold.delay))
        found = _joined(measured)
        gain = gain_of(found, after)
        low, high = gain.interval
        reason = f"CCC {gain.mean:+.3f} on held-out people (95 % interval {low:+.3f} to {high:+.3f})"
        reason = f"{'kept' if gain.claimed else 'not kept'}: {reason}"
        outcomes.append(StageOutcome(stage.name, gain.claimed, reason, gain))
        log(f"{stage.name}: {reason}")
        if gain.claimed:
            net, after = stage.fit(net, faces, whole.seconds), found
            for fold, candidate in zip(folds, candidates):
                fold.net = candidate
    total = gain_of(after, before) if after is not before else None
    if total is None or not total.claimed:
        return FitOutcome(None, whole, tuple(outcomes), None, before, before)
    return FitOutcome(_calibrated(net, after), whole, tuple(outcomes), total, before, after)


def _joined(parts: Iterable[Mapping[str, HeldOut]]) -> dict[str, HeldOut]:
    return {person: found for part in parts for person, found in part.items()}


def _lacking(stage: Stage, faces: Sequence[RatedFace], people: int, minutes: float) -> str:
    """Say why a stage cannot be tried; empty where it can."""
    if people < stage.least_people or minutes < stage.least_minutes:
        needed = f"needs {stage.least_people} and {stage.least_minutes:g}"
        return f"not tried: {people} people and {minutes:.1f} rated minutes, {needed}"
    return "not tried: the faces have no chips" if stage.trains_cnn and not all(f.chips for f in faces) else ""


def _calibrated(net: ASTNet, after: Mapping[str, HeldOut]) -> ASTNet:
    """Return a copy of `net` whose stated confidence fits its errors on held-out people."""
    affect, sigma, ratings = (
        torch.from_numpy(np.concatenate([getattr(one, part) for one in after.values()]))
        for part in ("affect", "sigma", "ratings")
    )
    calibrated = copy.deepcopy(net)
    with torch.no_grad():
        calibrated.temporal.head.bias[2:] += sigma_shifts(affect - ratings, sigma).to(calibrated.temporal.head.bias)
    return calibrated

"""What a fit found, as a table to read, as metrics.json and as the provenance that the weights file carries."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS
from ast_net_ros.temporal_evaluation.fitting.held_out_gain import Gain
from ast_net_ros.temporal_evaluation.fitting.rated_recordings import RatedRecording
from ast_net_ros.temporal_evaluation.fitting.selection import FitOutcome


def metrics_of(
    outcome: FitOutcome,
    recordings: Sequence[RatedRecording],
    left_out: Mapping[str, str],
    parent_sha256: str,
    step_seconds: float,
) -> dict:
    """Return the content of metrics.json; `weights_sha256` is added when there are weights."""
    people = {
        person: {
            "rated_minutes": round(len(before.ratings) * step_seconds / 60, 3),
            "before": before.ccc(),
            "after": outcome.after[person].ccc(),
        }
        for person, before in outcome.before.items()
    }
    return {
        "parent_sha256": parent_sha256,
        "label_delay": {
            "seconds": outcome.delay.seconds,
            "explained": None if math.isnan(outcome.delay.explained) else outcome.delay.explained,
            "at_search_limit": outcome.delay.at_limit,
        },
        "stages": [vars(stage) | {"gain": _gain(stage.gain)} for stage in outcome.stages],
        "gain": _gain(outcome.gain),
        "people": people,
        "recordings": [
            {
                "name": one.name,
                "person": one.face.person,
                "sha256": one.sha256,
                "ratings": one.ratings,
                "ratings_sha256": one.ratings_sha256,
            }
            for one in recordings
        ],
        "left_out": dict(left_out),
    }


def provenance_of(metrics: Mapping) -> str:
    """Return what the weights file states about its origin, as JSON: hashes and numbers, no names."""
    return json.dumps(
        {
            "parent_sha256": metrics["parent_sha256"],
            "label_delay": metrics["label_delay"],
            "stages": [stage["name"] for stage in metrics["stages"] if stage["kept"]],
            "gain": {key: metrics["gain"][key] for key in ("ccc", "interval")},
            "people": len(metrics["people"]),
            "rated_minutes": round(sum(person["rated_minutes"] for person in metrics["people"].values()), 1),
            "data_sha256": [[one["sha256"], one["ratings_sha256"]] for one in metrics["recordings"]],
        },
        sort_keys=True,
    )


def _gain(gain: Gain | None) -> dict | None:
    if gain is None:
        return None
    interval = list(gain.interval) if all(map(math.isfinite, gain.interval)) else None
    return {"ccc": gain.mean, "interval": interval, "by_person": dict(gain.by_person)}


def table_of(metrics: Mapping) -> str:
    """Return the metrics as text: stages, CCC of every person before and after, and what can be claimed."""
    delay = metrics["label_delay"]
    lines = [f"The ratings lag by {delay['seconds']:g} s" + (", the largest tried" if delay["at_search_limit"] else "")]
    lines += [f"{stage['name']:<8}{stage['reason']}" for stage in metrics["stages"]]
    width = max(8, *map(len, metrics["people"]))
    header = "".join(f"{dimension + ' before':>16}{'after':>8}" for dimension in DIMENSIONS)
    lines += ["", "CCC of people while they were held out:", f"{'person':<{width}}{'minutes':>9}{header}"]
    for person, found in metrics["people"].items():
        values = "".join(f"{_number(found['before'][d]):>16}{_number(found['after'][d]):>8}" for d in DIMENSIONS)
        lines.append(f"{person:<{width}}{found['rated_minutes']:>9.1f}{values}")
    return "\n".join([*lines, "", conclusion_of(metrics)])


def _number(value: float | None) -> str:
    return "constant" if value is None else f"{value:.3f}"


def conclusion_of(metrics: Mapping) -> str:
    """Say in one sentence what can be claimed."""
    people, gain = len(metrics["people"]), metrics["gain"]
    if gain is None:
        return (
            f"No gain was found: no stage helps the {people} people while they are held out. Keep the current weights; "
            "no weights were written."
        )
    low, high = gain["interval"]
    return (
        f"CCC (mean of valence and arousal) rises by {gain['ccc']:.3f} on held-out people (95 % interval "
        f"{low:.3f} to {high:.3f}, {people} people)."
    )

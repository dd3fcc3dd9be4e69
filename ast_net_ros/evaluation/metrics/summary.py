"""Compute the content of results.json: metrics of each recording and of all together.

results.schema.json describes every field. A metric without a value is null, with the reason beside it; nothing is NaN.

- A frame is scored if it has a label and an estimate whose face state is at least `warm_up_seconds` old. Frames with a
  label and no estimate are counted, not imputed.
- Offline and live recordings are never pooled.
- Pooled metrics come in two kinds, as in the literature: `mean_of_recordings`, where a short recording has the weight
  of a long one, and `concatenated`, over all scored frames.
- Confidence intervals are over recordings (intervals.py); a single recording has none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ast_net_ros.atomic_files import atomic_write
from ast_net_ros.evaluation.metrics.accuracy import (
    DIMENSIONS,
    MEASURES,
    accuracy,
    change_per_second,
    confidence_calibration,
    mean_of_recordings,
)
from ast_net_ros.evaluation.metrics.intervals import FEW_RECORDINGS, Resampling, interval_of_mean, intervals_of_joined
from ast_net_ros.evaluation.recording_result import NOT_PROCESSED, RecordingResult, read_json

SCHEMA = "ast_net_evaluation/2"
_READABLE_SCHEMAS = ("ast_net_evaluation/1", SCHEMA)  # version 1 names the excluded frames otherwise


class ResultsError(ValueError):
    """A results file that cannot be read; the message names the file and the reason."""


@dataclass(frozen=True)
class MetricOptions:
    """How metrics are computed."""

    warm_up_seconds: float = 0.0  # estimates of a face whose state is younger are excluded; 0 includes all
    resampling: Resampling = field(default_factory=Resampling)  # bootstrap of the confidence intervals

    def __post_init__(self) -> None:
        if not 0 <= self.warm_up_seconds < math.inf:
            raise ValueError(f"warm_up_seconds is {self.warm_up_seconds}; it must be at least 0 seconds")


def evaluation_metrics(
    results: Sequence[RecordingResult], options: MetricOptions | None = None, run: Mapping[str, Any] | None = None
) -> dict:
    """Compute the metrics of every recording and of all together: the content of results.json, without a comparison.

    `run` describes what produced the estimates (command, device, weights, versions), stored as it is.
    """
    options = options or MetricOptions()
    recordings = [_recording_metrics(result, options) for result in results]
    _add_differences_to_offline(results, recordings)
    pooled = {}
    for mode in dict.fromkeys(result.mode for result in results):
        chosen = [index for index, result in enumerate(results) if result.mode == mode]
        pooled[mode] = _pooled_metrics([results[i] for i in chosen], [recordings[i] for i in chosen], options)
    return json_ready(
        {
            "schema": SCHEMA,
            "run": dict(run or {}),
            "options": {"warm_up_seconds": options.warm_up_seconds, **asdict(options.resampling)},
            "recordings": recordings,
            "pooled": pooled,
            "comparison": None,
        }
    )


def estimated(result: RecordingResult) -> np.ndarray:
    """Return N bool: frames that have an estimate."""
    return np.isfinite(result.predicted).all(axis=1)


def counted(result: RecordingResult, warm_up_seconds: float) -> np.ndarray:
    """Return N bool: frames with an estimate after the warm-up, with or without a label."""
    # An unknown (NaN) state age is taken for old enough.
    return estimated(result) & ~(result.state_age < warm_up_seconds)


def scored(result: RecordingResult, warm_up_seconds: float) -> np.ndarray:
    """Return N bool: frames with an estimate after the warm-up and labels of both dimensions."""
    return counted(result, warm_up_seconds) & np.isfinite(result.truth).all(axis=1)


def seconds_of(result: RecordingResult) -> np.ndarray:
    """Return N seconds since the earliest frame."""
    stamps = result.stamps_ns
    return (stamps - stamps.min()) / 1e9 if len(stamps) else np.zeros(0)


def _recording_metrics(result: RecordingResult, options: MetricOptions) -> dict:
    about, frames = result.about, len(result.stamps_ns)
    used, has_estimate = counted(result, options.warm_up_seconds), estimated(result)
    labelled = np.isfinite(result.truth).any(axis=1)
    duration = float(np.ptp(result.stamps_ns)) / 1e9 if frames else 0.0
    problems = [str(problem) for problem in about.get("problems", [])]
    processed = int((result.faces != NOT_PROCESSED).sum())
    metrics: dict = {
        "name": result.name,
        "path": result.path,
        "topic": result.topic,
        "mode": result.mode,
        "partial": bool(about.get("partial", False)),
        "problems": problems,
        "frames": frames,
        "frames_processed": processed,
        "duration_seconds": duration,
        "frames_per_second": (frames - 1) / duration if duration > 0 else None,
        "processing_seconds": about.get("processing_seconds"),
        "coverage": _coverage(frames, int((result.faces > 0).sum()), int(has_estimate.sum())),
        "faces": len({face for face in result.face_ids if face}),
        "warm_up_excluded": int((has_estimate & ~used).sum()),
        "truth": {
            "frames_with_label": int(labelled.sum()),
            "without_estimate": int((labelled & ~has_estimate).sum()),
            "scored": int((used & labelled).sum()),
        },
    }
    for index, dimension in enumerate(DIMENSIONS):
        metrics[dimension] = {
            "mean": float(result.predicted[used, index].mean()) if used.any() else None,
            "deviation": float(result.predicted[used, index].std()) if used.any() else None,
            "accuracy": _accuracy(result, used, index) if labelled.any() else None,
            "smoothness": _smoothness(result, used, index)[0],
        }
    metrics["confidence"] = _confidence([result], options.warm_up_seconds)
    metrics["live"] = about.get("live") if result.mode == "live" else None
    metrics["difference_to_offline"] = None
    return metrics


def _coverage(frames: int, with_face: int, with_estimate: int) -> dict:
    share = with_estimate / frames if frames else None
    return {"frames_with_face": with_face, "frames_with_estimate": with_estimate, "share": share}


def _accuracy(result: RecordingResult, used: np.ndarray, index: int) -> dict:
    """Return `accuracy` and the bias, the mean error."""
    predicted, truth = result.predicted[used, index], result.truth[used, index]
    metrics = accuracy(predicted, truth)
    metrics["bias"] = float(np.nanmean(predicted - truth)) if metrics["count"] else None
    return metrics


def _smoothness(result: RecordingResult, used: np.ndarray, index: int) -> tuple[dict, float, float]:
    """Compute the smoothness of consecutive estimates of one face.

    Returns the metrics, the seconds of steps with an estimate, and those of steps with an estimate and a label.
    """
    faces = np.unique(np.array(result.face_ids, dtype=object).astype(str), return_inverse=True)[1].reshape(-1)
    seconds = np.diff(result.stamps_ns) / 1e9
    steps = used[1:] & used[:-1] & (faces[1:] == faces[:-1]) & (seconds > 0)
    own_seconds = np.where(steps, seconds, np.nan)
    labelled = steps & np.isfinite(np.diff(result.truth[:, index]))
    shared_seconds = np.where(labelled, seconds, np.nan)
    own, shared, target = (
        float(change_per_second(values, spent)) if np.isfinite(spent).any() else None
        for values, spent in (
            (result.predicted[:, index], own_seconds),
            (result.predicted[:, index], shared_seconds),
            (result.truth[:, index], shared_seconds),
        )
    )
    metrics = {
        "change_per_second": own,
        "target_change_per_second": target,
        "ratio": shared / target if shared is not None and target else None,
    }
    return metrics, float(np.nansum(own_seconds)), float(np.nansum(shared_seconds))


def _confidence(results: Sequence[RecordingResult], warm_up_seconds: float) -> dict:
    """Return the mean confidence, and `confidence_calibration` of the scored frames that have a confidence."""
    stated = [result.confidence[counted(result, warm_up_seconds)] for result in results]
    known = np.concatenate([values[np.isfinite(values)] for values in stated] or [np.zeros(0)])
    certainty, error = [], []
    for result in results:
        chosen = scored(result, warm_up_seconds) & np.isfinite(result.confidence)
        certainty.append(result.confidence[chosen])
        error.append(result.predicted[chosen] - result.truth[chosen])
    metrics = confidence_calibration(np.concatenate([*certainty, []]), np.concatenate([*error, np.zeros((0, 2))]))
    return {"mean": float(known.mean()) if len(known) else None, **metrics}


def _pooled_metrics(results: Sequence[RecordingResult], recordings: Sequence[dict], options: MetricOptions) -> dict:
    """Compute the metrics of all recordings of one mode."""
    with_truth = [i for i, metrics in enumerate(recordings) if metrics["truth"]["scored"]]
    frames = sum(metrics["frames"] for metrics in recordings)
    faces, estimates = (
        sum(metrics["coverage"][name] for metrics in recordings)
        for name in ("frames_with_face", "frames_with_estimate")
    )
    pooled: dict = {
        "recordings": len(recordings),
        "recordings_with_truth": len(with_truth),
        "partial": sum(metrics["partial"] for metrics in recordings),
        "frames": frames,
        "duration_seconds": sum(metrics["duration_seconds"] for metrics in recordings),
        "coverage": _coverage(frames, faces, estimates),
        "warm_up_excluded": sum(metrics["warm_up_excluded"] for metrics in recordings),
        "confidence": _confidence(results, options.warm_up_seconds),
        "remarks": _interval_remarks(len(with_truth)),
    }
    for index, dimension in enumerate(DIMENSIONS):
        chosen = [(results[i], recordings[i][dimension]["accuracy"]) for i in with_truth]
        pooled[dimension] = _pooled_dimension(chosen, index, options)
        pooled[dimension]["smoothness"] = _pooled_smoothness(results, index, options.warm_up_seconds)
    return pooled


def _interval_remarks(recordings: int) -> list[str]:
    if recordings == 0:
        return ["no recording has a scored frame: only metrics without labels"]
    if recordings == 1:
        return ["one recording with labels: no confidence interval over recordings"]
    few = f"{recordings} recordings with labels: confidence intervals from so few are rough, and rather too narrow"
    return [few] if recordings < FEW_RECORDINGS else []


def _pooled_dimension(chosen: Sequence[tuple[RecordingResult, dict]], index: int, options: MetricOptions) -> dict:
    pairs = []
    for result, _ in chosen:
        used = counted(result, options.warm_up_seconds) & np.isfinite(result.truth[:, index])
        pairs.append((result.predicted[used, index], result.truth[used, index]))
    predicted, truth = np.concatenate([np.zeros((2, 0)), *pairs], axis=1)
    single = [accuracy for _, accuracy in chosen]
    bias = float((predicted - truth).mean()) if len(truth) else None
    return {
        "mean_of_recordings": mean_of_recordings(single),
        "concatenated": {**accuracy(predicted, truth), "bias": bias},
        "intervals": {
            "mean_of_recordings": {
                measure: interval_of_mean([metrics[measure] for metrics in single], options.resampling)
                for measure in MEASURES
            },
            "concatenated": intervals_of_joined(pairs, options.resampling),
        },
    }


def _pooled_smoothness(results: Sequence[RecordingResult], index: int, warm_up_seconds: float) -> dict:
    """Average the smoothness of the recordings, weighted by the seconds of their steps."""
    single = [_smoothness(result, counted(result, warm_up_seconds), index) for result in results]
    own = _weighted([(f["change_per_second"], seconds) for f, seconds, _ in single])
    target = _weighted([(f["target_change_per_second"], seconds) for f, _, seconds in single])
    ratio = _weighted(
        [(f["ratio"], seconds * (f["target_change_per_second"] or 0.0)) for f, _, seconds in single]
    )  # sum of the estimates' changes over sum of the labels'
    return {"change_per_second": own, "target_change_per_second": target, "ratio": ratio}


def _weighted(pairs: Sequence[tuple[float | None, float]]) -> float | None:
    known = [(value, weight) for value, weight in pairs if value is not None and weight > 0]
    return float(np.average([value for value, _ in known], weights=[w for _, w in known])) if known else None


def _add_differences_to_offline(results: Sequence[RecordingResult], recordings: Sequence[dict]) -> None:
    """Fill in `difference_to_offline` of live recordings whose offline results are present."""
    sources = [(Path(result.path).resolve(), result.topic) for result in results]
    offline = {source: i for i, source in enumerate(sources) if results[i].mode == "offline"}
    for source, live, metrics in zip(sources, results, recordings):
        if live.mode == "live" and source in offline:
            partner = offline[source]
            metrics["difference_to_offline"] = _difference(live, results[partner], metrics, recordings[partner])


def _difference(live: RecordingResult, offline: RecordingResult, live_metrics: dict, offline_metrics: dict) -> dict:
    """Compare the estimates of frames with equal stamps, and the accuracy: live minus offline."""
    _, in_live, in_offline = np.intersect1d(live.stamps_ns, offline.stamps_ns, return_indices=True)
    both = estimated(live)[in_live] & estimated(offline)[in_offline]
    apart = np.abs(live.predicted[in_live] - offline.predicted[in_offline])[both]
    difference: dict = {
        "offline": offline.name,
        "frames_compared": int(both.sum()),
        "estimated_only_offline": int(estimated(offline).sum()) - int(both.sum()),
    }
    for index, dimension in enumerate(DIMENSIONS):
        live_accuracy, offline_accuracy = (f[dimension]["accuracy"] or {} for f in (live_metrics, offline_metrics))
        difference[dimension] = {
            "mean_absolute": float(apart[:, index].mean()) if both.any() else None,
            "largest": float(apart[:, index].max()) if both.any() else None,
            "accuracy": {m: difference_of(live_accuracy.get(m), offline_accuracy.get(m)) for m in MEASURES},
        }
    return difference


def difference_of(value: float | None, reference: float | None) -> float | None:
    """Return value - reference; None if either is missing."""
    return None if value is None or reference is None else value - reference


def json_ready(value: Any) -> Any:
    """Convert to plain Python types, with None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return json_ready(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int, bool)) or value is None else str(value)


def write_results(path: Path, metrics: Mapping) -> None:
    """Write results.json; it appears complete or not at all."""
    atomic_write(path, json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_results(path: Path) -> dict:
    """Read a results.json, given it or its folder. ResultsError: it cannot be read or has another schema."""
    path = path / "results.json" if path.is_dir() else path
    results = read_json(path, ResultsError)
    schema = results.get("schema") if isinstance(results, dict) else None
    if schema not in _READABLE_SCHEMAS:
        raise ResultsError(f"results {path}: the schema is {schema!r}; this version reads {SCHEMA!r}")
    return results

"""results.json follows its schema and holds correct metrics of each recording and of all together."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from ast_net_ros.evaluation.comparison import compare_results
from ast_net_ros.evaluation.metrics.accuracy import Trajectory, accuracy, trajectory_metrics
from ast_net_ros.evaluation.metrics.intervals import Resampling
from ast_net_ros.evaluation.metrics.summary import (
    MetricOptions,
    ResultsError,
    evaluation_metrics,
    read_results,
    write_results,
)
from ast_net_ros.evaluation.recording_result import RecordingResult

OPTIONS = MetricOptions(resampling=Resampling(resamples=50))


def recording(name="walk", seed=0, frames=300, mode="offline", truth=True, about=None, path=None) -> RecordingResult:
    """Ten frames a second of one face, seen from frame 20 on and lost for 30 frames in the middle."""
    generator = np.random.default_rng(seed)
    seconds = np.arange(frames) / 10
    trajectory = np.stack([np.sin(seconds / 5 + seed), np.cos(seconds / 7)], 1) * 0.6
    predicted = 0.8 * trajectory + 0.05 * generator.standard_normal((frames, 2))
    seen = np.arange(frames) >= min(20, frames // 2)
    seen[frames // 2 : frames // 2 + 30] = False
    predicted[~seen] = np.nan
    return RecordingResult(
        name=name,
        path=path or f"/bags/{name}",
        topic="/camera/image_raw",
        mode=mode,
        stamps_ns=(1_700_000_000_000_000_000 + seconds * 1e9).astype(np.int64),
        face_ids=["face_1" if there else "" for there in seen],
        predicted=predicted,
        truth=trajectory if truth else np.full((frames, 2), np.nan),
        confidence=np.where(seen, 0.5 + 0.3 * generator.random(frames), np.nan),
        state_age=np.where(seen, np.maximum(0, seconds - 2), np.nan),
        faces=seen.astype(np.int64),
        about={"processing_seconds": 3.0, **(about or {})},
    )


@cache
def validator() -> jsonschema.Draft202012Validator:
    text = resources.files("ast_net_ros.evaluation.metrics").joinpath("results.schema.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def check(metrics: dict) -> dict:
    validator().validate(metrics)
    json.dumps(metrics, allow_nan=False)
    return metrics


def test_every_kind_of_result_keeps_the_schema():
    live = {"latency_ms": {"median": 21.5, "p99": float("nan")}, "dropped": np.int64(3)}
    results = [
        recording("one"),
        recording("two", 1, truth=False),
        recording("short", 2, frames=1),
        recording("empty", 3, frames=0),
        recording("one", 4, mode="live", about={"live": live, "partial": True, "problems": ["cut off"]}),
    ]
    for some in (results, results[:1], results[1:2], results[3:4], []):
        metrics = check(evaluation_metrics(some, OPTIONS, {"command": "ast_net evaluate", "versions": {"torch": "2"}}))
        metrics["comparison"] = compare_results(metrics, metrics, OPTIONS.resampling)
        check(metrics)
    metrics = check(evaluation_metrics(results, OPTIONS))
    assert metrics["recordings"][4]["live"] == {"latency_ms": {"median": 21.5, "p99": None}, "dropped": 3}
    assert metrics["recordings"][4]["problems"] == ["cut off"] and metrics["recordings"][4]["partial"]


def test_the_schema_refuses_what_it_does_not_describe():
    metrics = evaluation_metrics([recording()], OPTIONS)
    metrics["recordings"][0]["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        check(metrics)


def test_frames_with_label_and_estimate_are_scored():
    result = recording()
    result.truth[100:130] = np.nan
    metrics = evaluation_metrics([result], OPTIONS)["recordings"][0]
    assert metrics["truth"] == {"frames_with_label": 270, "without_estimate": 50, "scored": 220}
    assert metrics["coverage"] == {
        "frames_with_face": 250,
        "frames_with_estimate": 250,
        "share": pytest.approx(250 / 300),
    }
    used = np.isfinite(result.predicted[:, 0]) & np.isfinite(result.truth[:, 0])
    expected = accuracy(result.predicted[used, 0], result.truth[used, 0])
    assert metrics["valence"]["accuracy"]["ccc"] == pytest.approx(expected["ccc"])
    assert metrics["valence"]["accuracy"]["count"] == 220
    assert metrics["valence"]["accuracy"]["bias"] == pytest.approx(
        float((result.predicted[used, 0] - result.truth[used, 0]).mean())
    )


def test_the_warm_up_is_excluded_by_state_age():
    result = recording()
    result.predicted[20:70] = -result.truth[20:70]  # the first five seconds are all wrong
    included = evaluation_metrics([result], OPTIONS)["recordings"][0]
    without = evaluation_metrics([result], MetricOptions(warm_up_seconds=5.0))["recordings"][0]
    assert included["warm_up_excluded"] == 0 and without["warm_up_excluded"] == 50
    assert without["truth"]["scored"] == included["truth"]["scored"] - 50
    assert without["valence"]["accuracy"]["ccc"] > included["valence"]["accuracy"]["ccc"] + 0.1
    assert without["coverage"] == included["coverage"]


def test_pooled_metrics_equal_those_of_whole_trajectories():
    results = [recording("a", 0), recording("b", 1, 500), recording("c", 2, 200)]
    pooled = evaluation_metrics([*results, recording("no truth", 3, truth=False)], OPTIONS)["pooled"]["offline"]
    trajectories = []
    for result in results:
        used = np.isfinite(result.predicted[:, 0])
        trajectories.append(Trajectory(result.name, result.predicted[used], result.truth[used], 0.1))
    expected = trajectory_metrics(trajectories)
    assert pooled["recordings"] == 4 and pooled["recordings_with_truth"] == 3
    for dimension in ("valence", "arousal"):
        assert pooled[dimension]["mean_of_recordings"] == expected[dimension]["mean_of_recordings"]
        joined = {k: v for k, v in pooled[dimension]["concatenated"].items() if k != "bias"}
        assert joined == expected[dimension]["concatenated"]
        for kind in ("mean_of_recordings", "concatenated"):
            low, high = pooled[dimension]["intervals"][kind]["ccc"]
            assert low < pooled[dimension][kind]["ccc"] < high
    assert "3 recordings with labels" in pooled["remarks"][0]


def test_one_recording_has_no_interval():
    pooled = evaluation_metrics([recording()], OPTIONS)["pooled"]["offline"]
    assert set(pooled["valence"]["intervals"]["concatenated"].values()) == {None}
    assert "no confidence interval" in pooled["remarks"][0]


def test_recordings_without_labels_get_label_free_metrics():
    metrics = evaluation_metrics([recording(truth=False)], OPTIONS)
    single, pooled = metrics["recordings"][0], metrics["pooled"]["offline"]
    assert single["valence"]["accuracy"] is None and single["confidence"]["bins"] == []
    assert single["valence"]["smoothness"]["change_per_second"] > 0 and single["confidence"]["mean"] > 0.5
    assert single["coverage"]["share"] > 0.8
    assert pooled["valence"]["concatenated"]["ccc"] is None and pooled["valence"]["smoothness"]["ratio"] is None
    assert "without labels" in pooled["remarks"][0]


def test_smoothness_ignores_gaps_and_changes_of_face():
    result = recording(frames=200)
    result.truth[:] = 0
    result.truth[::2] = 0.01
    result.predicted[:] = result.truth * 3
    result.predicted[100:] += 0.9
    together = evaluation_metrics([result], OPTIONS)["recordings"][0]["arousal"]["smoothness"]
    result.face_ids[:] = ["face_1"] * 100 + ["face_2"] * 100
    apart = evaluation_metrics([result], OPTIONS)["recordings"][0]["arousal"]["smoothness"]
    assert together["change_per_second"] > 0.3 and apart["change_per_second"] == pytest.approx(0.3)
    assert apart["target_change_per_second"] == pytest.approx(0.1) and apart["ratio"] == pytest.approx(3)
    pooled = evaluation_metrics([result, result], OPTIONS)["pooled"]["offline"]["arousal"]["smoothness"]
    assert pooled == pytest.approx(apart)


def test_calibration_error_is_small_for_true_probabilities():
    generator = np.random.default_rng(0)
    result = recording(frames=20_000)
    confidence = generator.uniform(0.05, 0.95, 20_000)
    right = generator.random(20_000) < confidence
    result.predicted[:] = result.truth + np.where(right, 0.1, 0.4)[:, None]
    result.confidence[:] = confidence
    metrics = evaluation_metrics([result], OPTIONS)["recordings"][0]["confidence"]
    assert metrics["calibration_error"] < 0.03 and metrics["rank_correlation"] < -0.4
    result.confidence[:] = 0.9
    assert evaluation_metrics([result], OPTIONS)["recordings"][0]["confidence"]["calibration_error"] > 0.3


def test_live_and_offline_are_pooled_apart_and_compared():
    offline = recording("walk", frames=400)
    live = recording("walk live", frames=400, mode="live", path=offline.path, about={"live": {"dropped": 40}})
    live.predicted[:] += 0.05
    live.predicted[100:140] = np.nan
    live.faces[100:140] = -1
    metrics = check(evaluation_metrics([offline, live], OPTIONS))
    assert metrics["pooled"]["offline"]["recordings"] == metrics["pooled"]["live"]["recordings"] == 1
    single = metrics["recordings"][1]
    difference = single["difference_to_offline"]
    assert metrics["recordings"][0]["difference_to_offline"] is None
    assert difference["offline"] == "walk" and difference["estimated_only_offline"] == 40
    assert difference["valence"]["mean_absolute"] == pytest.approx(0.05)
    expected = single["valence"]["accuracy"]["ccc"] - metrics["recordings"][0]["valence"]["accuracy"]["ccc"]
    assert difference["valence"]["accuracy"]["ccc"] == pytest.approx(expected)
    assert single["frames_processed"] == 360 and single["live"] == {"dropped": 40}


def test_results_read_back_and_other_files_are_refused(tmp_path: Path):
    metrics = evaluation_metrics([recording()], OPTIONS)
    write_results(tmp_path / "results.json", metrics)
    assert read_results(tmp_path) == read_results(tmp_path / "results.json") == metrics
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    (tmp_path / "other.json").write_text('{"schema": "ast_net_evaluation/9"}')
    (tmp_path / "half.json").write_text('{"schema": ')
    (tmp_path / "list.json").write_text("[]")
    for name, reason in (("other", "evaluation/9"), ("half", "not JSON"), ("list", "None"), ("none", "No such file")):
        with pytest.raises(ResultsError, match=f"{name}.json.*{reason}"):
            read_results(tmp_path / f"{name}.json")


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="warm_up_seconds"):
        MetricOptions(warm_up_seconds=-1)

"""Measures of accuracy equal those of SciPy and audmetric, also on degenerate data."""

import json

import audmetric
import numpy as np
import pytest
from scipy import stats

from ast_net_ros.evaluation.metrics.accuracy import (
    Trajectory,
    accuracy,
    change_per_second,
    confidence_calibration,
    convergence_time,
    rank_correlation,
    trajectory_metrics,
)


def _pair(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.uniform(-1, 1, count)
    return np.tanh(0.7 * truth + 0.2 + 0.4 * generator.standard_normal(count)), truth


@pytest.mark.parametrize("seed", range(5))
def test_measures_equal_independent_implementations(seed):
    predicted, truth = _pair(seed)
    metrics = accuracy(predicted, truth)
    r = stats.pearsonr(predicted, truth).statistic
    sp, st = np.std(predicted), np.std(truth)
    ccc = 2 * r * sp * st / (sp**2 + st**2 + (np.mean(predicted) - np.mean(truth)) ** 2)
    assert metrics["r"] == pytest.approx(r, abs=1e-6)
    assert metrics["ccc"] == pytest.approx(ccc, abs=1e-6)
    assert metrics["rmse"] == pytest.approx(np.linalg.norm(predicted - truth) / np.sqrt(len(truth)), abs=1e-6)
    assert metrics["mae"] == pytest.approx(np.mean([abs(p - t) for p, t in zip(predicted, truth)]), abs=1e-6)
    assert metrics["sagr"] == pytest.approx(np.mean([(p > 0) == (t > 0) for p, t in zip(predicted, truth)]), abs=1e-6)
    assert metrics["remarks"] == []


def _awkward_pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    truth = np.linspace(-1, 1, 50)
    return {
        **{f"random {seed}": _pair(seed, 10**seed) for seed in (1, 2, 3, 4)},
        "constant prediction": (np.full(50, 1 / 3), truth),
        "constant truth": (truth, np.full(50, -0.1)),
        "both constant": (np.zeros(50), np.full(50, 0.5)),
        "the truth": (truth, truth),
        "its opposite": (-truth, truth),
        "two moments": (np.array([0.1, 0.2]), np.array([0.4, -0.3])),
        "one moment": (np.array([0.1]), np.array([0.4])),
        "far off": (truth + 1e3, truth + 1e3 + 0.1 * truth**2),
        "nearly constant": (0.3 + 1e-7 * truth, truth),
        "steps": (np.sign(truth), np.round(truth)),
    }


@pytest.mark.filterwarnings("ignore")  # of the other implementations, about what is constant
@pytest.mark.parametrize("name", list(_awkward_pairs()))
def test_measures_equal_audmetric_on_degenerate_data(name):
    predicted, truth = _awkward_pairs()[name]
    metrics = accuracy(predicted, truth)
    varies = len(truth) > 1 and np.ptp(predicted) > 0 and np.ptp(truth) > 0
    if varies:
        assert metrics["r"] == pytest.approx(audmetric.pearson_cc(truth, predicted), abs=1e-6)
        assert metrics["r"] == pytest.approx(stats.pearsonr(predicted, truth).statistic, abs=1e-6)
        assert metrics["ccc"] == pytest.approx(audmetric.concordance_cc(truth, predicted), abs=1e-6)
    else:  # the others divide by zero there, or leave it to chance
        assert metrics["r"] is None and metrics["ccc"] == 0 and "constant" in metrics["remarks"][0]
    errors = np.asarray(predicted) - truth
    assert metrics["rmse"] == pytest.approx(np.sqrt(stats.tmean(errors**2)), abs=1e-6)
    assert metrics["mae"] == pytest.approx(np.linalg.norm(errors, 1) / len(errors), abs=1e-6)
    agree = [(0 < p) - (p < 0) == (0 < t) - (t < 0) for p, t in zip(predicted.tolist(), truth.tolist())]
    assert metrics["sagr"] == pytest.approx(sum(agree) / len(agree), abs=1e-6)
    json.dumps(metrics, allow_nan=False)


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlation_equals_spearman_with_ties(seed):
    predicted, truth = _pair(seed, 100)
    truth = truth.round(1)
    assert rank_correlation(predicted, truth) == pytest.approx(stats.spearmanr(predicted, truth).statistic, abs=1e-6)
    assert rank_correlation(np.ones(5), np.arange(5)) is None


def test_ccc_is_one_only_for_the_truth_itself():
    _, truth = _pair(0)
    assert accuracy(truth, truth)["ccc"] == pytest.approx(1)
    shifted, stretched = accuracy(truth + 0.3, truth), accuracy(2 * truth, truth)
    assert shifted["r"] == pytest.approx(1) and shifted["ccc"] < 0.9
    assert stretched["r"] == pytest.approx(1) and stretched["ccc"] == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("predicted", [np.zeros(50), np.full(50, 0.1), np.full(50, 1 / 3)])
def test_a_constant_prediction_has_ccc_zero_and_no_r(predicted):
    metrics = accuracy(predicted, np.linspace(-1, 1, 50))
    assert metrics["ccc"] == 0 and metrics["r"] is None
    assert "constant prediction" in metrics["remarks"][0]
    assert metrics["rmse"] > 0


def test_constant_truth_and_both_constant_are_named():
    assert accuracy(np.linspace(-1, 1, 9), np.zeros(9))["remarks"] == ["constant truth: r is undefined, CCC is 0"]
    both = accuracy(np.zeros(9), np.zeros(9))
    assert both["ccc"] == 0 and both["r"] is None and both["rmse"] == 0 and both["sagr"] == 1


def test_frames_without_a_label_are_excluded_and_counted():
    predicted, truth = _pair(1)
    holed = truth.copy()
    holed[::3] = np.nan
    metrics = accuracy(predicted, holed)
    kept = np.arange(len(truth)) % 3 != 0
    assert metrics["excluded"] == int((~kept).sum())
    assert metrics["ccc"] == pytest.approx(accuracy(predicted[kept], truth[kept])["ccc"])


def test_no_labels_give_no_metrics_and_a_remark():
    for metrics in (accuracy(np.array([]), np.array([])), accuracy(np.zeros(3), np.full(3, np.nan))):
        assert metrics["ccc"] is None and metrics["rmse"] is None and "no frame" in metrics["remarks"][0]


def test_non_finite_or_unequal_predictions_are_refused():
    with pytest.raises(ValueError, match="1 predictions are not finite"):
        accuracy(np.array([0.1, np.nan]), np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="equal length"):
        accuracy(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="recording 'a'.*T x 2"):
        Trajectory("a", np.zeros((3, 2)), np.zeros((4, 2)), 0.2)


def test_change_per_second_counts_seconds_and_not_steps():
    times = np.arange(0, 10, 0.2)
    ramp = np.stack([0.1 * times, np.arange(len(times)) % 2.0], axis=1)
    assert change_per_second(ramp, 0.2) == pytest.approx([0.1, 5.0], abs=1e-6)
    assert change_per_second(ramp[:1], 0.2).tolist() == [0, 0]


def test_change_per_second_weighs_steps_by_their_time():
    values = np.array([0.0, 0.2, 0.2, 0.7, np.nan, 0.1, 0.1])
    seconds = np.array([0.1, 0.3, 0.6, 0.1, 0.1, 0.0])
    assert change_per_second(values, seconds) == pytest.approx(0.7 / 1.0)
    both = np.stack([values, np.nan_to_num(values)], 1)
    assert change_per_second(both, seconds) == pytest.approx([0.7, (0.7 + 0.7 + 0.1) / 1.2])


def test_calibration_bins_hold_a_tenth_of_the_frames_each():
    confidence = np.linspace(0, 1, 100)[::-1]
    error = np.where(confidence < 0.5, 0.4, 0.1)[:, None] * [1.0, -0.5]
    metrics = confidence_calibration(confidence, error)
    assert [b["within"] for b in metrics["bins"]] == [0.0] * 5 + [1.0] * 5
    assert metrics["bins"][0]["confidence"] == pytest.approx(0.045, abs=0.001)
    assert metrics["bins"][9]["rmse"] == pytest.approx(np.sqrt((0.1**2 + 0.05**2) / 2))
    assert metrics["rank_correlation"] == pytest.approx(stats.spearmanr(confidence, np.abs(error).max(1)).statistic)
    assert confidence_calibration(confidence[:9], error[:9]) == {
        "count": 9,
        "rank_correlation": None,
        "calibration_error": None,
        "bins": [],
    }


def test_convergence_time_is_the_last_moment_apart():
    warm = np.zeros((10, 2))
    cold = np.zeros((10, 2))
    assert convergence_time(cold, warm, 0.2) == 0
    cold[[0, 1, 4], [0, 1, 1]] = 0.06
    assert convergence_time(cold, warm, 0.2) == pytest.approx(1.0)
    cold[9, 0] = 0.06
    assert convergence_time(cold, warm, 0.2) is None


def test_mean_of_recordings_and_concatenated_differ():
    first, second = _pair(0, 100), _pair(1, 300)
    trajectories = [
        Trajectory("a", np.stack([first[0], first[0]], 1), np.stack([first[1], first[1] + 0.5], 1), 0.2),
        Trajectory("b", np.stack([second[0], second[0]], 1), np.stack([second[1], second[1]], 1), 0.2),
        Trajectory("still", np.zeros((10, 2)), np.zeros((10, 2)), 0.2),
    ]
    metrics = trajectory_metrics(trajectories)
    mean, joined = metrics["valence"]["mean_of_recordings"], metrics["valence"]["concatenated"]
    assert mean["r"] == pytest.approx((accuracy(*first)["r"] + accuracy(*second)["r"]) / 2)
    assert mean["ccc"] == pytest.approx((accuracy(*first)["ccc"] + accuracy(*second)["ccc"]) / 3)
    assert mean["recordings_with"] == {"r": 2, "ccc": 3, "rmse": 3, "mae": 3, "sagr": 3}
    assert joined["count"] == 410
    assert metrics["arousal"]["concatenated"]["ccc"] < joined["ccc"]
    json.dumps(metrics, allow_nan=False)


def test_no_recordings_give_no_metrics():
    metrics = trajectory_metrics([])
    assert metrics["recordings"] == 0 and metrics["valence"]["concatenated"]["ccc"] is None


def test_smoothness_compares_with_the_target():
    times = np.arange(0, 60, 0.2)
    truth = np.stack([np.sin(times / 5)] * 2, 1)
    jittery = truth + np.random.default_rng(0).normal(0, 0.1, truth.shape)
    smoothness = trajectory_metrics([Trajectory("a", jittery, truth, 0.2)])["valence"]["smoothness"]
    assert smoothness["ratio"] > 2
    assert trajectory_metrics([Trajectory("a", truth / 2, truth, 0.2)])["arousal"]["smoothness"][
        "ratio"
    ] == pytest.approx(0.5)

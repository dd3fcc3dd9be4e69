"""CCC, ICC and alpha equal independent implementations; intervals hold the truth; undefined is never a number."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ast_net_ros.evaluation.agreement.measures import Sums, agreement_intervals, agreement_measures, icc_f_intervals


def ratings(raters: int, count: int, seed: int, noise: float = 0.3) -> np.ndarray:
    generator = np.random.default_rng(seed)
    truth = generator.uniform(-0.6, 0.6, count)
    offsets = generator.normal(0, 0.2, (raters, 1))
    return (
        generator.uniform(0.5, 1.2, (raters, 1)) * truth + offsets + noise * generator.standard_normal((raters, count))
    )


def measures(values: np.ndarray) -> dict[str, np.ndarray]:
    return {name: found[0] for name, found in agreement_measures(Sums.of(values)).items()}


@pytest.mark.parametrize(("raters", "count", "noise"), [(2, 12, 0.3), (4, 40, 0.1), (6, 25, 2.0)])
def test_icc_and_alpha_equal_pingouins(monkeypatch, raters, count, noise):
    pingouin, pandas = pytest.importorskip("pingouin"), pytest.importorskip("pandas")
    for column in ("CI95", "CI95%"):  # which it rounds to two decimals otherwise
        monkeypatch.setitem(pingouin.options, f"round.column.{column}", None)
    values = ratings(raters, count, raters, noise)
    table = pandas.DataFrame(values.T).melt(ignore_index=False, var_name="rater", value_name="rating").reset_index()
    theirs = pingouin.intraclass_corr(table, targets="index", raters="rater", ratings="rating")
    theirs.columns = [name.replace("CI95%", "CI95") for name in theirs.columns]
    own = measures(values)
    intervals = icc_f_intervals(float(own["icc_3_k"]), count, raters)
    for name, kinds in (("icc_3_1", ("ICC3", "ICC(C,1)")), ("icc_3_k", ("ICC3k", "ICC(C,k)"))):
        (row,) = theirs[theirs["Type"].isin(kinds)].to_dict("records")
        assert own[name] == pytest.approx(row["ICC"], abs=1e-6)
        assert intervals[name] == pytest.approx(list(row["CI95"]), abs=1e-6)
    alpha, _ = pingouin.cronbach_alpha(pandas.DataFrame(values.T))
    assert own["alpha"] == pytest.approx(alpha, abs=1e-6)


def test_icc_equals_the_table_of_shrout_and_fleiss():
    """The example of their article: six targets, four judges; ICC(3,1) = 0.71, ICC(3,k) = 0.91."""
    judges = np.array([[9, 6, 8, 7, 10, 6], [2, 1, 4, 1, 5, 2], [5, 3, 6, 2, 6, 4], [8, 2, 8, 6, 9, 7]], float)
    own = measures(judges)
    assert (round(float(own["icc_3_1"]), 2), round(float(own["icc_3_k"]), 2)) == (0.71, 0.91)


def test_ccc_equals_audmetrics():
    audmetric = pytest.importorskip("audmetric")
    values = ratings(4, 200, 1)
    own = measures(values)
    for a in range(4):
        others = np.delete(values, a, axis=0).mean(axis=0)
        assert own["ccc_others"][a] == pytest.approx(audmetric.concordance_cc(others, values[a]), abs=1e-6)
        assert own["r_others"][a] == pytest.approx(np.corrcoef(others, values[a])[0, 1], abs=1e-9)
        for b in range(4):
            assert own["ccc"][a, b] == pytest.approx(audmetric.concordance_cc(values[a], values[b]), abs=1e-6)


def test_sums_of_blocks_join_to_the_measures_of_all_samples():
    values = ratings(3, 90, 2)
    joined = Sums.joined([Sums.of(values[:, :30]), Sums.of(values[:, 30:40]), Sums.of(values[:, 40:])]).total()
    for name, found in agreement_measures(joined).items():
        assert found[0] == pytest.approx(measures(values)[name], abs=1e-12), name


@pytest.mark.parametrize("value", [0.0, 0.1, 0.7])
def test_constant_ratings_have_no_ccc(value):
    values = ratings(3, 50, 3)
    values[1] = value
    own = measures(values)
    assert np.isnan(own["ccc_mean"]) and np.isnan(own["ccc_others"][1]) and np.isfinite(own["ccc"][0, 2])
    assert np.isfinite(own["icc_3_k"]) and np.isfinite(own["ccc_others"][[0, 2]]).all()
    values[:] = value
    assert all(np.isnan(found).all() for found in measures(values).values())


def test_the_jackknife_equals_leaving_recordings_out_by_hand():
    parts = [ratings(3, 80, seed) for seed in range(6)]
    low, high = agreement_intervals(Sums.joined([Sums.of(part) for part in parts]))["alpha"] or (0, 0)
    logs = []
    for left_out in (None, *range(6)):
        kept = np.concatenate([part for index, part in enumerate(parts) if index != left_out], axis=1)
        logs.append(-np.log(1 - float(measures(kept)["alpha"])))
    error = np.sqrt(5 / 6 * np.sum((np.array(logs[1:]) - np.mean(logs[1:])) ** 2))
    reach = stats.t.ppf(0.975, 5) * error
    assert [low, high] == pytest.approx([1 - np.exp(reach - logs[0]), 1 - np.exp(-reach - logs[0])], abs=1e-9)


def test_intervals_of_recordings_hold_the_truth_where_those_of_samples_do_not():
    """Slow curves of 12 recordings: the interval over recordings is right nine times in ten, that of F hardly ever."""
    generator = np.random.default_rng(6)

    def recording(length: int) -> np.ndarray:
        slow = np.cumsum(generator.standard_normal((5, length)), axis=1) * np.sqrt(8 / length)
        return 0.25 * slow[:1] + 0.2 * slow[1:] + generator.normal(0, 0.2)

    truth = float(measures(np.concatenate([recording(200) for _ in range(4000)], axis=1))["icc_3_k"])
    right = {"recordings": 0, "samples": 0}
    for _ in range(200):
        blocks = Sums.joined([Sums.of(recording(200)) for _ in range(12)])
        found = float(agreement_measures(blocks.total())["icc_3_k"][0])
        low, high = agreement_intervals(blocks)["icc_3_k"] or (0, 0)
        right["recordings"] += low <= truth <= high
        low, high = icc_f_intervals(found, 2400, 4)["icc_3_k"] or (0, 0)
        right["samples"] += low <= truth <= high
    assert right["recordings"] > 175 and right["samples"] < 60


def test_there_is_no_interval_of_one_block_or_without_variance():
    one = Sums.of(ratings(3, 50, 0))
    constant = Sums.joined([Sums.of(np.full((3, 50), 0.2))] * 5)
    for blocks in (one, constant):
        assert set(agreement_intervals(blocks).values()) == {None}

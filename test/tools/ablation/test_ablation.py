"""The ablation: every variant trained and measured alike, as a table, resumable."""

import pytest
import torch

from ablation import ablation as module
from ablation.ablation import (
    Ablation,
    MemorylessHead,
    ablation_table,
    best_window,
    moving_average,
    run_ablation,
)
from ast_net_ros.model.network import AffectOutput, NetworkConfig
from ast_net_ros.temporal_evaluation.held_out import predictor, recorded_metrics
from ast_net_ros.training.data.recordings import StepClip
from ast_net_ros.training.stage2 import TemporalTraining

SMALL = NetworkConfig(attributes=6, hidden=8)


def _draw(count, steps, generator):
    """Slow movement seen through much noise, where memory must help."""
    start = torch.randn(count, 1, 2, generator=generator) * 0.5
    labels = (start + 0.03 * torch.randn(count, steps, 2, generator=generator).cumsum(dim=1)).clamp(-1, 1)
    mixing = torch.randn(2, 6, generator=torch.Generator().manual_seed(99))
    return labels @ mixing + 1.0 * torch.randn(count, steps, 6, generator=generator), labels


def _looks(count, steps, generator):
    features, labels = _draw(count, steps, generator)
    return torch.stack([features, features + 0.5 * torch.randn(features.shape, generator=generator)]), labels


def test_a_moving_average_looks_back_only():
    values = torch.zeros(1, 10, 2)
    values[0, 4] = 6
    smooth = moving_average(values, 3)
    assert smooth[0, :, 0].tolist() == pytest.approx([0, 0, 0, 0, 2, 2, 2, 0, 0, 0])
    assert moving_average(values + 1, 30)[0, 0].tolist() == [1, 1]


def test_a_memoryless_head_has_no_memory():
    head = MemorylessHead(SMALL)
    features = torch.randn(2, 9, 6)
    affect = head(features)[0].affect
    torch.testing.assert_close(head(features.flip(1))[0].affect.flip(1), affect)
    assert affect.abs().max() <= 1


def test_noise_asks_for_a_long_window_and_none_for_a_short_one():
    def noisy(features):
        return AffectOutput(features[..., :2] * 0.5, torch.ones_like(features[..., :2]))

    def still(count, steps, generator):
        labels = torch.rand(count, 1, 2, generator=generator).expand(-1, steps, -1)
        return 2 * labels + torch.randn(count, steps, 2, generator=generator), labels

    def quick(count, steps, generator):
        labels = torch.rand(count, steps, 2, generator=generator)
        return 2 * labels, labels

    assert best_window(noisy, still) == 50
    assert best_window(noisy, quick) == 3


def test_the_ablation_trains_each_variant_for_each_seed_once(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    training = TemporalTraining(
        iterations=40, batch=8, clip_steps=30, largest_shift=8, check_every=5, learning_rate=1e-2
    )
    ablation = Ablation(training, seeds=(1, 2), consistencies=(1.0, 5.0), held_out=12, steps=200, long_steps=300)
    variants = run_ablation(_draw, _draw, SMALL, ablation, tmp_path, _looks)
    assert list(variants) == [
        "CNN alone",
        "CNN + moving average",
        "CNN + LSTM",
        "CNN + Siamese LSTM (1)",
        "CNN + Siamese LSTM (5)",
        "CNN + LSTM, own looks",
        "CNN + Siamese LSTM (1), own looks",
        "CNN + Siamese LSTM (5), own looks",
    ]
    assert all(len(values) == 2 for measures in variants.values() for values in measures.values())
    alone, smooth, lstm = (variants[name] for name in ("CNN alone", "CNN + moving average", "CNN + LSTM"))
    assert sum(smooth["CCC valence"]) > sum(alone["CCC valence"])
    assert sum(lstm["RMSE"]) < sum(alone["RMSE"])
    assert alone["catch-up in s"] == [0, 0]
    assert len({p.name for p in tmp_path.iterdir()}) == 14

    def refuse(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr("ast_net_ros.training.stage2._siamese_loss", refuse)
    assert run_ablation(_draw, _draw, SMALL, ablation, tmp_path, _looks) == variants
    table = ablation_table(variants)
    assert table.count("\n") == 10 and "CNN + Siamese LSTM (5)" in table and "±" in table


def test_a_table_says_where_a_measure_has_no_value():
    table = ablation_table({"a": {"x": [1.0, 2.0], "y": [None, 1.0]}})
    assert "| a | 1.500 ± 0.707 | never in 1 of 2 |" in table


def test_whole_recordings_are_measured_one_by_one():
    features, labels = _draw(3, 50, torch.Generator().manual_seed(0))
    clips = [
        StepClip(f"r{i}", "anna", 0.0, f.numpy(), t.double().numpy()) for i, (f, t) in enumerate(zip(features, labels))
    ]
    clips[0].labels[3:7] = float("nan")
    figures = recorded_metrics(predictor(MemorylessHead(SMALL)), clips, 0.2)
    assert figures["accuracy"]["recordings"] == 3
    assert figures["confidence"]["count"] == 146


def test_wavering_is_unknown_for_short_logs(tmp_path):
    (tmp_path / "temporal.csv").write_text("iteration,ccc_valence,ccc_arousal\n1,0.1,0.1\n2,0.2,0.2\n")
    assert module.fluctuation(tmp_path / "temporal.csv") is None
    rows = "".join(f"{i},{0.5 + 0.1 * (i % 2)},{0.5}\n" for i in range(12))
    (tmp_path / "temporal.csv").write_text("iteration,ccc_valence,ccc_arousal\n" + rows)
    assert module.fluctuation(tmp_path / "temporal.csv") == pytest.approx(0.05)

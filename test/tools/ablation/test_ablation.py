"""The ablation: every variant is trained and measured in the same way; a table; resumable."""

import pytest
import torch

from ablation.ablation import (
    Ablation,
    MemorylessHead,
    ablation_table,
    best_window,
    fluctuation,
    moving_average,
    run_ablation,
)
from ablation.plot import plot_ablation
from ast_net_ros.model.config import AffectOutput, NetworkConfig
from ast_net_ros.temporal_evaluation.temporal_metrics import predictor, recorded_metrics
from ast_net_ros.training.data.recordings import StepClip
from ast_net_ros.training.data.samplers import ClipBatch
from ast_net_ros.training.stage2 import TemporalTraining

SMALL = NetworkConfig(attributes=6, hidden=8)


def _sample(count, steps, generator):
    """Slow movement under much noise, where memory must help."""
    start = torch.randn(count, 1, 2, generator=generator) * 0.5
    labels = (start + 0.03 * torch.randn(count, steps, 2, generator=generator).cumsum(dim=1)).clamp(-1, 1)
    mixing = torch.randn(2, 6, generator=torch.Generator().manual_seed(99))
    return ClipBatch(labels @ mixing + torch.randn(count, steps, 6, generator=generator), labels)


def _sample_two_views(count, steps, generator):
    batch = _sample(count, steps, generator)
    noise = 0.5 * torch.randn(batch.inputs.shape, generator=generator)
    return ClipBatch(batch.inputs, batch.labels, second_view=batch.inputs + noise)


def test_a_moving_average_is_causal():
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


def test_noise_makes_the_best_window_longer():
    def noisy(features):
        return AffectOutput(features[..., :2] * 0.5, torch.ones_like(features[..., :2]))

    def still(count, steps, generator):
        labels = torch.rand(count, 1, 2, generator=generator).expand(-1, steps, -1)
        return ClipBatch(2 * labels + torch.randn(count, steps, 2, generator=generator), labels)

    def quick(count, steps, generator):
        labels = torch.rand(count, steps, 2, generator=generator)
        return ClipBatch(2 * labels, labels)

    assert best_window(noisy, still) == 50
    assert best_window(noisy, quick) == 3


def test_each_variant_is_trained_once_per_seed(tmp_path):
    torch.set_num_threads(1)
    training = TemporalTraining(
        iterations=40, batch=8, clip_steps=30, largest_shift=8, check_every=5, learning_rate=1e-2
    )
    ablation = Ablation(training, seeds=(1, 2), consistencies=(1.0, 5.0), held_out=12, steps=200, long_steps=300)
    variants = run_ablation(_sample, _sample, SMALL, ablation, tmp_path, _sample_two_views)
    assert list(variants) == [
        "CNN alone",
        "CNN + moving average",
        "CNN + LSTM",
        "CNN + Siamese LSTM (1)",
        "CNN + Siamese LSTM (5)",
        "CNN + LSTM, independent augmentation",
        "CNN + Siamese LSTM (1), independent augmentation",
        "CNN + Siamese LSTM (5), independent augmentation",
    ]
    assert all(len(values) == 2 for measures in variants.values() for values in measures.values())
    alone, smooth, lstm = (variants[name] for name in ("CNN alone", "CNN + moving average", "CNN + LSTM"))
    assert sum(smooth["CCC valence"]) > sum(alone["CCC valence"])
    assert sum(lstm["RMSE"]) < sum(alone["RMSE"])
    assert alone["convergence time in s"] == [0, 0]

    logs = {path: path.read_bytes() for path in tmp_path.rglob("temporal.csv")}
    assert len(logs) == 14
    assert run_ablation(_sample, _sample, SMALL, ablation, tmp_path, _sample_two_views) == variants
    assert {path: path.read_bytes() for path in logs} == logs, "trained again"
    plot_ablation(variants, tmp_path / "ablation.png")
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")
    table = ablation_table(variants)
    assert table.count("\n") == 10 and "CNN + Siamese LSTM (5)" in table and "±" in table


def test_a_table_marks_metrics_without_a_value():
    table = ablation_table({"a": {"x": [1.0, 2.0], "y": [None, 1.0]}})
    assert "| a | 1.500 ± 0.707 | never in 1 of 2 |" in table


def test_whole_recordings_are_measured_one_by_one():
    batch = _sample(3, 50, torch.Generator().manual_seed(0))
    clips = [
        StepClip(f"r{i}", "anna", 0.0, f.numpy(), t.double().numpy())
        for i, (f, t) in enumerate(zip(batch.inputs, batch.labels))
    ]
    clips[0].labels[3:7] = float("nan")
    metrics = recorded_metrics(predictor(MemorylessHead(SMALL)), clips, 0.2)
    assert metrics["accuracy"]["recordings"] == 3
    assert metrics["confidence"]["count"] == 146


def test_fluctuation_is_unknown_for_short_logs(tmp_path):
    (tmp_path / "temporal.csv").write_text("iteration,ccc_valence,ccc_arousal\n1,0.1,0.1\n2,0.2,0.2\n")
    assert fluctuation(tmp_path / "temporal.csv") is None
    rows = "".join(f"{i},{0.5 + 0.1 * (i % 2)},{0.5}\n" for i in range(12))
    (tmp_path / "temporal.csv").write_text("iteration,ccc_valence,ccc_arousal\n" + rows)
    assert fluctuation(tmp_path / "temporal.csv") == pytest.approx(0.05)

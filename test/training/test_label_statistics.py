"""Statistics of real raters: simulated recordings move and lag as the file says, and a bad file is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from ast_net_ros.label_statistics import LabelStatistics, RaterNoise, read_label_statistics, write_label_statistics
from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import DiscreteEmotionCNN
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.data.samplers import ClipBatch, delayed_labels
from ast_net_ros.training.data.simulation import SimulatedRecordings, measured_simulation
from ast_net_ros.training.data.sources import Sources, open_samplers

STATISTICS = LabelStatistics(
    recordings=2,
    raters=3,
    minutes=4.0,
    correlation_seconds=((4.0, 2.0), (4.0, 2.0)),
    spread=((0.3, 0.1), (0.3, 0.1)),
    mean_spread=0.05,
    still_share=0.3,
    rate_of_change=((0.0, 0.0), (0.01, 0.01), (0.05, 0.05), (0.2, 0.2), (0.6, 0.6)),
    reaction_lags=(0.4, 1.2),
    noise=RaterNoise((0.1, 0.1), (1.0, 1.0)),
)


def test_the_file_is_read_as_it_was_written(tmp_path):
    for statistics in (STATISTICS, replace(STATISTICS, reaction_lags=(), noise=None)):
        write_label_statistics(tmp_path / "label_statistics.json", statistics)
        assert read_label_statistics(tmp_path / "label_statistics.json") == statistics


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": "other"}, "not a label_statistics.json"),
        ({"version": 2}, "version 2, not 1"),
        ({"spread": [[0.3, 1.7]]}, "spread is 1.7"),
        ({"spread": [[0.3, 0.1]]}, "spread has 1 recordings and correlation_seconds 2"),
        ({"spread": [], "correlation_seconds": []}, "at least one"),
        ({"correlation_seconds": [[0, 1], [1, 1]]}, "correlation_seconds is 0"),
        ({"correlation_seconds": "fast"}, "damaged"),
        ({"still_share": None}, "still_share is None"),
        ({"reaction_lags": [True]}, "reaction_lags is True"),
        ({"mean_spread": float("nan")}, "mean_spread is nan"),
        ({"noise": {"spread": [0.1, 0.1]}}, "damaged"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path, change, complaint):
    path = tmp_path / "label_statistics.json"
    write_label_statistics(path, STATISTICS)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=complaint) as refused:
        read_label_statistics(path)
    assert str(path) in str(refused.value)
    for text in ("", "[1]", "{", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(DataError, match=r"label_statistics\.json"):
            read_label_statistics(path)


def test_simulated_trajectories_move_as_measured():
    features = torch.rand(40, 1, 6)
    simulation = measured_simulation(STATISTICS, 0.2)
    recordings = SimulatedRecordings(features, torch.rand(40, 2), simulation)
    paths = recordings.trajectories(400, 600, torch.Generator().manual_seed(0))
    spread = paths.std(dim=1).mean(dim=0)
    assert spread.numpy() == pytest.approx([0.3, 0.1], rel=0.1)
    steps = paths.diff(dim=1).abs()
    assert float((steps == 0).all(dim=-1).float().mean()) == pytest.approx(0.3, abs=0.02)
    centred = paths - paths.mean(dim=1, keepdim=True)
    for dimension, seconds in enumerate((4.0, 2.0)):
        one, lag = centred[:, :, dimension], round(seconds / 0.2)
        correlation = float((one[:, lag:] * one[:, :-lag]).mean() / one.square().mean())
        assert correlation == pytest.approx(np.exp(-1), abs=0.06)
    assert simulation.event_rate == 0


def test_labels_are_late_by_one_of_the_delays():
    def clock(count: int, steps: int, generator: torch.Generator) -> ClipBatch:
        moments = torch.arange(steps, dtype=torch.float32).expand(count, steps)
        inputs = moments.unsqueeze(-1)
        return ClipBatch(inputs, inputs.expand(count, steps, 2), second_view=inputs + 100)

    batch = delayed_labels(clock, (0, 2, 6))(200, 10, torch.Generator().manual_seed(1))
    late = batch.inputs - batch.labels
    assert batch.inputs.shape == (200, 10, 1) and batch.labels.shape == (200, 10, 2)
    assert set(late.unique().tolist()) == {0.0, 2.0, 6.0} and (late == late[:, :1, :1]).all()
    assert batch.second_view is not None and (batch.second_view == batch.inputs + 100).all()


def test_statistics_without_simulation_are_refused(tmp_path):
    write_label_statistics(tmp_path / "label_statistics.json", STATISTICS)
    network = NetworkConfig(widths=(8, 8, 8), depths=(1, 1, 1), attributes=6, hidden=8)
    sources = Sources(
        ("manifest:list.csv",), None, None, None, tmp_path, label_statistics=tmp_path / "label_statistics.json"
    )
    with pytest.raises(DataError, match="give --train and --valid too"):
        open_samplers(sources, DiscreteEmotionCNN(network), network, tmp_path)

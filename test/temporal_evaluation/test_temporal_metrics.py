"""Metrics of stage 2 on trajectories with known results."""

import numpy as np
import pytest
import torch

from ast_net_ros.model.inference import build_model
from ast_net_ros.model.network import AffectOutput, ASTNet, NetworkConfig, weights_of
from ast_net_ros.temporal_evaluation.temporal_metrics import (
    accuracy_metrics,
    confidence_metrics,
    convergence_metrics,
    plot_confidence,
    rate_metrics,
)

SMALL = NetworkConfig(widths=(8, 8, 8), depths=(1, 1, 1), attributes=6, hidden=8)


def _same(features):
    """The first two features are the affect."""
    return AffectOutput(features[..., :2], torch.full_like(features[..., :2], 0.1))


def _slow(features):
    """Follows the features with a time constant of 10 steps from zero."""
    affect = torch.zeros_like(features[..., :2])
    for step in range(features.shape[1]):
        before = affect[:, step - 1] if step else torch.zeros_like(affect[:, 0])
        affect[:, step] = before + (features[:, step, :2] - before) / 10
    return AffectOutput(affect, torch.full_like(affect, 0.1))


def test_the_labels_themselves_have_ccc_one():
    labels = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    holed = labels.clone()
    holed[5:9] = torch.nan
    metrics = accuracy_metrics(_same, [("a", labels, holed)], 0.2)
    assert metrics["valence"]["concatenated"]["ccc"] == pytest.approx(1)
    assert metrics["valence"]["concatenated"]["excluded"] == 4


def test_convergence_time_follows_the_models_time_constant():
    features = torch.full((3, 250, 6), 0.8)
    assert convergence_metrics(_same, features, 0.2)["median"] == 0
    slow = convergence_metrics(_slow, features, 0.2)
    # 0.8 * 0.9 ** n <= 0.05 first holds for n = 27 updates: 26 steps lie further off.
    assert slow["median"] == pytest.approx(26 * 0.2) and slow["never"] == 0 and slow["starts"] == 9

    def never(features):
        moved = _same(features)
        return AffectOutput(moved.affect + 0.1 * features.shape[1] / 250, moved.sigma)

    assert convergence_metrics(never, features, 0.2)["median"] is None
    assert convergence_metrics(never, features, 0.2)["never"] == 1
    assert convergence_metrics(_same, features[:, :20], 0.2)["starts"] == 0


def test_true_sigmas_give_calibrated_confidence():
    generator = torch.Generator().manual_seed(0)
    sigma = torch.rand(20, 500, 1, generator=generator).expand(20, 500, 2) * 0.4 + 0.05
    labels = torch.zeros(20, 500, 2)
    output = AffectOutput(sigma * torch.randn(20, 500, 2, generator=generator), sigma)
    metrics = confidence_metrics(output, labels)
    assert metrics["rank_correlation"] < -0.4
    assert metrics["calibration_error"] < 0.02
    assert metrics["within_one_sigma"] == pytest.approx([0.683, 0.683], abs=0.02)
    assert metrics["bins"][0]["rmse"] > 3 * metrics["bins"][-1]["rmse"]
    overconfident = confidence_metrics(AffectOutput(output.affect, torch.full_like(sigma, 0.05)), labels)
    assert overconfident["calibration_error"] > 0.2 and overconfident["rank_correlation"] is None
    assert confidence_metrics(output, torch.full_like(labels, torch.nan))["count"] == 0


def test_the_model_is_independent_of_the_frame_rate():
    torch.manual_seed(0)
    net = ASTNet(SMALL)
    model = build_model(weights_of(net))
    times = torch.arange(0, 10, 0.02)
    smooth = torch.sin(times / 3).view(1, -1, 1).expand(2, -1, 6)
    metrics = rate_metrics(model, smooth, 0.02)
    assert set(metrics["rmse"]) == {"25 Hz", "12.5 Hz", "8 Hz", "50 Hz, 30% lost"}
    assert metrics["within"] and 0 < metrics["largest"] < 0.02
    wild = 30 * torch.randn(2, 500, 6, generator=torch.Generator().manual_seed(0))
    assert rate_metrics(model, wild, 0.02)["largest"] > metrics["largest"]


def test_plots_are_drawn(tmp_path):
    bins = [{"confidence": c, "within": c, "rmse": 1 - c} for c in np.linspace(0.1, 0.9, 10)]
    plot_confidence({"bins": bins, "rank_correlation": -0.5}, tmp_path / "confidence.png")
    assert (tmp_path / "confidence.png").read_bytes()[:4] == b"\x89PNG"

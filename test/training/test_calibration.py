"""Confidence is fitted to the errors on held-out people; estimates do not change."""

import pytest
import torch

from ast_net_ros.model.config import CONFIDENCE_RADIUS, NetworkConfig, confidence
from ast_net_ros.model.network import StackedLSTM
from ast_net_ros.training.calibration import calibrate_sigma
from ast_net_ros.training.data.samplers import ClipBatch
from ast_net_ros.training.stage2 import temporal_metrics

SMALL = NetworkConfig(attributes=6, hidden=8, layers=1)


def _noisy(model: StackedLSTM, spread: float):
    """Clips whose labels are the estimates plus noise: `spread` in valence, half of that in arousal."""

    def sample(count: int, steps: int, generator: torch.Generator):
        features = torch.randn(count, steps, 6, generator=generator)
        with torch.no_grad():
            estimate = model(features)[0].affect
        off = torch.randn(estimate.shape, generator=generator) * torch.tensor([spread, spread / 2])
        return ClipBatch(features, estimate + off)

    return sample


@pytest.mark.parametrize("spread", [0.15, 0.4])
def test_errors_lie_within_sigma_as_often_as_stated(spread):
    torch.manual_seed(0)
    model = StackedLSTM(SMALL).eval()
    sampler = _noisy(model, spread)
    before = temporal_metrics(model, sampler, count=40, steps=50)
    features = sampler(2, 20, torch.Generator().manual_seed(3)).inputs
    with torch.no_grad():
        estimate = model(features)[0].affect
    calibrate_sigma(model, sampler, count=40)
    after = temporal_metrics(model, sampler, count=40, steps=50)
    for name in ("valence", "arousal"):
        assert abs(before[f"within_one_sigma_{name}"] - 0.683) > 0.1
        assert after[f"within_one_sigma_{name}"] == pytest.approx(0.683, abs=0.05)
    with torch.no_grad():
        torch.testing.assert_close(model(features)[0].affect, estimate, atol=0, rtol=0)


def test_confidence_is_right_for_heavy_tailed_errors():
    torch.manual_seed(0)
    model = StackedLSTM(SMALL).eval()

    def sample(count: int, steps: int, generator: torch.Generator):
        features = torch.randn(count, steps, 6, generator=generator)
        with torch.no_grad():
            estimate = model(features)[0].affect
        rarely_large = torch.where(torch.rand(estimate.shape, generator=generator) < 0.1, 1.0, 0.05)
        return ClipBatch(features, estimate + rarely_large * torch.randn(estimate.shape, generator=generator))

    calibrate_sigma(model, sample, count=40)
    batch = sample(40, 50, torch.Generator().manual_seed(9))
    with torch.no_grad():
        output, _ = model(batch.inputs)
    within = ((output.affect - batch.labels).abs() < CONFIDENCE_RADIUS).all(dim=-1).float().mean()
    assert float(confidence(output.sigma).mean()) == pytest.approx(float(within), abs=0.03)


def test_without_labels_nothing_is_changed():
    torch.manual_seed(0)
    model = StackedLSTM(SMALL).eval()
    before = model.head.bias.clone()

    def sample(count: int, steps: int, generator: torch.Generator):
        return ClipBatch(torch.randn(count, steps, 6, generator=generator), torch.full((count, steps, 2), torch.nan))

    assert calibrate_sigma(model, sample, count=2).tolist() == [0, 0]
    torch.testing.assert_close(model.head.bias, before, atol=0, rtol=0)

"""Confidence is fitted to the errors on held-out people, and the estimates stay."""

import pytest
import torch

from ast_net_ros.model.network import CONFIDENCE_RADIUS, NetworkConfig, StackedLSTM, confidence
from ast_net_ros.training.calibration import calibrate_sigma
from ast_net_ros.training.stage2 import temporal_metrics

SMALL = NetworkConfig(attributes=6, hidden=8, layers=1)


def _noisy(model: StackedLSTM, spread: float):
    """Clips whose truth is what the model says, off by `spread` in valence and half of that in arousal."""

    def draw(count: int, steps: int, generator: torch.Generator):
        features = torch.randn(count, steps, 6, generator=generator)
        with torch.no_grad():
            said = model(features)[0].affect
        off = torch.randn(said.shape, generator=generator) * torch.tensor([spread, spread / 2])
        return features, said + off

    return draw


@pytest.mark.parametrize("spread", [0.15, 0.4])
def test_errors_lie_within_sigma_as_often_as_they_should_afterwards(spread):
    torch.manual_seed(0)
    model = StackedLSTM(SMALL).eval()
    draw = _noisy(model, spread)
    before = temporal_metrics(model, draw, count=40, steps=50)
    features, _ = draw(2, 20, torch.Generator().manual_seed(3))
    with torch.no_grad():
        said = model(features)[0].affect
    calibrate_sigma(model, draw, count=40)
    after = temporal_metrics(model, draw, count=40, steps=50)
    for name in ("valence", "arousal"):
        assert abs(before[f"within_one_sigma_{name}"] - 0.683) > 0.1
        assert after[f"within_one_sigma_{name}"] == pytest.approx(0.683, abs=0.05)
    with torch.no_grad():
        torch.testing.assert_close(model(features)[0].affect, said, atol=0, rtol=0)


def test_confidence_keeps_its_word_for_errors_of_another_shape():
    torch.manual_seed(0)
    model = StackedLSTM(SMALL).eval()

    def draw(count: int, steps: int, generator: torch.Generator):
        features = torch.randn(count, steps, 6, generator=generator)
        with torch.no_grad():
            said = model(features)[0].affect
        rarely_large = torch.where(torch.rand(said.shape, generator=generator) < 0.1, 1.0, 0.05)
        return features, said + rarely_large * torch.randn(said.shape, generator=generator)

    calibrate_sigma(model, draw, count=40)
    features, truth = draw(40, 50, torch.Generator().manual_seed(9))
    with torch.no_grad():
        output, _ = model(features)
    within = ((output.affect - truth).abs() < CONFIDENCE_RADIUS).all(dim=-1).float().mean()
    assert float(confidence(output.sigma).mean()) == pytest.approx(float(within), abs=0.03)


def test_without_a_label_nothing_is_changed():
    torch.manual_seed(0)
    model = StackedLSTM(SMALL).eval()
    before = model.head.bias.clone()

    def draw(count: int, steps: int, generator: torch.Generator):
        return torch.randn(count, steps, 6, generator=generator), torch.full((count, steps, 2), torch.nan)

    assert calibrate_sigma(model, draw, count=2).tolist() == [0, 0]
    torch.testing.assert_close(model.head.bias, before, atol=0, rtol=0)

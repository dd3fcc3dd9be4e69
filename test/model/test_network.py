"""AST-Net: bounds, shapes, and that stepping equals running a clip at once."""

import pytest
import torch

from ast_net_ros.model.config import NetworkConfig, confidence
from ast_net_ros.model.network import ASTNet, standardise

SMALL = NetworkConfig(chip_side=24, widths=(8, 16), depths=(1, 1), attributes=12, hidden=6, layers=3)


@pytest.fixture(scope="module")
def network() -> ASTNet:
    torch.manual_seed(0)
    return ASTNet(SMALL).eval()


@torch.inference_mode()
def test_shapes_and_bounds_hold_for_any_image(network):
    clips = torch.randint(0, 256, (2, 5, 1, 24, 24), dtype=torch.uint8)
    clips[0, 0], clips[0, 1] = 0, 255
    with torch.no_grad():
        network.temporal.head.weight.mul_(100)
        output, logits, state = network(clips)
        network.temporal.head.weight.div_(100)
    assert output.affect.shape == output.sigma.shape == (2, 5, 2)
    assert logits.shape == (2, 5, 8)
    assert state.hidden.shape == state.cell.shape == (3, 2, 6)
    assert output.affect.abs().max() <= 1
    assert (output.sigma > 0).all()
    assert torch.isfinite(output.affect).all() and torch.isfinite(logits).all()


@torch.inference_mode()
def test_stepping_with_explicit_state_equals_the_whole_clip(network):
    clips = torch.randint(0, 256, (3, 7, 1, 24, 24), dtype=torch.uint8)
    whole, _, last = network(clips)
    state = network.initial_state(3)
    for t in range(7):
        attributes, _ = network.encode(clips[:, t])
        output, state = network.step(attributes, state)
        torch.testing.assert_close(output.affect, whole.affect[:, t], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(state.hidden, last.hidden, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_brightness_and_contrast_do_not_reach_the_network():
    chips = torch.randint(60, 160, (2, 1, 24, 24)).float()
    torch.testing.assert_close(standardise(chips), standardise(chips * 1.4 + 12), atol=0.03, rtol=0)


def test_confidence_is_a_probability_that_falls_with_sigma():
    sigma = torch.tensor([[0.02, 0.02], [0.2, 0.2], [0.2, 0.5], [2.0, 2.0]])
    values = confidence(sigma.numpy())
    assert values.tolist() == sorted(values.tolist(), reverse=True)
    assert 0 <= values.min() and values.max() <= 1


def test_confidence_is_the_share_of_errors_within_a_quarter():
    torch.manual_seed(0)
    sigma = torch.tensor([[0.2, 0.3]])
    errors = torch.randn(200_000, 2) * sigma
    share = (errors.abs() <= 0.25).all(dim=1).float().mean()
    assert float(confidence(sigma.numpy())[0]) == pytest.approx(float(share), abs=0.005)

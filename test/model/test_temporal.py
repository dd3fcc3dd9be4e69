"""The recurrent state follows time: rates, gaps, batches and faces that come and go."""

import pytest
import torch

from ast_net_ros.model.inference import DEFAULT_WEIGHTS, AffectModel
from ast_net_ros.model.network import ASTNet, NetworkConfig
from ast_net_ros.model.recurrent_state import FaceState, advance
from ast_net_ros.model.weights import load_weights, save_weights

CONFIG = NetworkConfig(chip_side=16, widths=(8,), depths=(1,), attributes=8, hidden=16, layers=2, step_seconds=0.2)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> AffectModel:
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    network = ASTNet(CONFIG)
    network.temporal.head.weight.data.mul_(12)  # random weights are timid; the tests want curves that move
    network.temporal.lstm.state_dict()["weight_ih_l0"].mul_(3)
    save_weights(network, path, "")
    network, info = load_weights(path)
    return AffectModel(network, info, torch.device("cpu"))


def _signal(stamp: float, phase: float = 0.0) -> torch.Tensor:
    """Features that change smoothly with time."""
    return torch.sin(torch.arange(8) * 0.7 + stamp * 0.8 + phase)


def _run(model, stamps, phase=0.0, start=0.0):
    face = FaceState(start + stamps[0])
    rows = [advance(model, [face], _signal(t, phase).unsqueeze(0), [start + t]).affect[0] for t in stamps]
    return torch.stack(rows), face


@pytest.mark.parametrize("rate", [50.0, 25.0, 12.5, 8.0])
def test_trajectory_does_not_depend_on_the_frame_rate(model, rate):
    reference, _ = _run(model, [i / 100 for i in range(1001)])
    stamps = [i / rate for i in range(int(10 * rate))]
    seen, _ = _run(model, stamps)
    wanted = reference[[round(t * 100) for t in stamps]]
    assert float((seen - wanted).square().mean().sqrt()) < 0.05
    assert float(reference.std(dim=0).min()) > 0.1, "a signal that does not move proves nothing"


def test_trajectory_survives_random_loss_of_frames(model):
    kept = (torch.rand(500, generator=torch.Generator().manual_seed(2)) > 0.3).nonzero().flatten().tolist()
    full, _ = _run(model, [i / 50 for i in range(500)])
    lossy, _ = _run(model, [i / 50 for i in kept])
    assert float((lossy - full[kept]).square().mean().sqrt()) < 0.05


def test_an_estimate_between_steps_commits_nothing(model):
    """Many looks within one step must equal one look with their mean."""
    once, often = FaceState(0.0), FaceState(0.0)
    features = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    advance(model, [once], features.mean(dim=0, keepdim=True), [0.1])
    for i in range(4):
        advance(model, [often], features[i : i + 1], [0.04 * i])
    after = [advance(model, [face], features[:1], [0.3]).affect for face in (once, often)]
    torch.testing.assert_close(*after)


def test_missed_steps_are_taken_with_the_last_features(model):
    held, shown = FaceState(0.0), FaceState(0.0)
    a, b = _signal(0).unsqueeze(0), _signal(2).unsqueeze(0)
    advance(model, [held], a, [0.0])
    for step in range(4):
        advance(model, [shown], a, [step * 0.2])
    torch.testing.assert_close(advance(model, [held], b, [0.8]).affect, advance(model, [shown], b, [0.8]).affect)


def test_faces_in_one_batch_do_not_touch_each_other(model):
    """Joined, apart, in another order, or with others coming and going: each face's trajectory is its own."""
    stamps = [i / 15 for i in range(60)]
    alone = [_run(model, stamps, phase)[0] for phase in (0.0, 1.0, 2.0)]
    faces = [FaceState(0.0) for _ in alone]
    for i, t in enumerate(stamps):
        chosen = [0, 1, 2] if i % 2 else [2, 0, 1]
        features = torch.stack([_signal(t, float(k)) for k in chosen])
        output = advance(model, [faces[k] for k in chosen], features, [t] * 3)
        for row, k in enumerate(chosen):
            torch.testing.assert_close(output.affect[row], alone[k][i], atol=1e-5, rtol=1e-5)


def test_large_epoch_stamps_give_the_trajectory_of_small_ones(model):
    stamps = [i / 30 for i in range(200)]
    small, _ = _run(model, stamps)
    large, face = _run(model, stamps, start=1_790_000_000.0)
    assert float((small - large).abs().max()) < 0.02
    assert face.age == pytest.approx(stamps[-1], abs=1e-5)


def test_a_stamp_seen_twice_or_late_counts_into_the_current_step(model):
    face = FaceState(0.0)
    for stamp in (0.0, 0.45, 0.45, 0.41, 0.1):
        output = advance(model, [face], _signal(stamp).unsqueeze(0), [stamp])
    assert torch.isfinite(output.affect).all()
    assert face.age == pytest.approx(0.45)


@pytest.mark.parametrize("faces", [1, 3, 16])
def test_the_packed_step_equals_the_network_in_one_step_and_in_two_hundred(faces):
    network, info = load_weights(DEFAULT_WEIGHTS)
    packed = AffectModel(network, info, torch.device("cpu"))
    reference, _ = load_weights(DEFAULT_WEIGHTS)
    random = torch.Generator().manual_seed(faces)
    state = expected_state = packed.initial_state(faces)
    for _ in range(200):
        features = torch.rand(faces, packed.config.attributes, generator=random) * 2
        with torch.inference_mode():
            once, _ = reference.step(features, state)
            expected, expected_state = reference.step(features, expected_state)
        output, state = packed.step(features, state)
        for ours, fresh, theirs in zip((*output, *state), once, expected):
            torch.testing.assert_close(ours, fresh, atol=2e-6, rtol=2e-6)
            torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=2e-5)

"""The recurrent state follows time: rates, gaps, batches and faces that come and go."""

import numpy as np
import pytest
import torch

from ast_net_ros.model.config import LSTMState, NetworkConfig
from ast_net_ros.model.inference import DEFAULT_WEIGHTS, AffectModel, load_model
from ast_net_ros.model.network import ASTNet, load_weights, save_weights
from ast_net_ros.model.recurrent_state import FaceState, advance

CONFIG = NetworkConfig(chip_side=16, widths=(8,), depths=(1,), attributes=8, hidden=16, layers=2, step_seconds=0.2)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> AffectModel:
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    network = ASTNet(CONFIG)
    network.temporal.head.weight.data.mul_(12)  # random weights are timid; the tests want curves that move
    network.temporal.lstm.state_dict()["weight_ih_l0"].mul_(3)
    save_weights(network, path, "")
    return load_model(path, "cpu")


def _signal(stamp: float, phase: float = 0.0) -> np.ndarray:
    """Features that change smoothly with time."""
    return np.sin(np.arange(8) * 0.7 + stamp * 0.8 + phase).astype(np.float32)


def _run(model, stamps, phase=0.0, start=0.0):
    face = FaceState(start + stamps[0])
    rows = [advance(model, [face], _signal(t, phase)[None], [start + t]).affect[0] for t in stamps]
    return np.stack(rows), face


@pytest.mark.parametrize("rate", [50.0, 25.0, 12.5, 8.0])
def test_trajectory_does_not_depend_on_the_frame_rate(model, rate):
    reference, _ = _run(model, [i / 100 for i in range(1001)])
    stamps = [i / rate for i in range(int(10 * rate))]
    seen, _ = _run(model, stamps)
    wanted = reference[[round(t * 100) for t in stamps]]
    assert np.sqrt(np.square(seen - wanted).mean()) < 0.05
    assert reference.std(axis=0).min() > 0.1, "a signal that does not move proves nothing"


def test_trajectory_survives_random_loss_of_frames(model):
    kept = np.flatnonzero(np.random.default_rng(2).random(500) > 0.3).tolist()
    full, _ = _run(model, [i / 50 for i in range(500)])
    lossy, _ = _run(model, [i / 50 for i in kept])
    assert np.sqrt(np.square(lossy - full[kept]).mean()) < 0.05


def test_an_estimate_between_steps_commits_nothing(model):
    """Many frames within one step must equal one with their mean."""
    once, often = FaceState(0.0), FaceState(0.0)
    features = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    advance(model, [once], features.mean(axis=0, keepdims=True), [0.1])
    for i in range(4):
        advance(model, [often], features[i : i + 1], [0.04 * i])
    once_after, often_after = [advance(model, [face], features[:1], [0.3]).affect for face in (once, often)]
    np.testing.assert_allclose(once_after, often_after, atol=1e-6)


def test_missed_steps_are_taken_with_the_last_features(model):
    held, shown = FaceState(0.0), FaceState(0.0)
    a, b = _signal(0)[None], _signal(2)[None]
    advance(model, [held], a, [0.0])
    for step in range(4):
        advance(model, [shown], a, [step * 0.2])
    held_end, shown_end = [advance(model, [face], b, [0.8]).affect for face in (held, shown)]
    np.testing.assert_allclose(held_end, shown_end, atol=1e-6)


def test_faces_in_one_batch_do_not_touch_each_other(model):
    """Joined, apart, in another order, or with others coming and going: each face's trajectory is its own."""
    stamps = [i / 15 for i in range(60)]
    alone = [_run(model, stamps, phase)[0] for phase in (0.0, 1.0, 2.0)]
    faces = [FaceState(0.0) for _ in alone]
    for i, t in enumerate(stamps):
        chosen = [0, 1, 2] if i % 2 else [2, 0, 1]
        features = np.stack([_signal(t, float(k)) for k in chosen])
        output = advance(model, [faces[k] for k in chosen], features, [t] * 3)
        for row, k in enumerate(chosen):
            np.testing.assert_allclose(output.affect[row], alone[k][i], atol=1e-5)


def test_large_epoch_stamps_give_the_trajectory_of_small_ones(model):
    stamps = [i / 30 for i in range(200)]
    small, _ = _run(model, stamps)
    large, face = _run(model, stamps, start=1_790_000_000.0)
    assert np.abs(small - large).max() < 0.02
    assert face.age == pytest.approx(stamps[-1], abs=1e-5)


def test_repeated_and_late_stamps_count_into_the_current_step(model):
    face = FaceState(0.0)
    for stamp in (0.0, 0.45, 0.45, 0.41, 0.1):
        output = advance(model, [face], _signal(stamp)[None], [stamp])
    assert np.isfinite(output.affect).all()
    assert face.age == pytest.approx(0.45)


@pytest.mark.parametrize("faces", [1, 3, 16])
def test_the_numpy_step_equals_the_trained_lstm(faces):
    """In one step, and in two hundred whose rounding errors add up."""
    model = load_model(device="cpu")
    reference, _ = load_weights(DEFAULT_WEIGHTS)
    random = np.random.default_rng(faces)
    state, expected_state = model.initial_state(faces), reference.initial_state(faces)
    for _ in range(200):
        features = random.random((faces, model.config.attributes), np.float32) * 2
        with torch.inference_mode():
            tensors = LSTMState(*(torch.from_numpy(part) for part in state))
            once, _ = reference.step(torch.from_numpy(features), tensors)
            expected, expected_state = reference.step(torch.from_numpy(features), expected_state)
        output, state = model.step(features, state)
        for ours, fresh, theirs in zip((*output, *state), once, expected):
            np.testing.assert_allclose(ours, fresh.numpy(), atol=2e-6, rtol=2e-6)
            np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-5, rtol=2e-5)

"""Stage 2 that fine-tunes the CNN: it learns, is resumed, and keeps its emotions."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ast_net_ros.model import load_model
from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import ASTNet, DiscreteEmotionCNN
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.checkpoint import save_cnn
from ast_net_ros.training.commands import train_temporal_command
from ast_net_ros.training.data.recordings import StepClip, chips_by_step
from ast_net_ros.training.data.samplers import independent_augmentation, recorded_clip_sampler
from ast_net_ros.training.fine_tuning import FineTunedNetwork, fine_tune, refit_emotions
from ast_net_ros.training.stage2 import TemporalTraining, temporal_metrics

SMALL = NetworkConfig(widths=(8, 8), depths=(1, 1), attributes=8, hidden=8)
SHORT = TemporalTraining(
    iterations=6, batch=3, clip_steps=12, largest_shift=3, settle_steps=2, check_every=2, cnn_share=0.5
)


def _clips(count: int, seed: int) -> list[StepClip]:
    """Gratings whose direction is the valence, 40 steps each."""
    generator = np.random.default_rng(seed)
    across, down = np.meshgrid(np.arange(48), np.arange(48))
    clips = []
    for index in range(count):
        valence = np.clip(np.cumsum(generator.normal(0, 0.2, 40)), -0.9, 0.9)
        angle = (valence * np.pi / 2)[:, None, None]
        chips = (127 + 90 * np.sin(0.6 * (across * np.cos(angle) + down * np.sin(angle)))).astype(np.uint8)
        labels = np.stack([valence, -valence], axis=1)
        clips.append(StepClip(f"clip {index}", f"person {index}", 0.0, chips, labels))
    return clips


@pytest.fixture
def cnn():
    torch.manual_seed(3)
    return DiscreteEmotionCNN(SMALL).eval()


def test_the_given_cnn_is_not_changed(cnn):
    before = {name: value.clone() for name, value in cnn.state_dict().items()}
    trained = fine_tune(cnn, recorded_clip_sampler(_clips(4, 0)), SMALL, SHORT)
    torch.testing.assert_close(cnn.state_dict(), before, atol=0, rtol=0)
    after = trained.cnn.state_dict()
    assert not torch.equal(after["stem.weight"], before["stem.weight"])
    torch.testing.assert_close(after["stem_norm.running_mean"], before["stem_norm.running_mean"], atol=0, rtol=0)


def test_fine_tuning_fits_better_than_a_frozen_cnn(cnn):
    sampler = recorded_clip_sampler(_clips(12, 1))
    longer = TemporalTraining(iterations=40, batch=4, clip_steps=16, largest_shift=5, learning_rate=5e-3, cnn_share=0.5)
    rmse = {}
    for share in (0.5, 1e-9):
        trained = fine_tune(cnn, sampler, SMALL, TemporalTraining(**{**vars(longer), "cnn_share": share}))
        rmse[share] = temporal_metrics(trained, sampler, count=12, steps=30)["rmse_valence"]
    assert rmse[0.5] < 0.8 * rmse[1e-9]


def test_gradients_equal_those_of_both_parts(cnn):
    whole = FineTunedNetwork(cnn, SMALL).train()
    chips = torch.from_numpy(_clips(1, 2)[0].inputs)[None, :6]
    whole(chips)[0].affect.sum().backward()
    assert whole.cnn.stem.weight.grad is not None
    kept = whole.cnn.stem.weight.grad.clone()
    whole.zero_grad()
    attributes, _ = whole.cnn(chips.flatten(0, 1).unsqueeze(1))
    whole.temporal(attributes.unflatten(0, (1, 6)))[0].affect.sum().backward()
    torch.testing.assert_close(whole.cnn.stem.weight.grad, kept)


def test_a_resumed_run_equals_an_uninterrupted_one(cnn, tmp_path, interrupted):
    sampler = recorded_clip_sampler(_clips(4, 0))
    whole = fine_tune(cnn, sampler, SMALL, SHORT, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fine_tune(cnn, interrupted(sampler, 4), SMALL, SHORT, tmp_path / "cut")
    resumed = fine_tune(cnn, sampler, SMALL, SHORT, tmp_path / "cut")
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), atol=0, rtol=0)


def test_refitted_emotions_are_those_of_before(cnn):
    chips = torch.from_numpy(np.concatenate([clip.inputs for clip in _clips(4, 5)]))
    moved = DiscreteEmotionCNN(SMALL).eval()
    moved.load_state_dict(cnn.state_dict())
    with torch.no_grad():
        turn = torch.linalg.qr(torch.randn(8, 8))[0].abs()
        moved.attributes.weight.copy_(turn @ moved.attributes.weight)

    @torch.no_grad()
    def apart() -> float:
        return float((moved(chips.unsqueeze(1))[1] - cnn(chips.unsqueeze(1))[1]).abs().mean())

    before = apart()
    refit_emotions(cnn, moved, chips)
    assert apart() < 0.5 * before


def test_each_branch_sees_an_augmentation_of_its_own():
    sampler = recorded_clip_sampler(_clips(3, 0))
    augmented = independent_augmentation(sampler)(2, 10, torch.Generator().manual_seed(0))
    plain = sampler(2, 10, torch.Generator().manual_seed(0))
    first, second = augmented.views()
    assert first.shape == second.shape == (2, 10, 48, 48)
    assert not torch.equal(first, second)
    torch.testing.assert_close(augmented.labels, plain.labels)
    assert 1 < float((first - plain.inputs.float()).abs().mean()) < 60


def test_a_step_takes_its_middle_chip_or_the_one_before():
    chips = np.arange(7, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    stamps = np.array([0.0, 0.05, 0.1, 0.25, 0.7, 0.72, 0.79])
    assert chips_by_step(stamps, chips, 0.2)[:, 0, 0].tolist() == [1, 3, 3, 5]


def test_branch_noise_on_chips_is_refused():
    with pytest.raises(DataError, match="the noise is on features"):
        TemporalTraining(branch_noise=0.3, cnn_share=0.1)


def test_the_command_fine_tunes_on_a_video(cnn, media, tmp_path):
    save_cnn(cnn, SMALL, tmp_path / "cnn.safetensors")
    labels = "time,valence,arousal\n" + "".join(f"{i / 10},{i / 40 - 0.3:.3f},0.1\n" for i in range(31))
    (tmp_path / "labels.csv").write_text(labels)
    (tmp_path / "list.csv").write_text(
        "frames,labels,split,person,name,rate\n" + f"{media / 'single_face.mp4'},labels.csv,train,anna,,\n"
    )
    arguments = [
        "--cnn",
        tmp_path / "cnn.safetensors",
        "--data",
        f"manifest:{tmp_path / 'list.csv'}",
        "--fine-tune",
        0.5,
    ]
    arguments += [
        "--output",
        tmp_path / "out",
        "--iterations",
        2,
        "--batch",
        2,
        "--clip-steps",
        8,
        "--independent-augmentation",
    ]
    arguments += ["--largest-shift", 2, "--settle-steps", 1]
    answer = CliRunner().invoke(train_temporal_command, list(map(str, arguments)), catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    model = load_model(tmp_path / "out" / "ast_net.safetensors", "cpu")
    assert model.config == SMALL
    trained = {name for name, value in _weights(tmp_path).items() if not torch.equal(value, cnn.state_dict()[name])}
    assert {"stem.weight", "emotions.weight"} <= trained


def _weights(folder):
    from ast_net_ros.model.network import load_weights

    net: ASTNet = load_weights(folder / "out" / "ast_net.safetensors")[0]
    return net.cnn.state_dict()

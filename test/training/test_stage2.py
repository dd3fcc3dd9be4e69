"""Stage 2: runs are logged, resumed, refused; on recordings with gaps, and in two processes."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ast_net_ros
from ast_net_ros.model.config import AffectOutput, NetworkConfig
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.data.recordings import StepClip
from ast_net_ros.training.data.samplers import ClipBatch, recorded_clip_sampler
from ast_net_ros.training.engine import Engine, start_engine
from ast_net_ros.training.losses import regression_loss
from ast_net_ros.training.stage2 import (
    TemporalTraining,
    check_run,
    temporal_metrics,
    train_siamese,
    train_temporal,
)

SMALL = NetworkConfig(attributes=6, hidden=8, layers=2)
SHORT = TemporalTraining(iterations=12, batch=4, clip_steps=20, largest_shift=6, check_every=4)


def _sample(count, steps, generator):
    labels = torch.rand(count, 1, 2, generator=generator).expand(count, steps, 2) * 2 - 1
    mixing = torch.randn(2, 6, generator=torch.Generator().manual_seed(99))
    return ClipBatch(labels @ mixing + 0.3 * torch.randn(count, steps, 6, generator=generator), labels)


def test_a_run_writes_its_log_and_checkpoint(tmp_path):
    train_temporal(_sample, SMALL, SHORT, tmp_path, valid=_sample)
    rows = list(csv.DictReader((tmp_path / "temporal.csv").open()))
    assert [row["iteration"] for row in rows] == ["4", "8", "12"]
    assert all(float(row["loss"]) >= float(row["regression"]) for row in rows)
    assert -1 <= float(rows[-1]["ccc_valence"]) <= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["temporal.csv", "temporal_state.safetensors"]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, interrupted):
    whole = train_temporal(_sample, SMALL, SHORT, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):  # between two checkpoints
        train_temporal(interrupted(_sample, 11), SMALL, SHORT, tmp_path / "cut")
    resumed = train_temporal(_sample, SMALL, SHORT, tmp_path / "cut")
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, atol=0, rtol=0)
    logs = [list(csv.reader((tmp_path / run / "temporal.csv").open())) for run in ("whole", "cut")]
    assert [row[:4] for row in logs[0]] == [row[:4] for row in logs[1]]
    ended = train_temporal(_sample, SMALL, SHORT, tmp_path / "cut")
    torch.testing.assert_close(ended.state_dict(), resumed.state_dict(), atol=0, rtol=0)


def test_other_settings_or_a_damaged_file_are_not_resumed(tmp_path):
    train_temporal(_sample, SMALL, SHORT, tmp_path)
    with pytest.raises(DataError, match="another output folder"):
        train_temporal(_sample, SMALL, TemporalTraining(iterations=12, consistency=0), tmp_path)
    state = tmp_path / "temporal_state.safetensors"
    state.write_bytes(state.read_bytes()[:50])
    with pytest.raises(DataError, match="delete it to start again"):
        train_temporal(_sample, SMALL, SHORT, tmp_path)


def test_a_run_on_another_cnn_is_not_resumed(tmp_path):
    whole = train_temporal(_sample, SMALL, SHORT, tmp_path, cnn_digest="one")
    again = train_temporal(_sample, SMALL, SHORT, tmp_path, cnn_digest="one")
    torch.testing.assert_close(again.state_dict(), whole.state_dict(), atol=0, rtol=0)
    check_run(tmp_path / "new", SMALL, SHORT, Engine(), "other")
    with pytest.raises(DataError, match=r"cnn\.digest was one, now other"):
        check_run(tmp_path, SMALL, SHORT, Engine(), "other")
    with pytest.raises(DataError, match=r"cnn\.digest was one, now None"):
        train_temporal(_sample, SMALL, SHORT, tmp_path)


def test_moments_without_a_label_have_no_loss():
    generator = torch.Generator().manual_seed(0)
    affect, truth = torch.randn(3, 10, 2, generator=generator), torch.randn(3, 10, 2, generator=generator)
    sigma = torch.full_like(affect, 0.3)
    holed = truth.clone()
    holed[:, 5:, 0] = torch.nan
    expected = regression_loss(AffectOutput(affect[:, :5], sigma[:, :5]), truth[:, :5])
    assert float(regression_loss(AffectOutput(affect, sigma), holed)) == pytest.approx(float(expected))
    affect.requires_grad_()
    nothing = regression_loss(AffectOutput(affect, sigma), torch.full_like(truth, torch.nan))
    nothing.backward()
    assert nothing.item() == 0 and affect.grad is not None and not affect.grad.any()


def _clips(count: int = 12) -> list[StepClip]:
    generator = np.random.default_rng(0)
    mixing = torch.randn(2, 6, generator=torch.Generator().manual_seed(99)).numpy()
    clips = []
    for index in range(count):
        steps = int(generator.integers(10, 90))
        labels = np.repeat(generator.uniform(-1, 1, (1, 2)), steps, axis=0)
        features = (labels @ mixing + 0.3 * generator.standard_normal((steps, 6))).astype(np.float32)
        labels[generator.random(steps) < 0.2] = np.nan
        clips.append(StepClip(f"clip{index}", "anna", 0.0, features, labels))
    return clips


def test_sampled_features_keep_their_labels():
    clips = _clips()
    batch, again = (recorded_clip_sampler(clips)(200, 30, torch.Generator().manual_seed(0)) for _ in range(2))
    features, labels = batch.inputs, batch.labels
    assert torch.equal(features, again.inputs) and features.shape == (200, 30, 6)
    rows = {tuple(f): label for clip in clips for f, label in zip(clip.inputs.tolist(), clip.labels.tolist())}
    whole = torch.isfinite(labels).all(dim=-1)
    assert 0.3 < float(whole.float().mean()) < 0.9
    for feature, label in zip(features[whole][:300].tolist(), labels[whole][:300].tolist()):
        assert rows[tuple(feature)] == pytest.approx(label, abs=1e-6)
    with pytest.raises(DataError, match="no clip to train on"):
        recorded_clip_sampler([])


def test_training_learns_from_partly_labelled_recordings():
    sampler = recorded_clip_sampler(_clips())
    training = TemporalTraining(iterations=80, batch=8, clip_steps=40, largest_shift=10, learning_rate=1e-2)
    metrics = temporal_metrics(train_temporal(sampler, SMALL, training), sampler, count=50, steps=40)
    assert metrics["ccc_valence"] > 0.7 and metrics["ccc_arousal"] > 0.7


class _Memoryless(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, features):
        affect = torch.tanh(self.scale * features[..., :2])
        return AffectOutput(affect, torch.full_like(affect, 0.3)), None


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_branch_noise_differs_between_the_branches(tmp_path, noise):
    training = TemporalTraining(iterations=2, batch=4, clip_steps=20, largest_shift=6, branch_noise=noise)
    train_siamese(_Memoryless, _sample, SMALL, training, tmp_path)
    (row,) = csv.DictReader((tmp_path / "temporal.csv").open())
    assert (float(row["consistency"]) > 1e-3) == (noise > 0)


def test_one_process_needs_no_fabric():
    assert type(start_engine()) is Engine


def test_a_missing_gpu_is_named():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(DataError, match="device 'cuda'"):
        start_engine(device="cuda")


_TWO_PROCESSES = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.training.data.samplers import ClipBatch
from ast_net_ros.training.engine import start_engine
from ast_net_ros.training.stage2 import TemporalTraining, train_temporal

def sample(count, steps, generator):
    labels = torch.rand(count, 1, 2, generator=generator).expand(count, steps, 2) * 2 - 1
    mixing = torch.randn(2, 6, generator=torch.Generator().manual_seed(99))
    return ClipBatch(labels @ mixing + 0.3 * torch.randn(count, steps, 6, generator=generator), labels)

torch.set_num_threads(1)
out = Path(sys.argv[1])
engine = start_engine(devices=2)
training = TemporalTraining(iterations=12, batch=4, clip_steps=20, largest_shift=6, check_every=4)
model = train_temporal(sample, NetworkConfig(attributes=6, hidden=8, layers=2), training, out, engine=engine)
assert engine.processes == 2
save_file(model.state_dict(), out / f"rank{engine.rank}.safetensors")
"""


def test_torchrun_decides_how_many_processes_there_are(monkeypatch):
    lightning_fabric = pytest.importorskip("lightning_fabric")
    started = {}

    class Fabric:
        global_rank, world_size, device = 3, 4, torch.device("cpu")

        def __init__(self, **options):
            started.update(options)

        def launch(self):
            started["launched"] = True

    monkeypatch.setattr(lightning_fabric, "Fabric", Fabric)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    engine = start_engine()
    assert (engine.rank, engine.processes) == (3, 4)
    assert (started["devices"], started["num_nodes"], started["launched"]) == (2, 2, True)


def test_two_processes_end_with_one_model(tmp_path):
    pytest.importorskip("lightning_fabric")
    script = tmp_path / "two.py"
    script.write_text(_TWO_PROCESSES)
    command = [sys.executable, str(script), str(tmp_path)]
    built = str(Path(ast_net_ros.__path__[0]).parent)
    path = os.pathsep.join([built, os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=240, cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    first, second = (load_file(tmp_path / f"rank{rank}.safetensors") for rank in (0, 1))
    alone = train_temporal(_sample, SMALL, SHORT).state_dict()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=0, rtol=0)
    assert any(not torch.equal(first[name], alone[name]) for name in first), "the second process contributed nothing"
    assert len((tmp_path / "temporal.csv").read_text().splitlines()) == 4

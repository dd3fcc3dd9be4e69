"""Stage 1: training learns, resumes to the same result, and its metrics are right."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from ast_net_ros.model import load_model
from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.rating_files import DataError
from ast_net_ros.training import stage1
from ast_net_ros.training.attribute_metrics import (
    calibration_error,
    classification_metrics,
    face_metrics,
    invariance_metrics,
)
from ast_net_ros.training.augmentation import augment
from ast_net_ros.training.checkpoint import load_cnn
from ast_net_ros.training.commands import evaluate_attributes_command
from ast_net_ros.training.data.faces import Faces
from ast_net_ros.training.data.samplers import rarity_weights, weighted_order
from ast_net_ros.training.smile_metrics import smile_pair_metrics, still_affect
from ast_net_ros.training.stage1 import AttributeTraining, held_out_metrics, train_attributes

SMALL = NetworkConfig(chip_side=48, widths=(8, 8), depths=(1, 1), attributes=8, hidden=4, layers=2)


def _striped_faces(count: int, seed: int) -> Faces:
    """Images that are easy to classify: class 0 has horizontal stripes, class 1 vertical ones."""
    generator = np.random.default_rng(seed)
    label = generator.integers(0, 2, count)
    stripes = (np.arange(48) // 6 % 2 * 120).astype(np.uint8)
    images = np.where(label[:, None, None] == 0, stripes[None, :, None], stripes[None, None, :])
    images = (images + generator.integers(0, 60, (count, 48, 48))).astype(np.uint8)
    votes = np.zeros((count, 10), np.uint8)
    votes[np.arange(count), label] = 10
    return Faces(images, votes, np.zeros(count, bool), images, np.ones(count, bool))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    output = tmp_path_factory.mktemp("run")
    training = AttributeTraining(epochs=3, batch=16, learning_rate=0.05, average_decay=0.8)
    best = train_attributes(_striped_faces(400, 0), _striped_faces(64, 1), output, training, SMALL)
    return output, training, best


def test_training_learns_an_easy_task(run):
    output, _, best = run
    assert best > 0.9
    network, cnn = load_cnn(output / "cnn.safetensors")
    assert network == SMALL
    assert held_out_metrics(cnn, _striped_faces(64, 1))[1] == pytest.approx(best)
    assert len((output / "epochs.csv").read_text().splitlines()) == 4


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, monkeypatch):
    training = AttributeTraining(epochs=3, batch=16, learning_rate=0.05)
    train, valid = _striped_faces(64, 0), _striped_faces(16, 1)
    best = train_attributes(train, valid, tmp_path / "whole", training, SMALL)
    epochs = []

    def ends_in_the_second_epoch(*arguments):
        epochs.append(1)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return held_out_metrics(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage1, "held_out_metrics", ends_in_the_second_epoch)
        train_attributes(train, valid, tmp_path / "cut", training, SMALL)
    assert train_attributes(train, valid, tmp_path / "cut", training, SMALL) == best
    whole, resumed = (load_file(tmp_path / run / "last.safetensors") for run in ("whole", "cut"))
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=0, rtol=0)


def test_the_epoch_of_lowest_cross_entropy_is_kept(tmp_path, monkeypatch):
    metrics = iter([(0.9, 0.5), (0.4, 0.7), (0.6, 0.8)])
    monkeypatch.setattr(stage1, "held_out_metrics", lambda *_: next(metrics))
    training = AttributeTraining(epochs=3, batch=16)
    assert train_attributes(_striped_faces(32, 0), _striped_faces(8, 1), tmp_path, training, SMALL) == 0.7
    kept, last = load_cnn(tmp_path / "cnn.safetensors")[1], load_file(tmp_path / "last.safetensors")
    assert not torch.equal(kept.stem.weight, last["averaged/module.stem.weight"])
    assert (tmp_path / "epochs.csv").read_text().splitlines()[2].split(",")[2:4] == ["0.40000", "0.70000"]


def test_a_run_with_other_settings_is_not_resumed(run):
    output, _, _ = run
    with pytest.raises(DataError, match=r"training\.epochs was 3, now 9.*another output folder"):
        train_attributes(_striped_faces(8, 0), _striped_faces(8, 1), output, AttributeTraining(epochs=9), SMALL)


def test_other_files_are_refused_as_a_cnn(run, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"12345678")
    with pytest.raises(DataError, match=r"x\.safetensors"):
        load_cnn(tmp_path / "x.safetensors")
    with pytest.raises(DataError, match=r"last\.safetensors"):
        load_cnn(run[0] / "last.safetensors")


def test_augmentation_is_repeatable_and_finite():
    chips = torch.from_numpy(_striped_faces(32, 2).chips).unsqueeze(1).float()
    first, second = (augment(chips, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == chips.shape
    assert torch.isfinite(first).all()
    assert not torch.equal(first, augment(chips, torch.Generator().manual_seed(5)))


def test_augmentation_mirrors_half_and_keeps_faces_upright():
    ramp = torch.linspace(0, 255, 48)
    down = ramp.view(1, 1, 48, 1).expand(200, 1, 48, 48)
    along = ramp.view(1, 1, 1, 48).expand(200, 1, 48, 48)
    generator = torch.Generator().manual_seed(0)
    for chips, (low, high) in ((down, (1.0, 1.0)), (along, (0.35, 0.65))):
        axis = 2 if chips is down else 3
        moved = augment(chips, generator)
        rising = (
            moved.narrow(axis, 36, 12).mean(dim=(1, 2, 3)) > moved.narrow(axis, 0, 12).mean(dim=(1, 2, 3))
        ).float()
        assert low <= float(rising.mean()) <= high


def test_classification_metrics_of_a_table_done_by_hand():
    truth = np.array([0, 0, 1, 1, 7])
    emotions = np.full((5, 8), 0.05)
    for row, (emotion, certainty) in enumerate([(0, 0.9), (1, 0.6), (1, 0.8), (1, 0.7), (0, 0.5)]):
        emotions[row, emotion] = certainty
    metrics = classification_metrics(truth, emotions)
    assert metrics["accuracy"] == pytest.approx(0.6)
    assert metrics["accuracy_7"] == pytest.approx(0.75)
    assert metrics["f1"] == {"neutral": 0.5, "happiness": 0.8, "contempt": 0.0}
    assert metrics["macro_f1"] == pytest.approx(1.3 / 3, abs=1e-4)
    assert metrics["confusion"][0][:2] == [1, 1] and metrics["confusion"][7][0] == 1
    assert np.sum(metrics["confusion"]) == 5


def test_calibration_error_grows_with_overconfidence():
    generator = np.random.default_rng(0)
    certainty = generator.uniform(0.2, 1, 100_000)
    honest = generator.uniform(size=100_000) < certainty
    assert calibration_error(certainty, honest) < 0.01
    assert calibration_error(np.full(1000, 0.99), np.arange(1000) % 2 == 0) == pytest.approx(0.49, abs=0.01)


def test_a_still_face_has_bounded_affect():
    model = load_model(device="cpu")
    affect = still_affect(model, np.zeros((3, model.config.attributes), np.float32))
    assert affect.shape == (3, 2) and np.abs(affect).max() <= 1


def test_evaluate_attributes_writes_json(tmp_path):
    faces = _striped_faces(12, 3)
    np.savez(tmp_path / "x.npz", images=faces.images, votes=faces.votes, duplicate_of_train=np.arange(12) < 2)
    arguments = ["--data", str(tmp_path / "x.npz"), "--output", str(tmp_path / "out" / "metrics.json")]
    result = CliRunner().invoke(evaluate_attributes_command, arguments)
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["images"] == 12
    assert metrics["with_duplicates"]["count"] == 12
    assert metrics["without_duplicates"]["count"] == 10
    assert 0 <= metrics["without_duplicates"]["accuracy"] <= 1


def test_rare_emotions_are_sampled_more_often():
    targets = torch.zeros(1000, 8)
    targets[:900, 0] = 1
    targets[900:990, 1] = 1  # the last ten have no target
    generator = torch.Generator().manual_seed(0)
    plain = weighted_order(rarity_weights(targets, 0.0), 990, generator)
    assert sorted(plain.tolist()) == list(range(990))
    order = weighted_order(rarity_weights(targets, 0.5), 990, generator)
    counts = torch.bincount(order, minlength=1000)
    assert counts[990:].sum() == 0
    assert float(counts[900:990].float().mean() / counts[:900].float().mean()) == pytest.approx(10**0.5, rel=0.02)
    assert not torch.equal(order, weighted_order(rarity_weights(targets, 0.5), 990, generator))


def test_weaker_augmentation_changes_chips_less():
    chips = torch.from_numpy(_striped_faces(64, 2).chips).unsqueeze(1).float()
    change = [
        float((augment(chips, torch.Generator().manual_seed(1), strength) - chips.clamp(0, 255)).abs().mean())
        for strength in (0.0, 0.4, 1.0)
    ]
    change_by_mirror_alone = change[0]
    assert change_by_mirror_alone < change[1] < change[2]


def test_training_in_bfloat16_learns(run, tmp_path):
    _, training, _ = run
    fewer_bits = dataclasses.replace(training, precision="bfloat16", epochs=2)
    reached = train_attributes(_striped_faces(200, 0), _striped_faces(64, 1), tmp_path, fewer_bits, SMALL)
    assert reached > 0.9
    assert load_file(tmp_path / "cnn.safetensors")["stem.weight"].dtype == torch.float32


def test_training_starts_from_given_weights(run, tmp_path):
    output, training, best = run
    _, cnn = load_cnn(output / "cnn.safetensors")
    gentle = dataclasses.replace(training, epochs=1, learning_rate=1e-6)
    train, valid = _striped_faces(64, 0), _striped_faces(64, 1)
    assert train_attributes(train, valid, tmp_path, gentle, SMALL, initial_cnn=cnn) == pytest.approx(best, abs=0.05)
    with pytest.raises(DataError, match="another output folder"):
        train_attributes(train, valid, tmp_path, gentle, SMALL)


def test_mirrored_evaluation_is_symmetric():
    model, faces = load_model(device="cpu"), _striped_faces(6, 3)
    turned = dataclasses.replace(faces, chips=np.ascontiguousarray(faces.chips[:, :, ::-1]))
    both = [face_metrics(model, shown, mirrored=True)["with_duplicates"] for shown in (faces, turned)]
    assert both[0]["confusion"] == both[1]["confusion"]
    assert both[0]["calibration_error"] == pytest.approx(both[1]["calibration_error"], abs=1e-4)


def test_invariance_without_usable_faces_is_refused():
    faces = _striped_faces(6, 0)
    faces.found[:] = False
    with pytest.raises(DataError, match=r"--invariance: 0 of 6 faces .* at least two emotions"):
        invariance_metrics(load_model(device="cpu"), faces)


def test_smile_pairs_without_a_face_are_refused(tmp_path):
    for which in ("neutral", "smiling"):
        cv2.imwrite(str(tmp_path / f"anna_{which}.jpg"), np.zeros((90, 90, 3), np.uint8))
    with pytest.raises(DataError, match=r"no pair has a face in both images \(1 pairs\)"):
        smile_pair_metrics(load_model(device="cpu"), tmp_path)


def test_smile_pairs_are_measured(distress_and_smile, tmp_path):
    """A face that turns from distress to a smile, the same turned round, and a person without a face."""
    for name, frames in (("rises", distress_and_smile), ("falls", distress_and_smile[::-1])):
        for which, frame in zip(("neutral", "smiling"), frames):
            cv2.imwrite(str(tmp_path / f"{name}_{which}.jpg"), frame)
    for which in ("neutral", "smiling"):
        cv2.imwrite(str(tmp_path / f"unseen_{which}.jpg"), np.zeros((90, 90, 3), np.uint8))
    metrics = smile_pair_metrics(load_model(device="cpu"), tmp_path)
    assert (metrics["people"], metrics["without_face"], metrics["smile_above_neutral"]) == (3, ["unseen"], 1)
    assert metrics["mean_rise"] == pytest.approx(0.0, abs=1e-3), "what one gains the other loses"
    assert metrics["neutral_spread"] > 0.2
    (tmp_path / "falls_smiling.jpg").unlink()
    with pytest.raises(DataError, match=r"falls_smiling\.jpg: missing"):
        smile_pair_metrics(load_model(device="cpu"), tmp_path)

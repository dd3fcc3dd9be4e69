"""Stage 2's commands on small real data: videos with labels, and simulated recordings of faces cut from videos."""

import json

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ablation.commands import ablate_command
from ast_net_ros.cli import ast_net
from ast_net_ros.label_statistics import LabelStatistics, write_label_statistics
from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import DiscreteEmotionCNN
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.checkpoint import load_cnn, save_cnn
from ast_net_ros.vision.detection import make_detector
from ast_net_ros.vision.video import open_video

SMALL = NetworkConfig(widths=(8, 8, 8), depths=(1, 1, 1), attributes=6, hidden=8)
TINY_RUN = ["--iterations", "6", "--batch", "3", "--clip-steps", "8", "--largest-shift", "2"]


@pytest.fixture(scope="module")
def folder(media, tmp_path_factory):
    """cnn.safetensors, list.csv of two labelled videos, train.npz and valid.npz of faces."""
    folder = tmp_path_factory.mktemp("stage2")
    torch.manual_seed(0)
    save_cnn(DiscreteEmotionCNN(SMALL), SMALL, folder / "cnn.safetensors")
    rows = [
        f"{media / 'single_face.mp4'},labels.csv,train,anna,a",
        f"{media / 'face_noface.mov'},labels.csv,valid,ben,b",
        f"{media / 'no_face.mp4'},labels.csv,train,nobody,c",
    ]
    (folder / "list.csv").write_text("frames,labels,split,person,name\n" + "\n".join(rows) + "\n")
    labels = [f"{t / 10},{np.sin(t / 20):.3f},{np.cos(t / 20):.3f}" for t in range(100)]
    (folder / "labels.csv").write_text("time,valence,arousal\n" + "\n".join(labels) + "\n")
    detector, images = make_detector(threads=1), []
    with open_video(media / "single_face.mp4") as video:
        for index, (_, frame) in enumerate(video):
            if index % 6 == 0:
                x, y, width, height = (round(v) for v in detector.detect(frame)[0].box)
                x, y = max(0, x), max(0, y)
                grey = cv2.cvtColor(frame[y : y + height, x : x + width], cv2.COLOR_BGR2GRAY)
                images.append(cv2.resize(grey, (48, 48), interpolation=cv2.INTER_AREA))
    votes = np.zeros((len(images), 10), np.uint8)
    votes[np.arange(len(images)), np.arange(len(images)) % 8] = 10
    for name in ("train", "valid"):
        np.savez(folder / f"{name}.npz", images=np.stack(images), votes=votes)
    return folder


def _run(*arguments, command=ast_net):
    torch.set_num_threads(1)
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_weights_trained_on_recordings_are_evaluated(folder, tmp_path):
    data = ["--data", f"manifest:{folder / 'list.csv'}"]
    printed = _run("train-temporal", "--cnn", folder / "cnn.safetensors", *data, "--output", tmp_path, *TINY_RUN)
    assert "left out: c: no face found" in printed and "train: 1 recordings" in printed
    _, other = load_cnn(folder / "cnn.safetensors")
    with torch.no_grad():
        other.attributes.bias.add_(1e-3)
    save_cnn(other, SMALL, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match=r"cnn\.digest was .*; choose another output folder"):
        _run("train-temporal", "--cnn", tmp_path / "other.safetensors", *data, "--output", tmp_path, *TINY_RUN)
    assert json.loads((tmp_path / "metrics.json").read_text())["ccc_valence"] is not None
    weights = ["--weights", tmp_path / "ast_net.safetensors"]
    cache = ["--cache", tmp_path / "features"]
    printed = _run("evaluate-temporal", *weights, *data, *cache, "--output", tmp_path / "evaluated")
    assert "recorded valence, concatenated: ccc" in printed
    metrics = json.loads((tmp_path / "evaluated" / "temporal_metrics.json").read_text())
    assert metrics["recorded"]["accuracy"]["arousal"]["mean_of_recordings"]["rmse"] > 0
    assert len(list((tmp_path / "features").iterdir())) == 3, "evaluation encodes nothing again"


def test_simulation_is_trained_evaluated_and_ablated(folder, tmp_path):
    cnn = ["--cnn", folder / "cnn.safetensors"]
    faces = ["--train", folder / "train.npz", "--valid", folder / "valid.npz"]
    _run("train-temporal", *cnn, *faces, "--output", tmp_path, "--versions", "2", *TINY_RUN)
    weights = ["--weights", tmp_path / "ast_net.safetensors"]
    printed = _run("evaluate-temporal", *weights, "--faces", folder / "valid.npz", "--output", tmp_path)
    assert "largest RMSE between frame rates" in printed
    metrics = json.loads((tmp_path / "temporal_metrics.json").read_text())["simulated"]
    assert set(metrics) == {"accuracy", "convergence_time", "confidence", "rate_independence"}
    assert (tmp_path / "confidence.png").is_file()
    printed = _run(
        *cnn,
        *faces,
        *["--output", tmp_path / "ablation", "--independent-augmentation", "--seeds", "1", "--held-out", "4"],
        *TINY_RUN,
        command=ablate_command,
    )
    assert "| CNN + moving average |" in printed
    assert {"ablation.md", "ablation.json", "ablation.png"} <= {p.name for p in (tmp_path / "ablation").iterdir()}


def test_real_and_simulated_recordings_are_mixed(folder, tmp_path):
    statistics = LabelStatistics(1, 3, 1.0, ((4.0, 4.0),), ((0.2, 0.2),), 0.2, 0.5, ((0.1, 0.1),) * 5, (0.4, 1.0))
    write_label_statistics(tmp_path / "label_statistics.json", statistics)
    printed = _run(
        "train-temporal",
        *["--cnn", folder / "cnn.safetensors", "--data", f"manifest:{folder / 'list.csv'}"],
        *[
            "--train",
            folder / "train.npz",
            "--valid",
            folder / "valid.npz",
            "--versions",
            "2",
            "--independent-augmentation",
        ],
        *["--label-statistics", tmp_path / "label_statistics.json", "--label-delay", "0.2"],
        *["--output", tmp_path, *TINY_RUN],
    )
    assert "statistics of 1 recordings by 3 raters; labels 0.2 to 0.8 s late" in printed and "written:" in printed


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "nothing to train on"),
        (["--train", "train.npz"], "both --train and --valid"),
        (["--data", "list.csv"], "expected NAME:PATH"),
        (["--data", "manifest:list.csv", "--clip-steps", "4", "--largest-shift", "9"], "lengthen clip_steps"),
    ],
)
def test_unusable_options_are_refused(folder, tmp_path, monkeypatch, options, complaint):
    monkeypatch.chdir(folder)
    with pytest.raises(DataError, match=complaint):
        _run("train-temporal", "--cnn", "cnn.safetensors", "--output", tmp_path, *options)


def test_avec2012_files_are_trained_and_evaluated(folder, media, tmp_path):
    data = tmp_path / "avec2012"
    for part, stem, video in (("train", "train", "single_face.mp4"), ("devel", "devel", "face_noface.mov")):
        labels = data / "emotion labels" / part / f"FC_{part}_labels"
        labels.mkdir(parents=True)
        for dimension, phase in (("arousal", 0), ("valence", 2)):
            values = [f"{np.sin(i / 40 + phase):.4f}" for i in range(140)]
            (labels / f"labels_continuous_{stem}001_{dimension}.dat").write_text("\n".join(values))
        (data / f"{stem}_video001{video[-4:]}").write_bytes((media / video).read_bytes())
    which = ["--data", f"avec2012:{data}", "--label-delay", "0.4", "--cache", tmp_path / "features"]
    _run("train-temporal", "--cnn", folder / "cnn.safetensors", *which, "--output", tmp_path, *TINY_RUN)
    weights = ["--weights", tmp_path / "ast_net.safetensors"]
    printed = _run("evaluate-temporal", *weights, *which, "--output", tmp_path / "evaluated")
    assert "valid: 1 recordings" in printed
    metrics = json.loads((tmp_path / "evaluated" / "temporal_metrics.json").read_text())["recorded"]
    assert metrics["accuracy"]["valence"]["concatenated"]["count"] >= 8
    with pytest.raises(DataError, match="no usable recording has the split 'test'"):
        _run("evaluate-temporal", *weights, *which, "--split", "test", "--output", tmp_path / "evaluated")

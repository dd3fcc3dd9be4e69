"""Stage 2's commands on small real data: videos with labels, and simulated recordings of faces cut from videos."""

import json

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ast_net_ros.cli import ast_net
from ast_net_ros.model.network import DiscreteEmotionCNN, NetworkConfig
from ast_net_ros.training.data.faces import DataError
from ast_net_ros.vision.detection import FaceDetector
from ast_net_ros.vision.video import open_video

SMALL = NetworkConfig(widths=(8, 8, 8), depths=(1, 1, 1), attributes=6, hidden=8)
TINY_RUN = ["--iterations", "6", "--batch", "3", "--clip-steps", "8", "--largest-shift", "2"]


@pytest.fixture(scope="module")
def folder(media, tmp_path_factory):
    """cnn.safetensors, list.csv of two labelled videos, train.npz and valid.npz of faces."""
    folder = tmp_path_factory.mktemp("stage2")
    torch.manual_seed(0)
    about = {"network": json.dumps({**SMALL.__dict__, "widths": list(SMALL.widths), "depths": list(SMALL.depths)})}
    save_file(DiscreteEmotionCNN(SMALL).state_dict(), folder / "cnn.safetensors", about)
    rows = [
        f"{media / 'single_face.mp4'},labels.csv,train,anna,a",
        f"{media / 'face_noface.mov'},labels.csv,valid,ben,b",
        f"{media / 'no_face.mp4'},labels.csv,train,nobody,c",
    ]
    (folder / "list.csv").write_text("frames,labels,split,person,name\n" + "\n".join(rows) + "\n")
    labels = [f"{t / 10},{np.sin(t / 20):.3f},{np.cos(t / 20):.3f}" for t in range(100)]
    (folder / "labels.csv").write_text("time,valence,arousal\n" + "\n".join(labels) + "\n")
    detector, pictures = FaceDetector(threads=1), []
    with open_video(media / "single_face.mp4") as video:
        for index, (_, frame) in enumerate(video):
            if index % 6 == 0:
                x, y, width, height = (round(v) for v in detector.detect(frame)[0].box)
                x, y = max(0, x), max(0, y)
                grey = cv2.cvtColor(frame[y : y + height, x : x + width], cv2.COLOR_BGR2GRAY)
                pictures.append(cv2.resize(grey, (48, 48), interpolation=cv2.INTER_AREA))
    votes = np.zeros((len(pictures), 10), np.uint8)
    votes[np.arange(len(pictures)), np.arange(len(pictures)) % 8] = 10
    for name in ("train", "valid"):
        np.savez(folder / f"{name}.npz", images=np.stack(pictures), votes=votes)
    return folder


def _run(*arguments):
    torch.set_num_threads(1)
    result = CliRunner().invoke(ast_net, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_training_on_real_recordings_makes_weights_that_can_be_evaluated(folder, tmp_path):
    data = ["--data", f"manifest:{folder / 'list.csv'}"]
    said = _run("train-temporal", "--cnn", folder / "cnn.safetensors", *data, "--output", tmp_path, *TINY_RUN)
    assert "left out: c: no face found" in said and "train: 1 recordings" in said
    tensors = {name: value + 1e-3 for name, value in load_file(folder / "cnn.safetensors").items()}
    with safe_open(folder / "cnn.safetensors", framework="pt") as stored:
        save_file(tensors, tmp_path / "other.safetensors", stored.metadata())
    with pytest.raises(DataError, match=r"cnn\.safetensors .* this one is on .*other\.safetensors"):
        _run("train-temporal", "--cnn", tmp_path / "other.safetensors", *data, "--output", tmp_path, *TINY_RUN)
    assert json.loads((tmp_path / "figures.json").read_text())["ccc_valence"] is not None
    weights = ["--weights", tmp_path / "ast_net.safetensors"]
    cache = ["--cache", tmp_path / "features"]
    said = _run("evaluate-temporal", *weights, *data, *cache, "--output", tmp_path / "figures")
    assert "recorded valence, concatenated: ccc" in said
    figures = json.loads((tmp_path / "figures" / "temporal_metrics.json").read_text())
    assert figures["recorded"]["accuracy"]["arousal"]["mean_of_recordings"]["rmse"] > 0
    assert len(list((tmp_path / "features").iterdir())) == 3, "evaluation encodes nothing anew"


def test_simulation_alone_is_trained_evaluated_and_taken_apart(folder, tmp_path):
    cnn = ["--cnn", folder / "cnn.safetensors"]
    faces = ["--train", folder / "train.npz", "--valid", folder / "valid.npz"]
    _run("train-temporal", *cnn, *faces, "--output", tmp_path, "--versions", "2", *TINY_RUN)
    weights = ["--weights", tmp_path / "ast_net.safetensors"]
    said = _run("evaluate-temporal", *weights, "--faces", folder / "valid.npz", "--output", tmp_path)
    assert "largest RMSE between frame rates" in said
    figures = json.loads((tmp_path / "temporal_metrics.json").read_text())["simulated"]
    assert set(figures) == {"accuracy", "convergence_time", "confidence", "rate_independence"}
    assert (tmp_path / "confidence.png").is_file()
    said = _run(
        "ablate",
        *cnn,
        *faces,
        "--output",
        tmp_path / "ablation",
        "--independent-augmentation",
        "--seeds",
        "1",
        "--held-out",
        "4",
        *TINY_RUN,
    )
    assert "| CNN + moving average |" in said
    assert {"ablation.md", "ablation.json", "ablation.png"} <= {p.name for p in (tmp_path / "ablation").iterdir()}


def test_both_kinds_of_recordings_are_mixed(folder, tmp_path):
    said = _run(
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
        *["--output", tmp_path, *TINY_RUN],
    )
    assert "written:" in said


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "nothing to learn from"),
        (["--train", "train.npz"], "both --train and --valid"),
        (["--data", "list.csv"], "wanted NAME:PATH"),
        (["--data", "manifest:list.csv", "--clip-steps", "4", "--largest-shift", "9"], "lengthen clip_steps"),
    ],
)
def test_what_cannot_be_trained_on_is_named(folder, tmp_path, monkeypatch, options, complaint):
    monkeypatch.chdir(folder)
    with pytest.raises(DataError, match=complaint):
        _run("train-temporal", "--cnn", "cnn.safetensors", "--output", tmp_path, *options)


def test_the_whole_avec2012_path_from_its_files_to_figures(folder, media, tmp_path):
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
    said = _run("evaluate-temporal", *weights, *which, "--output", tmp_path / "figures")
    assert "valid: 1 recordings" in said
    figures = json.loads((tmp_path / "figures" / "temporal_metrics.json").read_text())["recorded"]
    assert figures["accuracy"]["valence"]["concatenated"]["count"] >= 8
    with pytest.raises(DataError, match="no usable recording has the split 'test'"):
        _run("evaluate-temporal", *weights, *which, "--split", "test", "--output", tmp_path / "figures")

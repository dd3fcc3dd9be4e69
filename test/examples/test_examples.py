"""The examples, run as programs, do what their first lines say."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from safetensors.torch import save_file

EXAMPLES = Path(__file__).parents[2] / "examples"
COMPANION = """
import runpy, rclpy
spin = rclpy.spin
def announce(node):
    node.create_timer(1.0, lambda: print("spinning", flush=True))
    spin(node)
rclpy.spin = announce
runpy.run_path({path!r}, run_name="__main__")
"""


def example(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
    env = {**os.environ, "MPLBACKEND": "Agg"}
    return subprocess.run(command, capture_output=True, text=True, cwd="/", env=env, timeout=240, check=False)


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_webcam_prints_a_line_a_second_and_tells_the_mood(media: Path) -> None:
    ended = example("webcam", str(media / "single_face.mp4"), "--seconds", "2.2")
    assert ended.returncode == 0, ended.stderr
    seconds = [int(match) for match in re.findall(r"^ *(\d+) s  face_1 ", ended.stdout, re.MULTILINE)]
    assert seconds == [0, 1, 2]
    assert "warming up" in ended.stdout.splitlines()[0] and "positive" in ended.stdout.splitlines()[-1]


def test_webcam_names_a_file_that_is_not_there() -> None:
    ended = example("webcam", "/nowhere.mp4")
    assert ended.returncode == 1 and ended.stderr.startswith("error: video /nowhere.mp4: no such file")


def test_training_on_a_folder_gives_weights_that_load(media: Path, tmp_path: Path) -> None:
    from ast_net_ros.model import load_model
    from ast_net_ros.model.inference import DEFAULT_WEIGHTS
    from ast_net_ros.model.network import load_weights

    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for name in ("anna_1", "ben_1"):
        shutil.copy(media / "single_face.mp4", recordings / f"{name}.mp4")
        with (recordings / f"{name}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("time", "valence", "arousal"))
            rows.writerows((second / 4, second / 12, 0.1 * (second % 3)) for second in range(12))
    network, _ = load_weights(DEFAULT_WEIGHTS)
    cnn = tmp_path / "cnn.safetensors"
    write_cnn(network, cnn)
    small = ("--iterations", "2", "--batch", "2", "--clip-steps", "6", "--largest-shift", "2", "--settle-steps", "1")
    ended = example("train_on_folder", str(recordings), "--cnn", str(cnn), "--output", str(tmp_path / "own"), *small)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    with (recordings / "manifest.csv").open(newline="") as file:
        assert {row["person"]: row["split"] for row in csv.DictReader(file)} == {"anna": "valid", "ben": "train"}
    assert load_model(tmp_path / "own" / "ast_net.safetensors", "cpu").description == "trained by its user"
    assert (tmp_path / "own" / "temporal_metrics.json").is_file()


def write_cnn(network: Any, path: Path) -> None:
    """The CNN of whole weights as stage 1 leaves it."""
    state = {name: value.contiguous() for name, value in network.cnn.state_dict().items()}
    save_file(state, path, {"network": json.dumps(asdict(network.config))})


def test_one_person_alone_cannot_be_trained_on(tmp_path: Path) -> None:
    ended = example("train_on_folder", str(tmp_path), "--cnn", "x", "--output", str(tmp_path / "own"))
    assert ended.returncode == 1 and "0 people with videos and labels; at least two are needed" in ended.stderr


def test_the_analysis_computes_the_same_concordance() -> None:
    import numpy as np

    from ast_net_ros.evaluation.metrics.accuracy import accuracy

    analysis, random = module("analyse_results"), np.random.default_rng(3)
    truth = random.uniform(-1, 1, 200)
    predicted = 0.6 * truth + random.normal(0, 0.2, 200)
    assert analysis.concordance(predicted, truth) == pytest.approx(accuracy(predicted, truth)["ccc"])
    assert np.isnan(analysis.concordance(np.array([0.1]), np.array([0.2])))


def test_the_analysis_names_a_folder_without_results(tmp_path: Path) -> None:
    ended = example("analyse_results", str(tmp_path))
    assert ended.returncode == 1 and "give the output folder of `ast_net evaluate`" in ended.stderr


def test_the_companion_speaks_rarely(monkeypatch: Any) -> None:
    import rclpy
    from std_msgs.msg import Header

    from ast_net_ros.msg import ValenceArousal, ValenceArousalArray
    from ast_net_ros.ros.conversions import time_message
    from ast_net_ros.ros.runtime.domain import reserve_domain

    monkeypatch.setenv("ROS_DOMAIN_ID", str(reserve_domain()))
    context = rclpy.Context()
    rclpy.init(context=context)
    monkeypatch.setattr("rclpy.node.get_default_context", lambda: context)
    companion = module("behavior_node").Companion()
    said: list[str] = []
    companion._speech.publish = lambda message: said.append(message.data)
    for index in range(240):  # 12 s: distress, a smile soon after it, distress, and a smile late enough
        valence = 0.7 if 60 <= index < 120 or index >= 200 else -0.6
        stamp = time_message(10**12 + index * 50_000_000)
        face = ValenceArousal(face_id="face_1", valence=valence, confidence=0.7, quality=1.0)
        face.state_age = 5.0
        companion._on_faces(ValenceArousalArray(header=Header(stamp=stamp), source="/image", faces=[face]))
    companion.destroy_node()
    rclpy.shutdown(context=context)
    assert said == ["Shall I slow down?", "Good to see you."]


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_the_companion_ends_in_order(signals: list[int], monkeypatch: Any) -> None:
    from ast_net_ros.ros.runtime.domain import reserve_domain

    monkeypatch.setenv("ROS_DOMAIN_ID", str(reserve_domain()))
    command = [sys.executable, "-u", "-c", COMPANION.format(path=str(EXAMPLES / "behavior_node.py"))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/")
    assert process.stdout is not None and process.stdout.readline() == "spinning\n"
    time.sleep(0.2)  # until it waits: rclpy does not survive a signal at every moment
    for number in signals:
        process.send_signal(number)
        time.sleep(0.05)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and errors == ""

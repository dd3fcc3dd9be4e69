"""The parts of the benchmark: frames, counts, floors, peers, summaries, pages."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import ASTNet
from ast_net_ros.vision.detection import make_detector
from bench import gpu, harness, node, peers, table
from bench.detection_cost import DetectionCost, detection_cost
from bench.floors import count_operations, model_cost, stage_floors
from bench.footprint import install_megabytes
from bench.frames import FACE_COUNTS, SIZES, face_box, frames_of, read_clip
from bench.machine import describe_machine, percentiles
from bench.peer_networks import efficientnet_b0, emonet_shaped
from bench.targets import TARGETS, targets
from bench.timing import milliseconds, spread


@pytest.fixture(scope="module")
def clip(media):
    frames, _ = read_clip(media / "WolfgangLanger_Pexels.mp4", 8)
    return frames, face_box(frames)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("faces", FACE_COUNTS)
def test_composed_frames_show_the_wanted_number_of_faces(clip, size, faces):
    frames = frames_of(clip[0], size, faces, clip[1])
    assert 2 <= len(frames) <= 8 and frames[0].shape == (size[1], size[0], 3)
    found = make_detector().detect(frames[-1])
    assert len(found) == faces and min(face.box[2] for face in found) >= 24


def test_frames_of_another_shape_are_cropped(clip):
    wide = make_detector().detect(clip[0][0])[0].box
    cut = make_detector().detect(frames_of(clip[0][:1], (640, 480), 1, clip[1])[0])[0].box
    assert cut[2] / cut[3] == pytest.approx(wide[2] / wide[3], rel=0.1)


def test_operations_are_counted_as_defined():
    convolution = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    assert count_operations(convolution, torch.zeros(1, 3, 10, 10)) == 2 * 10 * 10 * 8 * 3 * 9


def test_model_cost_includes_the_lstm():
    config = NetworkConfig(widths=(8, 16), depths=(1, 1), hidden=16, attributes=32, layers=1)
    cost = model_cost(config)
    # One layer: four gates from 32 attributes and 16 hidden values; the head: 16 to 4.
    assert cost["step"]["operations"] == 2 * (4 * 16 * (32 + 16) + 16 * 4)
    wider = model_cost(NetworkConfig(widths=(16, 32), depths=(1, 1), hidden=16, attributes=32, layers=1))
    assert wider["encode"]["operations"] > 2 * cost["encode"]["operations"]
    assert cost["encode"]["parameters"] + cost["step"]["parameters"] == sum(
        parameter.numel() for parameter in ASTNet(config).parameters()
    )


def test_detection_cost_grows_with_the_frame():
    small, large = detection_cost(640, 360, 320), detection_cost(640, 360, 640)
    assert small.size == (320, 180) and large.size == (640, 360)
    assert 3.5 < large.operations / small.operations < 4.5
    assert small.parameter_bytes == large.parameter_bytes > 1_000_000


def test_floor_is_the_longer_of_arithmetic_and_copies():
    cost = {"encode": {"operations": 2_000_000, "unavoidable_bytes": 1000, "parameters": 1}}
    detection = DetectionCost(operations=10, parameter_bytes=4_000_000, activation_bytes=0, size=(1, 1))
    rate = {"min": 1e9, "median": 1e9, "max": 2e9}
    measured = {name: spread([4.0]) for name in ("encode", "detect", "align", "track")}
    floors = stage_floors(cost, detection, {"align": 2000}, rate, {"in memory": rate}, measured)
    assert floors["encode"]["floor_ms"] == 1.0 and floors["encode"]["times_the_floor"] == 4.0
    assert floors["detect"]["floor_ms"] == pytest.approx(2.0, rel=1e-3), "moving its weights takes longer"
    assert floors["align"]["floor_ms"] == 0.001 and "track" not in floors


def test_peer_networks_have_their_published_sizes():
    b0 = efficientnet_b0(1000)
    assert sum(p.numel() for p in b0.parameters()) == 5_288_548, "Tan and Le 2019: 5.3 million"
    assert count_operations(b0, torch.zeros(1, 3, 224, 224)) / 2e9 == pytest.approx(0.39, abs=0.01)
    emonet = emonet_shaped()
    with torch.inference_mode():
        assert emonet(torch.zeros(1, 3, 256, 256)).shape == (1, 10)


def test_milliseconds_are_those_of_one_call():
    assert milliseconds(lambda: torch.ones(1).item(), seconds=0.01) < 5
    ticks = []
    milliseconds(lambda: ticks.append(1), seconds=0.001)
    assert len(ticks) >= 5


def test_percentiles_without_values_are_empty():
    assert percentiles([]) == {} and percentiles([1, 2, 3])["p50"] == 2


def _peer_python(folder: Path, package: str = "") -> Path:
    """A Python whose environment has this module `fer.fer` as the distribution fer 1.2."""
    (folder / "fer").mkdir()
    (folder / "fer" / "__init__.py").write_text("")
    (folder / "fer" / "fer.py").write_text(package)
    about = folder / "fer-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fer\nVersion: 1.2\n")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


@pytest.mark.parametrize(
    "package, reason",
    [("", "cannot import name 'FER'"), ("raise ImportError('no module named tensorflow')", "no module")],
)
def test_a_peer_that_fails_is_reported_with_the_reason(tmp_path, package, reason):
    python = _peer_python(tmp_path, package)
    with pytest.raises(peers.PeerError, match=reason), peers.running_peer("fer", python, [np.zeros((1, 1, 3))]):
        pass


def test_a_missing_peer_interpreter_is_reported(tmp_path):
    with (
        pytest.raises(peers.PeerError, match="no such executable"),
        peers.running_peer("fer", tmp_path / "no", [np.zeros((1, 1, 3))]),
    ):
        pass


def test_peer_process_times_each_pass(tmp_path):
    package = "print('noise')\nclass FER:\n    def detect_emotions(self, image):\n        return [image.shape]\n"
    frames = [np.zeros((4, 4, 3), np.uint8)] * 3
    with peers.running_peer("fer", _peer_python(tmp_path, package), frames) as (versions, run):
        assert versions["fer"] == "1.2"
        assert run()["faces"] == 3 and run()["seconds"] >= 0


def test_install_size_includes_what_is_required():
    assert 20 < install_megabytes(["numpy"]) < install_megabytes(["onnxruntime"])
    assert install_megabytes(["onnxruntime"], without={"numpy"}) < install_megabytes(["onnxruntime"]) - 20
    assert install_megabytes(["no-such-distribution"]) == 0


def test_growth_excludes_the_warm_up():
    rising = [(float(t), 100e6 + (50e6 if t > 10 else 0) + 1e6 * t) for t in range(91)]
    metrics = node.growth({"samples": rising, "rate": 15.0, "published": 1350, "processor_seconds": 45.0})
    assert metrics["growth_mb_per_minute"] == pytest.approx(60, rel=0.01), "the jump in the warm-up is excluded"
    assert metrics["processor_share"] == 0.5


def test_without_a_gpu_nothing_else_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    results = harness.run_benchmark(harness.Options(video=tmp_path / "none", device="cuda"))
    assert {row["what"] for row in results["skipped"]} == set(harness.SCENARIOS) and not results["metrics"]
    assert "sees no CUDA device" in gpu.why_not("auto") and gpu.why_not("cpu")
    assert "sees no CUDA device" in table.results_page(results)


def test_missing_metrics_meet_no_target():
    rows = targets({})
    assert len(rows) == len(TARGETS) and all(row["met"] is None and row["measured"] is None for row in rows)
    metrics = {"model": {"1 thread": {"1": {"both_ms": spread([2.0])}, "16": {"both_ms": spread([47.0])}}}}
    by_name = {row["metric"]: row for row in targets(metrics)}
    assert by_name["model alone, one face, one thread"]["met"] is True
    assert by_name["each further face, one thread"] | {"target": ""} == {
        "metric": "each further face, one thread", "target": "", "measured": 3.0, "unit": "ms", "met": False,
    }  # fmt: skip


@pytest.mark.parametrize("seconds, measured", [(20.0, None), (600.0, 0.2)])
def test_short_runs_meet_no_growth_target(seconds, measured):
    metrics = {"node": {"growth": {"seconds": seconds, "growth_mb_per_minute": 0.2, "resident_mb": {"max": 1.0}}}}
    row = next(row for row in targets(metrics) if row["metric"].startswith("growth of memory"))
    assert row["measured"] == measured and row["met"] is (None if measured is None else True)


def test_machine_name_is_a_directory_name():
    assert describe_machine("my-robot")["name"] == "my-robot"
    name = describe_machine()["name"]
    assert name and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_numbers_that_json_lacks_become_null():
    assert json.loads(json.dumps(harness.finite({"a": [float("inf"), 1.0, float("nan")]}))) == {"a": [None, 1.0, None]}

"""The benchmark: metrics of a real run, as data, page and plots."""

from __future__ import annotations

import json

from click.testing import CliRunner

from bench import gpu, harness, machine, scenarios
from bench.command import NAMES, bench
from bench.harness import SCENARIOS
from bench.scenarios import AHEAD


def test_bench_writes_metrics_page_and_plots(media, tmp_path, monkeypatch):
    monkeypatch.setattr(scenarios, "SIZES", ((320, 180), (640, 360)))
    monkeypatch.setattr(scenarios, "FACE_COUNTS", {1: (1, 1), 2: (2, 1)})
    monkeypatch.setattr(scenarios, "BATCHES", (1, 4))
    monkeypatch.setattr(harness, "OTHER_BATCHES", (1,))
    monkeypatch.setattr(machine, "MATRIX_SIDE", 256)
    monkeypatch.setattr(machine, "COPY_BYTES", {"in the cache": 1 << 16, "in memory": 1 << 20})
    arguments = [str(media / "single_face.mp4"), "--output", str(tmp_path), "--name", "here", "--frames", "4"]
    wanted = ["--skip", "peers", "--skip", "node", "--repeats", "1", "--device", "cpu"]
    result = CliRunner().invoke(bench, [*arguments, *wanted])
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / "here" / "results.json").read_text())
    metrics = results["metrics"]
    assert set(metrics["model"]["1 thread"]) == {"1", "4"} and len(metrics["pipeline"]) == 2 * 4
    for name, row in metrics["pipeline"].items():
        assert row["faces_per_frame"]["median"] == int(name.split(", ")[1].split()[0])
        for value in row.values():
            assert value["min"] <= value["median"] <= value["max"]
        if name.endswith(AHEAD):  # detection runs in another thread
            assert "detect_ms" not in row
            continue
        stages = sum(row[f"{stage}_ms"]["median"] for stage in ("detect", "align", "track", "encode", "step"))
        assert stages <= 1.5 * 1e3 / row["frames_per_second"]["min"], "stages cannot take longer than the frame"
    floors = metrics["floors"]["stages"]
    assert {"detect", "align", "encode", "step", "decode rgb8", "decode jpeg"} == set(floors)
    assert set(metrics["other_runtimes"]) == {"torch", "onnxruntime"} - {results["configuration"]["runtime"]}
    assert {row["what"]: row["why"] for row in results["skipped"]} == {
        "peers": "not selected by --only or --skip",
        "node": "not selected by --only or --skip",
        "gpu": "--device cpu was asked for",
    }
    page = (tmp_path / "here" / "README.md").read_text()
    assert page in result.output and "640x360, 2 faces, detection in every frame" in page
    assert metrics["footprint"]["resident_mb"]["min"] > 50 and "torch" not in metrics["footprint"]["loaded"]
    assert metrics["footprint"]["install_mb"] > 100
    assert (tmp_path / "here" / "pipeline.png").is_file() and (tmp_path / "here" / "stages.png").is_file()
    assert results["configuration"]["parameters"] > 1e5 and results["schema"] == "ast_net_bench/3"


def test_without_the_requested_gpu_everything_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "why_not", lambda device: "no GPU here")
    result = CliRunner().invoke(bench, ["--device", "cuda", "--output", str(tmp_path), "--name", "here"])
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / "here" / "results.json").read_text())
    assert {row["what"] for row in results["skipped"]} == set(SCENARIOS) == set(NAMES)
    assert all(row["met"] is None for row in results["targets"])

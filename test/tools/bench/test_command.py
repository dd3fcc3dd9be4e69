"""`ast_net bench`: real figures of a real run, as data, page and plots."""

from __future__ import annotations

import json

from click.testing import CliRunner

from bench import gpu, harness, machine, scenarios
from bench.command import NAMES, bench
from bench.harness import SCENARIOS
from bench.scenarios import AHEAD


def test_bench_measures_what_is_wanted_and_writes_data_page_and_plots(media, tmp_path, monkeypatch):
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
    figures = results["figures"]
    assert set(figures["model"]["1 thread"]) == {"1", "4"} and len(figures["pipeline"]) == 2 * 4
    for name, row in figures["pipeline"].items():
        assert row["faces_per_frame"]["median"] == int(name.split(", ")[1].split()[0])
        for figure in row.values():
            assert figure["min"] <= figure["median"] <= figure["max"]
        if name.endswith(AHEAD):  # there the detection's time is another thread's
            assert "detect_ms" not in row
            continue
        stages = sum(row[f"{stage}_ms"]["median"] for stage in ("detect", "align", "track", "encode", "step"))
        assert stages <= 1.5 * 1e3 / row["frames_per_second"]["min"], "stages cannot take longer than the frame"
    floors = figures["floors"]["stages"]
    assert {"detect", "align", "encode", "step", "decode rgb8", "decode jpeg"} == set(floors)
    assert set(figures["other_runtimes"]) == {"torch", "onnxruntime"} - {results["configuration"]["runtime"]}
    assert {row["what"]: row["why"] for row in results["left_out"]} == {
        "peers": "not among --only, or among --skip",
        "node": "not among --only, or among --skip",
        "gpu": "--device cpu was asked for",
    }
    page = (tmp_path / "here" / "README.md").read_text()
    assert page in result.output and "640x360, 2 faces, detection in every frame" in page
    assert (tmp_path / "here" / "pipeline.png").is_file() and (tmp_path / "here" / "stages.png").is_file()
    assert results["configuration"]["parameters"] > 1e5 and results["schema"] == "ast_net_bench/2"


def test_a_gpu_that_is_not_there_ends_the_command_well_with_everything_named(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "why_not", lambda device: "no GPU here")
    result = CliRunner().invoke(bench, ["--device", "cuda", "--output", str(tmp_path), "--name", "here"])
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / "here" / "results.json").read_text())
    assert {row["what"] for row in results["left_out"]} == set(SCENARIOS) == set(NAMES)
    assert all(row["met"] is None for row in results["targets"])

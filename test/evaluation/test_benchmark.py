"""The benchmark: real figures of a real run, as data and as a table."""

import json

from click.testing import CliRunner

from ast_net_ros.evaluation.commands import bench


def test_bench_measures_every_scenario_and_writes_data_and_table(media, tmp_path):
    output = tmp_path / "figures" / "bench.json"
    arguments = [str(media / "single_face.mp4"), "--output", str(output), "--frames", "4", "--repeats", "2"]
    result = CliRunner().invoke(bench, [*arguments, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    results = json.loads(output.read_text())
    assert results["configuration"]["frames"] == 4 and len(results["pipeline"]) == 6
    for row in results["pipeline"].values():
        assert row["frames_per_second"]["min"] > 0 and row["faces_per_frame"]["median"] == 1
        for figures in row.values():
            assert figures["min"] <= figures["median"] <= figures["max"]
        stages = sum(figures["median"] for name, figures in row.items() if name.endswith("_ms"))
        assert stages <= 1.5 * 1e3 / row["frames_per_second"]["min"], "stages cannot take longer than the frame"
    assert set(results["model_alone_ms"]) == {"1", "2", "4", "8", "16"}
    table = output.with_suffix(".md").read_text()
    assert table in result.output and "640x360" in table

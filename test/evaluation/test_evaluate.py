"""`ast_net evaluate` offline on real bags: equal to annotate, deterministic, resumable."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from ast_net_ros.bags.affect_messages import read_affect_labels
from ast_net_ros.bags.names import unique_names
from ast_net_ros.bags.paths import RecordingError, find_recordings
from ast_net_ros.cli import ast_net
from ast_net_ros.evaluation import run as evaluation_run
from ast_net_ros.evaluation.annotate import annotate
from ast_net_ros.evaluation.estimates import read_estimates
from ast_net_ros.evaluation.labels.ground_truth import LabelOptions, ground_truth_of
from ast_net_ros.evaluation.offline import evaluate_recording
from ast_net_ros.evaluation.options import EstimationSettings
from ast_net_ros.evaluation.ray_workers import RayError
from ast_net_ros.evaluation.recording_result import read_recording
from ast_net_ros.evaluation.run import EvaluationError, RunOptions, evaluate
from ast_net_ros.evaluation.workers import DiskFullError, RecordingJob
from ast_net_ros.model import WeightsError
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.ros.replay.live_metrics import SentImage, live_metrics
from ast_net_ros.settings import PipelineSettings

FRAMES = 24  # one second
JPEG_TOLERANCE = 0.05  # of valence and arousal, for JPEG of quality 95


@pytest.fixture(autouse=True)
def _undrawn(undrawn):
    """The report of `study`, which is made before, has its plots."""


@pytest.fixture(scope="module")
def video(media):
    """The face that turns from distress to a smile."""
    return media / "WolfgangLanger_Pexels.mp4"


@pytest.fixture(scope="module")
def recordings(video, bags, tmp_path_factory):
    """The same two seconds in three formats, the raw one with labels beside it."""
    folder = tmp_path_factory.mktemp("recordings")
    bags.video_bag(folder / "raw", video, frames=FRAMES)
    bags.video_bag(folder / "split", video, storage="sqlite3", compression="file", frames=FRAMES, split=10)
    bags.video_bag(folder / "jpeg", video, jpeg=True, frames=FRAMES)
    rows = "".join(f"{t / 10},{t / 40 - 0.3},{0.4 - t / 50}\n" for t in range(12))
    (folder / "raw.csv").write_text("time,valence,arousal\n" + rows)
    return folder


def test_labels_named_beside_the_recordings_are_not_recordings(recordings):
    """A shell expands recordings/* to the label files as well."""
    expanded = [str(path) for path in sorted(recordings.iterdir())]
    assert str(recordings / "raw.csv") in expanded
    paths = find_recordings(expanded)
    assert unique_names(paths) == ["jpeg", "raw", "split"]
    assert ground_truth_of(recordings / "raw", "raw", LabelOptions(), alone=False) is not None
    with pytest.raises(RecordingError, match="not a bag or video; give the recording"):
        find_recordings([str(recordings / "raw.csv")])


@pytest.fixture(scope="module")
def study(recordings, decoys, tmp_path_factory):
    """(output folder, outcome) of all of them, in two processes, started in a folder of decoys."""
    output = tmp_path_factory.mktemp("study") / "out"
    with pytest.MonkeyPatch.context() as place:
        place.chdir(decoys.folder)
        outcome = evaluate([str(recordings)], RunOptions(output, workers=2, quiet=True))
    return output, outcome


def files_of(output, name):
    return {file: (output / "recordings" / name / file).read_bytes() for file in ("estimates.csv", "frames.csv")}


def test_rows_equal_those_of_annotate_for_every_storage(study, video, tmp_path):
    output, outcome = study
    assert [r["name"] for r in outcome.metrics["recordings"]] == ["jpeg", "raw", "split"] and not outcome.failures
    annotate(video, tmp_path, AffectPipeline(), seconds=FRAMES / 24 - 0.01)
    expected = (tmp_path / "estimates.csv").read_bytes()
    assert len(expected.splitlines()) >= FRAMES - 3
    assert files_of(output, "raw")["estimates.csv"] == expected
    assert files_of(output, "split")["estimates.csv"] == expected
    ours, theirs = (
        np.array([(row.face.valence, row.face.arousal) for row in read_estimates(folder / "estimates.csv")])
        for folder in (output / "recordings" / "jpeg", tmp_path)
    )
    assert ours.shape == theirs.shape and np.abs(ours - theirs).max() < JPEG_TOLERANCE


def test_one_process_gives_the_same_bytes_as_two(study, recordings, tmp_path):
    evaluate([str(recordings / "raw")], RunOptions(tmp_path / "again", workers=1, quiet=True))
    assert files_of(tmp_path / "again", "raw") == files_of(study[0], "raw")


def test_workers_import_nothing_from_the_users_folder(study, decoys):
    assert study[1].metrics["recordings"] and decoys.imported() == []


def test_frames_have_stamps_faces_and_interpolated_labels(study, bags):
    result = read_recording(study[0] / "recordings" / "raw")
    assert len(result.stamps_ns) == FRAMES and result.stamps_ns[0] == bags.START_NS
    seconds = (result.stamps_ns - bags.START_NS) / 1e9
    expected = np.stack([seconds / 4 - 0.3, 0.4 - seconds / 5], axis=1)
    np.testing.assert_allclose(result.truth, expected, atol=2e-6)
    seen = result.faces > 0
    assert seen.sum() >= FRAMES - 3 and set(result.face_ids) <= {"", "face_1"}
    assert np.isfinite(result.predicted[seen]).all() and np.isnan(result.predicted[~seen]).all()
    assert result.about["labels"]["frames"] == FRAMES and result.about["problems"] == []
    assert result.about["settings"]["weights_sha256"] and result.about["processing_seconds"] > 0


def test_results_and_report_are_written(study):
    output, outcome = study
    assert sorted(path.name for path in output.iterdir()) == ["recordings", "report.html", "results.json"]
    stored = json.loads((output / "results.json").read_text())
    assert stored == outcome.metrics
    raw = next(recording for recording in stored["recordings"] if recording["name"] == "raw")
    assert raw["truth"]["frames_with_label"] == FRAMES and raw["valence"]["accuracy"]["ccc"] is not None
    assert "raw" in (output / "report.html").read_text()


def test_results_are_kept_until_settings_change(study, recordings, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(study[0] / "recordings", output / "recordings")
    options = RunOptions(output, workers=1, quiet=True)
    # The copy is the same recordings: the key knows the bags, not the output folder.
    assert evaluate([str(recordings / "raw")], options).kept == 1
    before = files_of(output, "raw")
    (output / "recordings" / "raw.partial").mkdir()  # what a killed run leaves
    relabelled = replace(options, labels=LabelOptions(annotation_delay=0.5, match="best"))
    assert evaluate([str(recordings / "raw")], relabelled).kept == 1
    after = files_of(output, "raw")
    assert before["estimates.csv"] == after["estimates.csv"] and before["frames.csv"] != after["frames.csv"]
    truth = read_recording(output / "recordings" / "raw").truth
    assert truth[0] == pytest.approx([0.125 - 0.3, 0.4 - 0.1], abs=1e-5) and np.isnan(truth[-1]).all()
    mistyped = replace(options, topic="/mistyped")
    with pytest.raises(EvaluationError, match=r"no image topic '/mistyped'; it has /camera/image_raw"):
        evaluate([str(recordings / "raw")], mistyped)
    assert (output / "results.json").exists() and files_of(output, "raw") == after
    smoothing = PipelineSettings(smoothing_time_constant=1.0)
    smoothed = replace(options, settings=EstimationSettings(pipeline=smoothing), baseline=study[0])
    outcome = evaluate([str(recordings / "raw")], smoothed)
    assert outcome.kept == 0 and outcome.metrics["comparison"]["modes"]["offline"]["recordings"] == 1
    assert files_of(output, "raw")["estimates.csv"] != before["estimates.csv"]


def test_the_delay_of_the_development_set_is_used_for_all(study, recordings, tmp_path):
    """Labels made of the model's own estimates, 0.4 s late, give a delay of 0.4 s."""
    result = read_recording(study[0] / "recordings" / "raw")
    seconds = (result.stamps_ns - result.stamps_ns[0]) / 1e9
    rows = [f"{t + 0.4},{v},{a}" for t, (v, a) in zip(seconds, result.predicted) if np.isfinite(v)]
    for name in ("raw", "jpeg"):
        (tmp_path / f"{name}.csv").write_text("\n".join(["time,valence,arousal", *rows]))
    shutil.copytree(study[0] / "recordings", tmp_path / "out" / "recordings")
    options = RunOptions(
        tmp_path / "out", labels=LabelOptions(labels=str(tmp_path)), development=("raw",), longest_delay=1.0, quiet=True
    )
    outcome = evaluate([str(recordings / "raw"), str(recordings / "jpeg")], options)
    delay = outcome.metrics["run"]["labels"]["delay_estimate"]
    assert delay["seconds"] == pytest.approx(0.4) and delay["recordings"] == ["raw"] and outcome.kept == 2
    jpeg = read_recording(tmp_path / "out" / "recordings" / "jpeg")
    assert jpeg.about["labels"]["annotation_delay"] == pytest.approx(0.4)
    assert np.nanmax(np.abs(jpeg.truth - jpeg.predicted)) < JPEG_TOLERANCE


def test_a_written_bag_has_the_original_stamps(study, recordings, tmp_path):
    shutil.copytree(study[0] / "recordings", tmp_path / "out" / "recordings")
    bag = tmp_path / "estimates.mcap"
    evaluate([str(recordings / "raw")], RunOptions(tmp_path / "out", write_bag=str(bag), quiet=True))
    result = read_recording(study[0] / "recordings" / "raw")
    written = read_affect_labels(bag)
    seen = result.faces > 0
    np.testing.assert_array_equal(written.stamps_ns, result.stamps_ns[seen])
    np.testing.assert_allclose(written.values, result.predicted[seen], atol=1e-6)


def test_a_bad_recording_or_label_file_affects_no_other(study, recordings, tmp_path):
    shutil.copytree(study[0] / "recordings", tmp_path / "out" / "recordings")
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(b"no bag at all")
    (tmp_path / "jpeg.csv").write_text("time,valence,arousal\n1000,0,0\n1001,0,0\n")
    (tmp_path / "raw.csv").write_text("nothing\n")
    given = [str(recordings / "raw"), str(broken), str(recordings / "jpeg")]
    words = ["evaluate", *given, "-o", str(tmp_path / "out"), "--labels", str(tmp_path), "--workers", "2"]
    run = CliRunner().invoke(ast_net, words)
    assert run.exit_code == 1, run.output
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [r["name"] for r in results["recordings"]] == ["raw", "jpeg"]
    (failed,) = results["run"]["failed"]
    assert failed["name"] == "broken" and str(broken) in failed["reason"]
    raw, jpeg = (r["problems"] for r in results["recordings"])
    assert "raw.csv: begins with 'nothing'; expected a header" in raw[0]
    assert "they do not overlap" in jpeg[0]
    assert not (tmp_path / "out" / "recordings" / "broken").exists()


def test_the_gain_over_a_baseline_is_printed_for_each_recording(study, recordings, tmp_path):
    shutil.copytree(study[0] / "recordings", tmp_path / "out" / "recordings")
    words = ["evaluate", str(recordings / "raw"), "-o", str(tmp_path / "out"), "--baseline", str(study[0])]
    run = CliRunner().invoke(ast_net, words, catch_exceptions=False)
    assert "offline, gain of CCC over the baseline: valence +0.000, arousal +0.000\n" in run.output
    assert "\n  raw: valence +0.000, arousal +0.000\n" in run.output


def test_a_full_disk_while_writing_results_is_named(study, recordings, tmp_path):
    shutil.copytree(study[0] / "recordings", tmp_path / "out" / "recordings")
    (tmp_path / "out" / f".results.json.{os.getpid()}.partial").symlink_to("/dev/full")
    with pytest.raises(DiskFullError, match=r"No space left on device; free space and run the same command again"):
        evaluate([str(recordings / "raw")], RunOptions(tmp_path / "out", quiet=True))
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_killed_evaluation_resumes(study, recordings, bags, video, tmp_path):
    """The process is killed during the long recording; the finished one is kept, and nothing unfinished remains."""
    long = bags.video_bag(tmp_path / "z_long", video, jpeg=True, frames=120)
    output = tmp_path / "out"
    shutil.copytree(study[0] / "recordings" / "raw", output / "recordings" / "raw")
    code = "from ast_net_ros.cli import main; main()"
    words = ["evaluate", recordings / "raw", long, "-o", output, "--workers", 1, "--quiet"]
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, words)])
    deadline = time.monotonic() + 120
    while not (output / "recordings" / "z_long.partial" / "estimates.csv").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = sorted(path.name for path in (output / "recordings").iterdir())
    assert left == ["raw", "z_long.partial"] and not (output / "results.json").exists()
    outcome = evaluate([str(recordings / "raw"), str(long)], RunOptions(output, quiet=True, thumbnails=False))
    assert outcome.kept == 1 and [r["frames"] for r in outcome.metrics["recordings"]] == [FRAMES, 120]
    assert sorted(path.name for path in (output / "recordings").iterdir()) == ["raw", "z_long"]


def test_ray_gives_the_same_bytes_and_names_failures(study, recordings, decoys, monkeypatch, tmp_path):
    pytest.importorskip("ray", reason="no Ray: pip install ray")
    monkeypatch.chdir(decoys.folder)
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(b"no bag at all")
    given = [str(recordings / "raw"), str(broken), str(recordings / "split")]
    outcome = evaluate(given, RunOptions(tmp_path / "out", workers=2, ray="local", quiet=True))
    assert [r["name"] for r in outcome.metrics["recordings"]] == ["raw", "split"]
    assert [failure.name for failure in outcome.failures] == ["broken"]
    for name in ("raw", "split"):
        assert files_of(tmp_path / "out", name) == files_of(study[0], name)
    assert decoys.imported() == []


@pytest.mark.parametrize(
    ("address", "words"),
    [("127.0.0.1:1", "cannot reach a Ray cluster at '127.0.0.1:1'"), ("somewhere", "expected local, auto, HOST:PORT")],
)
def test_an_unreachable_cluster_is_named_at_once(recordings, tmp_path, address, words):
    pytest.importorskip("ray", reason="no Ray: pip install ray")
    with pytest.raises(RayError, match=words):
        evaluate([str(recordings / "raw")], RunOptions(tmp_path / "out", ray=address, quiet=True))


def test_a_worker_with_other_weights_refuses_the_job(recordings, tmp_path):
    """As on a machine of a cluster whose package is of another version."""
    job = RecordingJob("raw", str(recordings / "raw"), str(tmp_path / "raw"), None, EstimationSettings(), "", "0" * 64)
    with pytest.raises(WeightsError, match=r"but the evaluation started with 000000000000\.\.\."):
        evaluate_recording(job)
    assert list(tmp_path.iterdir()) == []


def test_recordings_of_one_name_get_folder_prefixes(tmp_path):
    paths = [tmp_path / place for place in ("monday/take", "tuesday/take", "talk.mp4", "talk.avi", "x.partial")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    names = unique_names(paths)
    assert names[:2] == ["monday-take", "tuesday-take"]
    assert len(set(names)) == 5 and not any(name.endswith((".partial", ".live")) for name in names)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--annotation-delay", "1", "--estimate-delay", "a"], "give one of them"),
        (["--rate", "2"], "--rate and --loops require --live"),
        (["--warm-up", "sometimes"], "'sometimes' is neither in, out nor a number of seconds"),
        (["--warm-up", "nan"], "is not in the range"),
        (["--match", "smallest"], "match 'smallest': unknown"),
        (["--estimate-delay", "dev*"], "no recording of that name; the names are raw"),
        (["--baseline", "/nowhere/results.json"], "/nowhere/results.json: cannot be read"),
        (["--weights", "/nowhere.safetensors"], "no such file"),
    ],
)
def test_a_wrong_option_is_reported_before_any_work(recordings, tmp_path, words, message):
    run = CliRunner().invoke(ast_net, ["evaluate", str(recordings / "raw"), "-o", str(tmp_path / "out"), *words])
    assert run.exit_code != 0 and message in run.output + str(run.exception)
    assert not (tmp_path / "out").exists()


def test_a_live_run_prints_its_metrics_without_labels(study, recordings, tmp_path, monkeypatch):
    outcome = study[1]
    images = [SentImage(0, i, i, i * 40_000_000, late=i == 3) for i in range(4)]
    played = {**outcome.metrics["recordings"][0], "name": "walk", "mode": "live"}
    played["live"] = live_metrics(images, {i: images[i].sent_ns + (10 + i) * 1_000_000 for i in range(3)})
    silent = {**played, "name": "silent", "live": live_metrics(images[:2], {})}
    metrics = {**outcome.metrics, "pooled": {}, "recordings": [*outcome.metrics["recordings"], played, silent]}
    monkeypatch.setattr(evaluation_run, "evaluate", lambda *_: replace(outcome, metrics=metrics))
    output = CliRunner().invoke(ast_net, ["evaluate", str(recordings), "--output", str(tmp_path), "--live"]).output
    assert output.startswith("3 recordings, ")  # each counts once, whatever it was also played to
    lines = [line for line in output.splitlines() if line.startswith("live ")]
    answered = "live walk: 3 of 4 frames answered, latency 11 ms in the median, 12 at the 95th percentile"
    assert lines == [
        f"{answered}; 1 were sent late, because the machine is too slow to play them in real time",
        "live silent: 0 of 2 frames answered",
    ]

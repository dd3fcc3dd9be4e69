"""`ast_net annotate` on real videos and images; its results are complete or absent."""

from __future__ import annotations

import shutil
from dataclasses import asdict

import click
import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from ast_net_ros.atomic_files import atomic_dir
from ast_net_ros.cli import ast_net
from ast_net_ros.evaluation import annotate as annotate_module
from ast_net_ros.evaluation.annotate import annotate
from ast_net_ros.evaluation.estimates import read_estimates
from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.settings import ModelSettings, PipelineSettings
from ast_net_ros.vision.video import VideoError, open_video


@pytest.fixture(scope="module")
def pipeline():
    return AffectPipeline()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_rows_plot_and_overlay_agree_with_the_pipeline(media, tmp_path, pipeline):
    video = media / "single_face.mp4"
    result = annotate(video, tmp_path / "out", pipeline, overlay=True, seconds=0.99)
    assert names(tmp_path / "out") == ["estimates.csv", "overlay.webm", "plot.png"]
    assert (result.frames, result.declared_frames) == (30, 72)
    rows = read_estimates(tmp_path / "out" / "estimates.csv")
    assert result.frames_with_face == len({row.frame for row in rows}) >= 27
    assert set(result.face_ids) == {row.face.face_id for row in rows} and len(result.face_ids) == 1

    fresh = AffectPipeline(pipeline.model)
    with open_video(video) as frames:
        expected = [(i, t, face) for i, (t, image) in zip(range(30), frames) for face in fresh.process(image, t)]
    assert [(row.frame, row.time) for row in rows] == [(i, pytest.approx(t, abs=1e-6)) for i, t, _ in expected]
    assert [row.face.valence for row in rows] == pytest.approx([face.valence for *_, face in expected], abs=2e-6)
    assert [row.face.arousal for row in rows] == pytest.approx([face.arousal for *_, face in expected], abs=2e-6)

    with open_video(video) as plain, open_video(tmp_path / "out" / "overlay.webm") as drawn:
        assert (drawn.size, drawn.frame_count) == (plain.size, 30) and drawn.fps == pytest.approx(plain.fps)
        difference = np.abs(next(iter(drawn))[1].astype(int) - next(iter(plain))[1]).max(axis=2)
    x, y, _, height = (round(value) for value in rows[0].face.box)
    box_edge = difference[y + height // 2, x - 2 : x + 3].max()
    assert box_edge > 60 and np.median(difference) < 20


def test_a_video_without_a_face_gives_a_file_without_rows(media, tmp_path, pipeline):
    result = annotate(media / "no_face.mp4", tmp_path, pipeline, seconds=1.0)
    assert (result.frames, result.frames_with_face, result.face_ids) == (24, 0, ())
    assert read_estimates(tmp_path / "estimates.csv") == []
    assert names(tmp_path) == ["estimates.csv", "plot.png"]


class ScriptedPipeline(AffectPipeline):
    """One face a frame without any network; calls `act` when frame `at_frame` comes."""

    def __init__(self, at_frame=None, act=None):
        self.frame, self.at_frame, self.act = -1, at_frame, act

    def process(self, frame_bgr, stamp, source="", detections=None):
        self.frame += 1
        if self.frame == self.at_frame:
            self.act()
        return [FaceAffect("face_1", (5.0, 5.0, 20.0, 20.0), 0.1, 0.2, 0.5, (0.125,) * 8, stamp)]


@pytest.fixture
def short_video(tmp_path, monkeypatch):
    """Twelve frames, of whose estimates no plot is drawn, which takes most of the time."""
    monkeypatch.setattr(annotate_module, "plot_estimates", lambda _, path, **about: path.write_bytes(b"a plot"))
    path = tmp_path / "short.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (63, 47))
    for _ in range(12):
        writer.write(np.full((47, 63, 3), 99, np.uint8))
    writer.release()
    return path


def fail():
    raise RuntimeError("broke on the way")


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize(("act", "error"), [(fail, RuntimeError), (interrupt, KeyboardInterrupt)])
def test_a_failed_run_keeps_the_earlier_results(short_video, tmp_path, act, error):
    out = tmp_path / "out"
    annotate(short_video, out, ScriptedPipeline(), overlay=True)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(error):
        annotate(short_video, out, ScriptedPipeline(6, act), overlay=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_later_run_replaces_only_its_own_files(short_video, tmp_path):
    out = tmp_path / "out"
    annotate(short_video, out, ScriptedPipeline(), overlay=True)
    (out / "notes.txt").write_text("mine")
    annotate(short_video, out, ScriptedPipeline(), seconds=0.5)
    assert names(out) == ["estimates.csv", "notes.txt", "plot.png"]
    assert len(read_estimates(out / "estimates.csv")) == 5


def test_a_wrong_video_leaves_no_folder_behind(tmp_path):
    with pytest.raises(VideoError, match="no such file"):
        annotate(tmp_path / "absent.mp4", tmp_path / "out", ScriptedPipeline())
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_refused_by_name(short_video, tmp_path):
    with pytest.raises(NotADirectoryError, match=r"is a file; name a folder.*short\.avi"):
        annotate(short_video, short_video, ScriptedPipeline())


def test_ctrl_c_ends_a_webcam_recording_and_keeps_it(short_video, tmp_path, monkeypatch):
    def open_as_webcam(_):
        video = open_video(short_video)
        video.live, video.frame_count = True, None
        return video

    monkeypatch.setattr(annotate_module, "open_video", open_as_webcam)
    result = annotate(0, tmp_path / "out", ScriptedPipeline(7, interrupt))
    assert result.frames == 7
    assert [row.frame for row in read_estimates(tmp_path / "out" / "estimates.csv")] == list(range(7))


def test_nothing_is_moved_before_everything_is_written(tmp_path):
    out = tmp_path / "out"
    with atomic_dir(out, ["a", "b"]) as temporary:
        (temporary / "a").write_text("new")
        assert not (out / "a").exists()
        (temporary / "b").write_text("new")
    assert names(out) == ["a", "b"]


def test_the_requested_runtime_is_used_and_reported(media, tmp_path):
    for runtime in ("torch", "onnxruntime"):
        arguments = [str(media / "single_face.mp4"), "--seconds", "0.3", "--runtime", runtime]
        result = CliRunner().invoke(ast_net, ["annotate", *arguments, "--output", str(tmp_path / runtime)])
        assert result.exit_code == 0, result.output
        assert f" by {runtime}" in result.output
    ours, theirs = (read_estimates(tmp_path / name / "estimates.csv") for name in ("torch", "onnxruntime"))
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs):
        assert (a.face.valence, a.face.arousal) == pytest.approx((b.face.valence, b.face.arousal), abs=1e-4)


def run_annotate(*arguments):
    return CliRunner().invoke(ast_net, ["annotate", *map(str, arguments)])


def test_a_still_image_gives_a_row_for_each_face(media, tmp_path):
    with open_video(media / "single_face.mp4") as video:
        cv2.imwrite(str(tmp_path / "face.png"), next(iter(video))[1])
    run = run_annotate(tmp_path / "face.png", "--output", tmp_path / "out", "--overlay")
    assert run.exit_code == 0, run.output
    assert names(tmp_path / "out") == ["estimates.csv", "overlay.png", "plot.png"]
    (row,) = read_estimates(tmp_path / "out" / "estimates.csv")
    assert (row.frame, row.time, row.face.state_age) == (0, 0.0, 0.0)
    plain, drawn = (cv2.imread(str(tmp_path / name)) for name in ("face.png", "out/overlay.png"))
    assert plain is not None and drawn is not None and drawn.shape == plain.shape and (drawn != plain).any()


def test_a_folder_and_several_files_get_a_folder_each(media, tmp_path):
    folder = tmp_path / "in"
    (folder / "day").mkdir(parents=True)
    shutil.copy(media / "single_face.mp4", folder / "day" / "grin.mp4")
    (folder / "broken.mp4").write_bytes(bytes(range(256)) * 20)
    (folder / "notes.txt").write_text("not a video")
    run = run_annotate(folder, media / "no_face.mp4", "--output", tmp_path / "out", "--seconds", 0.2)
    assert run.exit_code == 1 and "Failed: video" in run.output and "broken.mp4" in run.output
    assert names(tmp_path / "out") == ["grin", "no_face"]
    assert {row.face.face_id for row in read_estimates(tmp_path / "out" / "grin" / "estimates.csv")} == {"face_1"}


def test_a_folder_without_videos_is_refused(tmp_path):
    run = run_annotate(tmp_path, "--output", tmp_path / "out")
    assert run.exit_code == 1 and "no video or image in it" in run.output and not (tmp_path / "out").exists()


def test_only_a_video_that_ends_early_is_called_incomplete(short_video, tmp_path, monkeypatch):
    assert not annotate(short_video, tmp_path / "out", ScriptedPipeline(), seconds=0.3).incomplete
    assert not annotate(short_video, tmp_path / "out", ScriptedPipeline()).incomplete

    def open_as_declaring_more(_):
        video = open_video(short_video)
        video.frame_count = 40
        return video

    monkeypatch.setattr(annotate_module, "open_video", open_as_declaring_more)
    assert not annotate(short_video, tmp_path / "out", ScriptedPipeline(), seconds=0.3).incomplete
    assert annotate(short_video, tmp_path / "out", ScriptedPipeline()).incomplete


def test_a_browser_plays_the_overlay(browser, media, tmp_path, pipeline):
    annotate(media / "single_face.mp4", tmp_path / "out", pipeline, overlay=True, seconds=0.5)
    page = tmp_path / "page.html"
    page.write_text('<video src="out/overlay.webm" muted></video>')
    browser.open(page)
    played = browser.driver.execute_async_script("""
        const [video, done] = [document.querySelector("video"), arguments[0]];
        video.onended = () => done({width: video.videoWidth, seconds: video.currentTime});
        video.onerror = () => done({error: video.error.message});
        video.play().catch(error => done({error: String(error)}));""")
    assert played.get("width") == 640 and played["seconds"] == pytest.approx(0.5, abs=0.1), played


def test_the_old_name_of_an_option_works_with_a_warning(media, tmp_path):
    arguments = [media / "single_face.mp4", "--output", tmp_path / "out", "--seconds", 0.1, "--smoothing=1"]
    run = run_annotate(*arguments)
    assert run.exit_code == 0 and "--smoothing is now --smoothing-time-constant" in run.output


def test_the_options_have_the_defaults_of_the_node():
    command = ast_net.get_command(click.Context(ast_net), "annotate")
    assert command is not None
    options = {parameter.name: parameter.default for parameter in command.params}
    for settings in (ModelSettings(), PipelineSettings()):
        for name, value in asdict(settings).items():
            assert options[name] == value, name

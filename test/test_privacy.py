"""What docs/privacy.md states: no image is stored unless requested, ids carry no identity, lost faces are dropped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from ast_net_ros.evaluation.report.thumbnails import thumbnails_wanted
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.vision.video import open_video


@pytest.fixture(scope="module")
def face_frame(media: Path) -> np.ndarray:
    with open_video(media / "single_face.mp4") as video:
        return next(iter(video))[1]


@pytest.fixture(scope="module")
def pipeline() -> AffectPipeline:
    return AffectPipeline()


def holds_an_image(path: Path) -> bool:
    """Whether OpenCV reads an image from a file, or its suffix is that of a recording."""
    if cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) is not None:
        return True
    return path.suffix.lower() in (".mp4", ".avi", ".mkv", ".mov", ".webm", ".bag", ".mcap", ".db3", ".npy", ".npz")


def test_annotate_stores_no_frame_unless_asked(media: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-c", "from ast_net_ros.cli import main; main()"]
    command += ["annotate", str(media / "single_face.mp4"), "--output", str(tmp_path / "out"), "--seconds", "0.3", "-q"]
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(tmp_path), "MPLCONFIGDIR": str(home)}
    subprocess.run(command, env=environment, cwd=home, check=True, capture_output=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["estimates.csv", "plot.png"]
    assert [path for path in home.rglob("*") if path.is_file() and holds_an_image(path)] == []


def test_pipeline_writes_no_file_and_opens_no_socket(face_frame: np.ndarray, tmp_path: Path) -> None:
    # In a process of its own, because an audit hook cannot be removed.
    code = """
import sys
import numpy as np
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.vision.persons import PersonMemory
pipeline = AffectPipeline(persons=PersonMemory())
frame = np.load(sys.argv[1])
pipeline.process(frame, 0.0)
events = []
def watch(event, arguments):
    if event == "open" and (arguments[2] or 0) & 3:
        events.append(arguments[0])
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.posix_spawn")):
        events.append(event)
sys.addaudithook(watch)
for number in range(1, 7):
    faces = pipeline.process(frame, 0.25 * number)
assert faces[0].person_id, "no person"
pipeline.reset()
print(events)
"""
    np.save(tmp_path / "frame.npy", face_frame)
    command = [sys.executable, "-c", code, str(tmp_path / "frame.npy")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stdout.strip() == "[]", ended.stdout + ended.stderr


def test_a_face_that_left_is_dropped_and_gets_another_id(pipeline: AffectPipeline, face_frame: np.ndarray) -> None:
    empty = np.zeros_like(face_frame)
    (first,) = pipeline.process(face_frame, 100.0, "leaves")
    assert pipeline.process(empty, 100.5, "leaves") == []
    assert pipeline.track_count("leaves") == 1, "within track_timeout"
    assert pipeline.process(empty, 101.6, "leaves") == []
    assert pipeline.track_count("leaves") == 0
    (again,) = pipeline.process(face_frame, 101.8, "leaves")
    assert again.face_id != first.face_id and again.state_age == 0


def test_reset_drops_every_face(pipeline: AffectPipeline, face_frame: np.ndarray) -> None:
    (first,) = pipeline.process(face_frame, 200.0, "reset")
    pipeline.reset("reset")
    assert pipeline.track_count("reset") == 0
    (second,) = pipeline.process(face_frame, 200.1, "reset")
    assert first.face_id != second.face_id and second.state_age == 0


def test_one_face_has_different_ids_at_two_cameras(pipeline: AffectPipeline, face_frame: np.ndarray) -> None:
    ids = {pipeline.process(face_frame, 300.0, camera)[0].face_id for camera in ("left", "right")}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("mode", "asked", "made"),
    [("live", None, False), ("live", True, True), ("live", False, False), ("offline", False, False)],
)
def test_live_recordings_get_thumbnails_only_on_request(mode: str, asked: bool | None, made: bool) -> None:
    assert thumbnails_wanted(SimpleNamespace(mode=mode), asked) is made  # type: ignore[arg-type]


def test_publishing_face_crops_is_off_by_default() -> None:
    from ast_net_ros.ros.parameters import PARAMETERS

    assert {spec.name: spec.default for spec in PARAMETERS}["hri"] is False

"""What docs/privacy.md promises: pictures stay unstored, ids carry no identity, who leaves is forgotten."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from ast_net_ros.evaluation.report.thumbnails import pictures_wanted
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.vision.video import open_video

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def face_pictures(media: Path) -> list[np.ndarray]:
    with open_video(media / "single_face.mp4") as video:
        return [frame for (_, frame), _ in zip(video, range(6))]


@pytest.fixture(scope="module")
def pipeline() -> AffectPipeline:
    return AffectPipeline()


def is_picture(path: Path) -> bool:
    """Whether OpenCV reads a picture or a video from a file, whatever its name."""
    if cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) is not None:
        return True
    return path.suffix.lower() in (".mp4", ".avi", ".mkv", ".mov", ".webm", ".bag", ".mcap", ".db3", ".npy", ".npz")


def test_annotate_stores_no_picture_of_the_video_unless_asked(media: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-c", "from ast_net_ros.cli import main; main()"]
    command += ["annotate", str(media / "single_face.mp4"), "--output", str(tmp_path / "out"), "--seconds", "0.3", "-q"]
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(tmp_path), "MPLCONFIGDIR": str(home)}
    subprocess.run(command, env=environment, cwd=home, check=True, capture_output=True)
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["estimates.csv", "plot.png"], "plot.png is the course of the values"
    left = [path for path in home.rglob("*") if path.is_file() and is_picture(path)]
    assert not left


def test_the_pipeline_opens_no_file(pipeline: AffectPipeline, face_pictures: list[np.ndarray]) -> None:
    """In a process of its own, as an audit hook cannot be taken away again."""
    code = """
import sys
import numpy as np
from ast_net_ros.pipeline import AffectPipeline
pipeline = AffectPipeline()
picture = np.load(sys.argv[1])
pipeline.process(picture, 0.0)
opened = []
def watch(event, arguments):
    if event == "open" and (arguments[2] or 0) & 3:
        opened.append(arguments[0])
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.posix_spawn")):
        opened.append(event)
sys.addaudithook(watch)
assert pipeline.process(picture, 0.1), "no face"
pipeline.reset()
print(opened)
"""
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"ast_net_privacy_{os.getpid()}.npy"
    np.save(path, face_pictures[0])
    try:
        ended = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    finally:
        path.unlink()
    assert ended.stdout.strip() == "[]", ended.stdout + ended.stderr


def test_a_face_that_has_left_is_forgotten_and_gets_another_id(
    pipeline: AffectPipeline, face_pictures: list[np.ndarray]
) -> None:
    picture, empty = face_pictures[0], np.zeros_like(face_pictures[0])
    (first,) = pipeline.process(picture, 100.0, "leaves")
    assert pipeline.process(empty, 100.5, "leaves") == []
    source = pipeline._sources["leaves"]
    assert source.tracker.tracks and source.states, "still within track_timeout"
    assert pipeline.process(empty, 101.6, "leaves") == []
    assert not source.tracker.tracks and not source.names and not source.states and not source.smoothed
    (again,) = pipeline.process(picture, 101.7, "leaves")
    assert again.face_id != first.face_id and again.state_age == 0


def test_a_reset_forgets_every_face(pipeline: AffectPipeline, face_pictures: list[np.ndarray]) -> None:
    (first,) = pipeline.process(face_pictures[0], 200.0, "reset")
    pipeline.reset("reset")
    (second,) = pipeline.process(face_pictures[0], 200.1, "reset")
    assert first.face_id != second.face_id and second.state_age == 0


def test_the_same_face_has_another_id_at_another_camera(
    pipeline: AffectPipeline, face_pictures: list[np.ndarray]
) -> None:
    """Nothing is compared across cameras: an id names a sight, not a person."""
    ids = {pipeline.process(face_pictures[0], 300.0, camera)[0].face_id for camera in ("left", "right")}
    assert len(ids) == 2


def test_the_node_takes_a_random_prefix_at_every_configuration() -> None:
    source = (ROOT / "ast_net_ros" / "ros" / "node.py").read_text(encoding="utf-8")
    (made,) = re.findall(r'prefix = f"face_\{secrets\.token_hex\((\d+)\)\}_"', source)
    assert int(made) >= 2 and source.index("def on_configure") < source.index("secrets.token_hex")


@pytest.mark.parametrize(
    ("mode", "asked", "made"),
    [("live", None, False), ("live", True, True), ("live", False, False), ("offline", False, False)],
)
def test_pictures_of_live_recordings_are_made_only_when_asked(mode: str, asked: bool | None, made: bool) -> None:
    assert pictures_wanted(SimpleNamespace(mode=mode), asked) is made  # type: ignore[arg-type]


def test_what_shows_pictures_is_off_or_idle_by_default() -> None:
    from ast_net_ros.ros.parameters import PARAMETERS

    defaults = {spec.name: spec.default for spec in PARAMETERS}
    assert defaults["hri"] is False and defaults["debug_image"] is True
    debug = (ROOT / "ast_net_ros" / "ros" / "debug_image.py").read_text(encoding="utf-8")
    assert "get_subscription_count() > 0" in debug, "drawn only for a subscriber"


@pytest.mark.parametrize("page", ["docs/privacy.md", "SECURITY.md", "ast_net_ros/weights/MODEL_CARD.md"])
def test_files_that_the_pages_name_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    names = set(re.findall(r"`((?:test|docs|config|setup)/[\w./*]+)`", text))
    names |= {link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link}
    for name in names:
        base = ROOT if name.startswith(("test/", "config/", "tools/setup/", "docs/")) else (ROOT / page).parent
        assert list(base.glob(name)) if "*" in name else (base / name).exists(), f"{page} names {name}"

"""What the page plays: the recording's own time line, the faces of `ast_net evaluate`, and one conversion."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import av
import cv2
import numpy as np
import pytest

from ast_net_ros.bags.content_hash import recording_sha256
from ast_net_ros.bags.paths import RecordingError
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.rating import RatingError
from ast_net_ros.rating.playback import prepare_playback
from ast_net_ros.vision.video import open_video

STAMPS = [0.0, 0.033, 0.2, 0.21, 0.9, 1.0]


def image_bag(bags: ModuleType, path: Path, stamps: list[float], size: tuple[int, int] = (64, 48)) -> Path:
    """A bag whose images get brighter by 30 each."""
    images = [np.full((*size[::-1], 3), 30 * index + 20, np.uint8) for index in range(len(stamps))]
    times = [bags.START_NS + round(stamp * 1e9) for stamp in stamps]
    received = bags.START_NS + np.arange(len(stamps)) * 100_000_000  # the order of arrival, whatever the stamps say
    recorded = [
        (bags.TOPIC, int(at), bags.image_message(image, time)) for at, time, image in zip(received, times, images)
    ]
    return bags.write_bag(path, recorded)


def frames(video: Path) -> list[tuple[float, float, tuple[int, int]]]:
    """(seconds, mean brightness, size) of each frame."""
    with av.open(str(video)) as container:
        return [
            (frame.time, float(frame.to_ndarray(format="gray").mean()), (frame.width, frame.height))
            for frame in container.decode(video=0)
        ]


def test_every_image_is_shown_at_its_stamp(tmp_path: Path, bags: ModuleType) -> None:
    bag = image_bag(bags, tmp_path / "walk", STAMPS)
    found = prepare_playback(bag, tmp_path / "cache", find_faces=False, show_progress=False)
    assert (found.name, found.topic, found.first_stamp_ns) == ("walk", bags.TOPIC, bags.START_NS)
    assert found.duration == pytest.approx(1.0) and found.sha256 == recording_sha256(bag)
    shown = frames(found.video)
    assert [seconds for seconds, *_ in shown] == pytest.approx([*STAMPS, 1.1], abs=0.001), "the last one stays a while"
    brightness = [mean for _, mean, _ in shown]
    assert np.allclose(np.diff(brightness[:-1]), 30, atol=3) and brightness[-1] == pytest.approx(brightness[-2], abs=2)


def test_odd_and_large_images_are_scaled(tmp_path: Path, bags: ModuleType) -> None:
    for name, size, expected in (("odd", (33, 21), (32, 20)), ("large", (2560, 1440), (1280, 720))):
        bag = image_bag(bags, tmp_path / name, [0.0, 0.1], size)
        found = prepare_playback(bag, tmp_path / "cache", find_faces=False, show_progress=False)
        assert {size for *_, size in frames(found.video)} == {expected}


def test_a_camera_on_its_side_is_turned(tmp_path: Path, bags: ModuleType) -> None:
    bag = image_bag(bags, tmp_path / "walk", [0.0, 0.1])
    found = prepare_playback(bag, tmp_path / "cache", rotation=90, find_faces=False, show_progress=False)
    assert frames(found.video)[0][2] == (48, 64)


def test_faces_have_the_ids_and_boxes_of_the_pipeline(tmp_path: Path, media: Path) -> None:
    with open_video(media / "single_face.mp4") as video:
        taken = [image for _, (_, image) in zip(range(50), video)]
    # Two people side by side, of whom the right one comes later.
    height, width = taken[0].shape[:2]
    path = tmp_path / "two.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (2 * width, height))
    for index, image in enumerate(taken):
        writer.write(np.hstack([image, image[:, ::-1] if index >= 20 else np.zeros_like(image)]))
    writer.release()

    found = prepare_playback(path, tmp_path / "cache", show_progress=False)
    assert [face.face for face in found.faces] == ["face_1", "face_2"], "longest visible first"
    left, right = found.faces
    assert left.times[0] == 0 and right.times[0] == pytest.approx(0.8, abs=0.3)
    assert np.diff(left.times).min() >= 0.19
    pipeline = AffectPipeline()
    with open_video(path) as video:
        (first,) = pipeline.process(next(iter(video))[1], 0.0)
    assert first.face_id == "face_1"
    assert left.boxes[0] == pytest.approx(np.array(first.box) / [2 * width, height, 2 * width, height], abs=0.001)
    assert all(box[0] >= 0.45 for box in right.boxes)


def test_a_recording_is_converted_once(tmp_path: Path, clip: Path) -> None:
    cache = tmp_path / "cache"
    first = prepare_playback(clip, cache, find_faces=False, show_progress=False)
    assert cache.stat().st_mode & 0o077 == 0, "it shows people"
    written = first.video.stat().st_mtime_ns
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    again = prepare_playback(copy, cache, find_faces=False, show_progress=False)
    assert again.video == first.video and again.video.stat().st_mtime_ns == written
    for damaged in ("{damaged", "[]", '{"version": 1}'):
        next(cache.glob("*.json")).write_text(damaged)
        prepare_playback(clip, cache, find_faces=False, show_progress=False)
        assert first.video.stat().st_mtime_ns > written
        written = first.video.stat().st_mtime_ns
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".webm"]


@pytest.mark.parametrize("stamps", [[0.0, 0.1, 5.0, 0.2], [0.0, 0.1, 100.0, 100.1]], ids=["backward", "forward"])
def test_stamps_that_jump_are_refused(tmp_path: Path, bags: ModuleType, stamps: list[float]) -> None:
    bag = image_bag(bags, tmp_path / "walk", stamps)
    with pytest.raises(RatingError, match="the stamps of its images jump from"):
        prepare_playback(bag, tmp_path / "cache", find_faces=False, show_progress=False)
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(RecordingError, match="is a text file"):
        prepare_playback(tmp_path / "notes.txt", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("storage", "compression"), [("sqlite3", "none"), ("mcap", "message"), ("mcap", "file")])
def test_the_hash_is_that_of_the_images_however_they_are_stored(
    tmp_path: Path, bags: ModuleType, clip: Path, storage: str, compression: str
) -> None:
    plain = bags.video_bag(tmp_path / "plain", clip, frames=5)
    other = bags.video_bag(
        tmp_path / "other",
        clip,
        storage,
        compression,
        frames=5,
        labels=[(0.0, 0.1, 0.2)],
        split=3 if storage == "sqlite3" else None,
    )
    fewer = bags.video_bag(tmp_path / "fewer", clip, frames=4)
    assert recording_sha256(plain) == recording_sha256(other) != recording_sha256(fewer)


def test_what_is_missing_of_a_recording_is_told(tmp_path: Path, bags: ModuleType) -> None:
    bag = image_bag(bags, tmp_path / "walk", STAMPS)
    (bag / "metadata.yaml").unlink()
    for _ in range(2):  # from the cache as well
        found = prepare_playback(bag, tmp_path / "cache", find_faces=False, show_progress=False)
        assert "no metadata.yaml" in found.problems[0]

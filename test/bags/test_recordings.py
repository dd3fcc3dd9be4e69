"""Reading recordings: every storage and compression, order and stamps, choice of topics, finding, and labels."""

from __future__ import annotations

import numpy as np
import pytest

from ast_net_ros.bags.affect_messages import read_affect_labels
from ast_net_ros.bags.names import recording_name
from ast_net_ros.bags.paths import RecordingError, find_recordings
from ast_net_ros.bags.recordings import open_recording
from ast_net_ros.vision.video import open_video

FRAMES = 12


@pytest.fixture(scope="module")
def video(media):
    return media / "single_face.mp4"


@pytest.fixture(scope="module")
def images(video):
    """(nanoseconds since the first, image) as `ast_net annotate` reads them."""
    with open_video(video) as frames:
        return [(round(seconds * 1e9), image) for (seconds, image), _ in zip(frames, range(FRAMES))]


def read(path, topic=None, **options):
    with open_recording(path, topic) as recording:
        return recording, list(recording.frames(**options))


def plain_image(bags, stamp_ns, shade=0, received_ns=None):
    """A recorded message with a small image of one shade that identifies it."""
    message = bags.image_message(np.full((6, 8, 3), shade, np.uint8), stamp_ns)
    return bags.TOPIC, stamp_ns + bags.DELAY_NS if received_ns is None else received_ns, message


def shades(frames):
    return [int(frame.image[0, 0, 0]) for frame in frames]


@pytest.mark.parametrize(
    ("storage", "compression", "split"),
    [
        ("mcap", "none", None),
        ("mcap", "storage", None),
        ("mcap", "file", 5),
        ("mcap", "message", None),
        ("sqlite3", "none", 5),
        ("sqlite3", "file", None),
        ("sqlite3", "message", 5),
    ],
)
def test_a_bag_yields_the_frames_of_its_source_video(bags, video, images, tmp_path, storage, compression, split):
    path = bags.video_bag(tmp_path / "walk", video, storage, compression, frames=FRAMES, split=split)
    recording, frames = read(path)
    assert (recording.problems, recording.partial) == ([], False)
    assert (recording.name, recording.topic, recording.frame_count) == ("walk", bags.TOPIC, FRAMES)
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert [frame.stamp_ns - bags.START_NS for frame in frames] == [nanoseconds for nanoseconds, _ in images]
    assert {frame.frame_id for frame in frames} == {"camera"}
    for frame, (_, image) in zip(frames, images):
        np.testing.assert_array_equal(frame.image, image)


def test_a_video_yields_the_frames_of_annotate(video, images):
    recording, frames = read(video)
    assert (recording.problems, recording.partial, recording.topic) == ([], False, "")
    assert recording.frame_count == len(frames) == 72
    for frame, (nanoseconds, image) in zip(frames, images):
        assert frame.stamp_ns == nanoseconds
        np.testing.assert_array_equal(frame.image, image)


def test_jpeg_frames_differ_by_compression_alone(bags, video, images, tmp_path):
    _, frames = read(bags.video_bag(tmp_path / "jpeg", video, jpeg=True, frames=FRAMES))
    assert [frame.stamp_ns - bags.START_NS for frame in frames] == [nanoseconds for nanoseconds, _ in images]
    for frame, (_, image) in zip(frames, images):
        assert 0 < np.abs(frame.image.astype(int) - image).mean() < 3


def test_padded_rows_and_a_single_file_of_a_bag_are_read(bags, images, tmp_path):
    messages = [
        (bags.TOPIC, bags.START_NS + n, bags.image_message(image, bags.START_NS + n, padding=13)) for n, image in images
    ]
    path = bags.write_bag(tmp_path / "padded", messages)
    recording, frames = read(path / "padded.mcap")
    assert (recording.name, recording.problems) == ("padded", [])
    for frame, (_, image) in zip(frames, images):
        np.testing.assert_array_equal(frame.image, image)


def test_reading_stops_at_the_requested_stamp(bags, video, images, tmp_path):
    path = bags.video_bag(tmp_path / "walk", video, frames=FRAMES)
    _, frames = read(path, stop_ns=bags.START_NS + images[8][0])
    assert [frame.stamp_ns - bags.START_NS for frame in frames] == [nanoseconds for nanoseconds, _ in images[:8]]


def test_reading_again_reports_problems_once(bags, tmp_path):
    stamps = [bags.START_NS, bags.START_NS, bags.START_NS + 10]
    path = bags.write_bag(tmp_path / "twice", [plain_image(bags, s, received_ns=k) for k, s in enumerate(stamps)])
    with open_recording(path) as recording:
        assert len(list(recording.frames())) == len(list(recording.frames())) == 2
        (problem,) = recording.problems
    assert "second image with the stamp 1760000000.123456789" in problem and not recording.partial


def test_images_out_of_order_are_reordered(bags, tmp_path):
    order = [0, 1, 3, 2, 4, 7, 6, 5, 8, 9]
    path = bags.write_bag(
        tmp_path / "mixed",
        [plain_image(bags, bags.START_NS + k * 40_000_000, k, place) for place, k in enumerate(order)],
    )
    recording, frames = read(path)
    assert shades(frames) == list(range(10)) and [frame.index for frame in frames] == list(range(10))
    (problem,) = recording.problems
    assert "reordered (and 2 more like it)" in problem and not recording.partial


def test_an_image_that_arrives_far_too_late_is_dropped(bags, tmp_path):
    order = [0, 2, 3, 4, 5, 6, 7, 1, 8]
    path = bags.write_bag(
        tmp_path / "late",
        [plain_image(bags, bags.START_NS + k * 10_000_000, k, place) for place, k in enumerate(order)],
    )
    recording, frames = read(path)
    assert shades(frames) == [0, 2, 3, 4, 5, 6, 7, 8]
    assert recording.partial and "arrives too late" in recording.problems[0]


def test_a_restarted_camera_keeps_all_its_frames(bags, tmp_path):
    stamps = [10**9 * 50 + k * 40_000_000 for k in range(6)] + [10**9 * 2 + k * 40_000_000 for k in range(6)]
    path = bags.write_bag(
        tmp_path / "restart", [plain_image(bags, stamp, k, bags.START_NS + k) for k, stamp in enumerate(stamps)]
    )
    recording, frames = read(path)
    assert [frame.stamp_ns for frame in frames] == stamps
    assert not recording.partial and "jump back by 48.200 s" in recording.problems[0]


def test_images_without_a_stamp_get_their_receive_time(bags, tmp_path):
    received = [bags.START_NS + k * 40_000_000 for k in range(5)]
    path = bags.write_bag(tmp_path / "unstamped", [plain_image(bags, 0, k, time) for k, time in enumerate(received)])
    recording, frames = read(path)
    assert [frame.stamp_ns for frame in frames] == received
    assert len(recording.problems) == 1 and "without a header stamp" in recording.problems[0] and not recording.partial


def test_the_only_image_topic_is_chosen_and_several_listed(bags, video, tmp_path):
    labels = [(0.0, 0.5, -0.5)]
    one = bags.video_bag(tmp_path / "one", video, frames=2, labels=labels)
    assert read(one)[0].topic == bags.TOPIC
    two = bags.video_bag(tmp_path / "two", video, frames=2, topics=("/left", "/right"), labels=labels)
    with pytest.raises(RecordingError, match=r"/left \(sensor_msgs/msg/Image, 2 messages\), /right") as refused:
        open_recording(two)
    assert bags.LABELS not in str(refused.value)
    recording, frames = read(two, "/right")
    assert (recording.topic, recording.frame_count, len(frames)) == ("/right", 2, 2)
    with pytest.raises(RecordingError, match=r"no image topic '/middle'; it has /left"):
        open_recording(two, "/middle")


def test_a_bag_without_image_topic_lists_its_topics(bags, tmp_path):
    path = bags.write_bag(tmp_path / "labels", bags.label_messages([(0.0, 0.1, 0.2)]))
    with pytest.raises(
        RecordingError, match=rf"no image topic .*{bags.LABELS} \(ast_net_ros/msg/ValenceArousal, 1 mess"
    ):
        open_recording(path)
    with pytest.raises(RecordingError, match="no image topic"):
        open_recording(path, bags.LABELS)


def test_labels_are_read_from_single_messages_and_from_arrays(bags, video, tmp_path):
    path = bags.video_bag(tmp_path / "labelled", video, frames=3, labels=[(0.0, -0.25, 0.5), (0.1, 0.75, -1.0)])
    labels = read_affect_labels(path)
    assert (labels.topic, labels.face_ids, labels.problems) == (bags.LABELS, ["person"] * 2, [])
    assert labels.stamps_ns.tolist() == [bags.START_NS, bags.START_NS + 100_000_000]
    assert labels.values.tolist() == [[-0.25, 0.5], [0.75, -1.0]]

    faces = [
        bags.affect_message(0, 0.5, 0.25, "a"),
        bags.affect_message(77, 1.5, 0.0, "b"),
        bags.affect_message(99, 0, 0, "c"),
    ]
    array = bags.affect_array_message(42, faces)
    path = bags.write_bag(tmp_path / "array", [("/faces", 1, array)])
    labels = read_affect_labels(path, "/faces")
    assert labels.stamps_ns.tolist() == [42, 99] and labels.face_ids == ["a", "c"]
    assert len(labels.problems) == 1 and "outside [-1, 1]" in labels.problems[0]
    with pytest.raises(RecordingError, match="no label topic"):
        read_affect_labels(video)


def test_recordings_are_found_once_in_folders_and_globs(bags, video, tmp_path):
    for name in ("b10", "b2"):
        bags.write_bag(tmp_path / "day" / name, [plain_image(bags, bags.START_NS)])
    crashed = bags.write_bag(
        tmp_path / "day" / "crashed", [plain_image(bags, bags.START_NS + k) for k in range(2)], split=1
    )
    (crashed / "metadata.yaml").unlink()
    single = bags.write_bag(tmp_path / "elsewhere", [plain_image(bags, bags.START_NS)]) / "elsewhere.mcap"
    single.rename(tmp_path / "day" / "single.mcap")
    (tmp_path / "day" / "talk.MP4").symlink_to(video)
    (tmp_path / "day" / "notes.txt").write_text("no recording")
    day = tmp_path / "day"
    names = ["b10", "b2", "crashed", "single.mcap", "talk.MP4"]
    assert find_recordings([str(day)]) == [day / name for name in names[:3]] + [day / name for name in names[3:]]
    assert find_recordings([str(day / "b*"), str(day / "b2"), str(day / "b2" / "metadata.yaml")]) == [
        day / "b10",
        day / "b2",
    ]
    assert find_recordings([str(tmp_path / "**" / "*.mcap")])[-1] == day / "single.mcap"
    (tmp_path / "empty").mkdir()
    for nothing in (str(tmp_path / "none*"), str(tmp_path / "empty")):
        with pytest.raises(RecordingError, match="give bags"):
            find_recordings([nothing])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/walk", "walk"),
        ("a/walk.mcap", "walk"),
        ("a/..", "recording"),
        ("x/.hidden", "hidden"),
        ("a b/c;d\n", "c_d_"),
    ],
)
def test_a_recording_name_is_a_safe_folder_name(tmp_path, monkeypatch, path, name):
    monkeypatch.chdir("/")
    from pathlib import Path

    assert recording_name(Path(path)) == name

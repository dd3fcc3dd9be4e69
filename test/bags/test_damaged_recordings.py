"""Damaged bags: intact parts are read, and missing ones are reported."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tracemalloc

import numpy as np
import pytest
import zstandard
from mcap.data_stream import RecordBuilder
from mcap.records import Channel, Chunk, Header, Message, Schema
from rosbags.rosbag2 import StoragePlugin, Writer

from ast_net_ros.bags.paths import RecordingError, find_recordings
from ast_net_ros.bags.recordings import open_recording
from ast_net_ros.bags.storage import MAX_MESSAGE_BYTES, unpack_zstd
from ast_net_ros.vision.video import open_video

FRAMES = 16
MAGIC = b"\x89MCAP0\r\n"


@pytest.fixture(scope="module")
def video(media):
    return media / "single_face.mp4"


@pytest.fixture(scope="module")
def whole(bags, video, tmp_path_factory):
    """Intact bags by storage; tests damage copies."""
    folder = tmp_path_factory.mktemp("whole")
    kinds = {"mcap": ("mcap", "none"), "packed": ("mcap", "storage"), "sqlite3": ("sqlite3", "none")}
    return {
        kind: bags.video_bag(folder / kind, video, storage, compression, frames=FRAMES)
        for kind, (storage, compression) in kinds.items()
    }


@pytest.fixture(scope="module")
def images(video):
    with open_video(video) as frames:
        return [image for (_, image), _ in zip(frames, range(FRAMES))]


@pytest.fixture
def copy(whole, tmp_path):
    """copy(kind): a copy of a whole bag, and its storage file."""

    def make(kind):
        path = tmp_path / "session"
        shutil.copytree(whole[kind], path)
        (file,) = (file for file in path.iterdir() if file.suffix in (".mcap", ".db3"))
        return path, file

    return make


def read(path, topic=None):
    with open_recording(path, topic) as recording:
        frames = list(recording.frames())
    return recording, frames


def overwrite(file, share, data):
    """Writes `data` into a file, `share` of the way through it."""
    with file.open("r+b") as opened:
        opened.seek(round(file.stat().st_size * share))
        opened.write(data)


def numbers(frames, images):
    """Which of `images` each frame is."""
    return [next(k for k, image in enumerate(images) if np.array_equal(image, frame.image)) for frame in frames]


@pytest.mark.parametrize("kind", ["mcap", "packed", "sqlite3"])
@pytest.mark.parametrize("metadata", [True, False])
def test_a_truncated_bag_yields_the_frames_before_its_end(copy, images, kind, metadata):
    path, file = copy(kind)
    with file.open("r+b") as opened:
        opened.truncate(round(file.stat().st_size * 0.6))
    if not metadata:
        (path / "metadata.yaml").unlink()
    recording, frames = read(path)
    found = numbers(frames, images)
    assert recording.partial and FRAMES * 0.4 < len(found) < FRAMES * 0.65
    assert found == list(range(len(found)))
    text = " ".join(recording.problems)
    assert file.name in text and ("without an index" in text or "damaged or missing" in text), text
    assert ("no metadata.yaml" in text) is not metadata


def test_a_bag_without_metadata_is_read_as_partial(copy, images):
    path, _ = copy("sqlite3")
    (path / "metadata.yaml").unlink()
    assert find_recordings([str(path)]) == [path]
    recording, frames = read(path)
    assert numbers(frames, images) == list(range(FRAMES))
    assert recording.partial and "no metadata.yaml" in recording.problems[0]


@pytest.mark.parametrize(
    "text", ["", "rosbag2_bagfile_information: [", "- a\n- b\n", "rosbag2_bagfile_information: 7", "\x00"]
)
def test_damaged_metadata_are_named_and_the_files_read(copy, images, text):
    path, _ = copy("mcap")
    (path / "metadata.yaml").write_text(text)
    recording, frames = read(path)
    assert len(frames) == FRAMES and recording.partial and "metadata.yaml cannot be read" in recording.problems[0]


@pytest.mark.parametrize("storage", ["sqlite3", "rosbag_v9", ""])
def test_a_wrong_storage_id_is_ignored(copy, storage):
    path, _ = copy("mcap")
    text = (path / "metadata.yaml").read_text().replace("storage_identifier: mcap", f"storage_identifier: '{storage}'")
    (path / "metadata.yaml").write_text(text)
    recording, frames = read(path)
    assert len(frames) == FRAMES and not recording.partial
    assert [f"storage {storage!r}, but its files are mcap" in problem for problem in recording.problems] == [True]


def test_a_file_with_the_suffix_of_the_other_storage_is_read(copy):
    path, file = copy("sqlite3")
    file.rename(path / "renamed.mcap")
    (path / "metadata.yaml").unlink()
    assert len(read(path / "renamed.mcap")[1]) == FRAMES


@pytest.mark.parametrize("name", ["50%25 done", "what?", "session#1"])
def test_uri_characters_in_a_folder_name_are_harmless(whole, tmp_path, name):
    path = shutil.copytree(whole["sqlite3"], tmp_path / name)
    recording, frames = read(path)
    assert (len(frames), recording.problems) == (FRAMES, [])


def test_missing_and_unnamed_files_of_a_split_bag_are_named(bags, video, tmp_path):
    path = bags.video_bag(tmp_path / "walk", video, frames=12, split=4)
    (path / "walk_1.mcap").rename(path / "walk_3.mcap")
    recording, frames = read(path)
    assert recording.partial and len(frames) == 12
    assert [frame.stamp_ns for frame in frames] == sorted(frame.stamp_ns for frame in frames)
    assert ["'walk_1.mcap' is missing" in p or "does not name walk_3.mcap" in p for p in recording.problems[:2]] == [
        True
    ] * 2


def test_metadata_do_not_lead_out_of_the_bags_folder(copy, whole):
    path, file = copy("mcap")
    outside = whole["mcap"] / "mcap.mcap"
    text = (path / "metadata.yaml").read_text().replace(f"- {file.name}", f"- {outside}")
    (path / "metadata.yaml").write_text(text)
    file.rename(path / "other.mcap")
    recording, _ = read(path)
    assert "its file 'mcap.mcap' is missing" in recording.problems[0]


def test_a_damaged_chunk_costs_its_own_messages_alone(copy, images):
    path, file = copy("packed")
    data = file.read_bytes()
    overwrite(file, data.index(b"\x28\xb5\x2f\xfd", len(data) // 2) / len(data), b"\x55" * 300)
    recording, frames = read(path)
    found = numbers(frames, images)
    assert recording.partial and FRAMES - 4 <= len(found) < FRAMES and found == sorted(set(found))
    assert {0, FRAMES - 1} <= set(found)
    assert "chunk of messages" in " ".join(recording.problems)


def test_damaged_pages_cost_their_own_rows_alone(copy, images):
    path, file = copy("sqlite3")
    size = file.stat().st_size
    with sqlite3.connect(file) as rows:
        (page,) = rows.execute("PRAGMA page_size").fetchone()
    rows.close()
    # Ones are no page number and no page kind, in whichever structure they fall.
    overwrite(file, (size // page // 2) * page / size, b"\xff" * page)
    recording, frames = read(path)
    assert recording.partial and len(frames) >= FRAMES - 3
    assert frames[-1].stamp_ns > frames[0].stamp_ns and np.array_equal(frames[-1].image, images[-1])


def test_what_a_crash_left_in_the_write_ahead_log_is_read(copy, images, tmp_path):
    path, file = copy("sqlite3")
    rows = sqlite3.connect(file)
    rows.execute("PRAGMA journal_mode=WAL")
    last = rows.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id DESC LIMIT 1").fetchone()
    rows.execute("DELETE FROM messages WHERE id = (SELECT max(id) FROM messages)")
    rows.commit()
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    rows.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", last)
    rows.commit()
    crashed = shutil.copytree(path, tmp_path / "crashed")  # while the recorder has it open
    rows.close()
    assert any(one.name.endswith("-wal") and one.stat().st_size for one in crashed.iterdir())
    _, frames = read(crashed)
    assert numbers(frames, images) == list(range(FRAMES))


def test_single_damaged_images_are_skipped_and_counted(bags, video, tmp_path):
    recorded = list(bags.video_messages(video, jpeg=True, frames=30))
    for number in (4, 5, 17):
        recorded[number][2].data = recorded[number][2].data[:2000]
    recording, frames = read(bags.write_bag(tmp_path / "spoilt", recorded))
    assert len(frames) == 27 and [frame.index for frame in frames] == list(range(27))
    (problem,) = recording.problems
    assert recording.partial and "cut off" in problem and "and 2 more like it" in problem


def test_a_recording_without_readable_images_is_refused(bags, video, tmp_path):
    recorded = list(bags.video_messages(video, jpeg=True, frames=3))
    for _, _, message in recorded:
        message.data = message.data[::-1].copy()
    with pytest.raises(RecordingError, match="no image in it can be read: .*neither JPEG nor PNG"):
        read(bags.write_bag(tmp_path / "spoilt", recorded))


def test_a_message_with_damaged_compression_is_skipped(bags, video, tmp_path):
    path = bags.video_bag(tmp_path / "packed", video, "sqlite3", "message", frames=6)
    with sqlite3.connect(path / "packed.db3") as rows:
        rows.execute("UPDATE messages SET data = substr(data, 1, 900) WHERE id = 3")
    rows.close()
    recording, frames = read(path)
    assert len(frames) == 5 and recording.partial and "zstd data cannot be decompressed" in recording.problems[0]


def test_an_unknown_compression_is_refused_by_name(bags, video, tmp_path):
    path = bags.video_bag(tmp_path / "packed", video, "mcap", "message", frames=2)
    text = (path / "metadata.yaml").read_text()
    (path / "metadata.yaml").write_text(text.replace("compression_format: zstd", "compression_format: fake_comp"))
    with pytest.raises(RecordingError, match="compression 'fake_comp' is not supported"):
        open_recording(path)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_truncated_compressed_file_yields_its_start(bags, video, images, tmp_path, storage):
    path = bags.video_bag(tmp_path / "packed", video, storage, "file", frames=FRAMES)
    (file,) = path.glob("*.zstd")
    with file.open("r+b") as opened:
        opened.truncate(round(file.stat().st_size * 0.6))
    recording, frames = read(path)
    found = numbers(frames, images)
    assert recording.partial and 3 < len(found) < FRAMES and found == list(range(len(found)))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.mcap", b"", "is empty"),
        ("text.db3", b"hello, this is no database at all", "neither MCAP nor sqlite3"),
        ("start.mcap", MAGIC, "no image topic"),
        ("start.db3", b"SQLite format 3\x00" + bytes(200), "nothing can be recovered"),
        ("packed.mcap.zstd", b"\x28\xb5\x2f\xfd\xff\xff\xff\xff", "is empty"),
        ("old.bag", b"#ROSBAG V2.0\n", "rosbags-convert"),
        ("notes.txt", b"nothing here", "not a video"),
    ],
)
def test_an_unreadable_file_is_refused_with_the_reason(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordingError, match=reason):
        open_recording(tmp_path / name)
    with pytest.raises(RecordingError, match="no such file"):
        open_recording(tmp_path / "absent")


def test_a_bag_with_a_wrong_definition_is_refused(bags, tmp_path):
    text, _ = bags.STORE.generate_msgdef(bags.IMAGE, ros_version=2)
    message = bags.image_message(np.zeros((4, 4, 3), np.uint8), bags.START_NS)
    data = bags.STORE.serialize_cdr(message, bags.IMAGE)
    lies = {
        "swapped": text.replace("uint32 height\nuint32 width", "uint32 width\nuint32 height"),
        "widened": text.replace("uint32 step", "uint64 step"),
        "header": text.replace("string frame_id", "uint8[1000000000] frame_id"),
    }
    for name, lie in lies.items():
        assert lie != text
        with Writer(tmp_path / name, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            topic = writer.add_connection(bags.TOPIC, bags.IMAGE, msgdef=lie, rihs01="RIHS01_0")
            writer.write(topic, 1, data)
        with pytest.raises(RecordingError, match="was written with another version of this message"):
            open_recording(tmp_path / name)
    with Writer(tmp_path / "garbage", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topic = writer.add_connection(bags.TOPIC, bags.IMAGE, msgdef="no ] definition [", rihs01="RIHS01_0")
        writer.write(topic, 1, data)
    recording, frames = read(tmp_path / "garbage")
    assert len(frames) == 1 and "definition" in recording.problems[0]


def test_images_that_declare_more_than_they_hold_are_skipped(bags, tmp_path):
    good, huge, short = (bags.image_message(np.zeros((4, 4, 3), np.uint8), bags.START_NS + k) for k in range(3))
    huge.width, huge.height, huge.step = 2**31, 2**31, 2**32 - 1
    short.height = 4000
    recording, frames = read(
        bags.write_bag(tmp_path / "lies", [(bags.TOPIC, k, m) for k, m in enumerate((good, huge, short))])
    )
    assert len(frames) == 1 and recording.partial and "and 1 more like it" in recording.problems[0]


def mcap_file(path, bags, chunk, message):
    """An MCAP file without an index: one chunk as given, then one message outside of any."""
    text, _ = bags.STORE.generate_msgdef(bags.IMAGE, ros_version=2)
    builder = RecordBuilder()
    Header(library="", profile="ros2").write(builder)
    Schema(id=1, data=text.encode(), encoding="ros2msg", name=bags.IMAGE).write(builder)
    Channel(id=1, topic=bags.TOPIC, message_encoding="cdr", metadata={}, schema_id=1).write(builder)
    chunk.write(builder)
    data = bytes(bags.STORE.serialize_cdr(message, bags.IMAGE))
    Message(channel_id=1, data=data, log_time=7, publish_time=7, sequence=0).write(builder)
    path.write_bytes(MAGIC + builder.end())
    return path


@pytest.mark.parametrize("declared", [100, 2**20, 2**60])
def test_a_decompression_bomb_takes_no_memory(bags, tmp_path, declared):
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(2**28))
    chunk = Chunk(
        "zstd", bomb, message_end_time=2, message_start_time=1, uncompressed_crc=0, uncompressed_size=declared
    )
    message = bags.image_message(np.zeros((4, 4, 3), np.uint8), bags.START_NS)
    path = mcap_file(tmp_path / "bomb.mcap", bags, chunk, message)
    tracemalloc.start()
    recording, frames = read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
    assert len(frames) == 1 and recording.partial and "chunk of messages" in " ".join(recording.problems)


def test_a_failing_chunk_costs_only_its_own_messages(copy, images):
    path, file = copy("packed")
    data = file.read_bytes()
    chunks = [place.start() for place in re.finditer(re.escape(b"\x28\xb5\x2f\xfd"), data)]
    # The header still tells the size, so that rosbags opens the file and fails where it comes to this chunk.
    overwrite(file, (chunks[len(chunks) // 2] + 20) / len(data), b"\xff" * 20_000)
    recording, frames = read(path)
    found = [k for k, image in enumerate(images) if any(np.array_equal(image, one.image) for one in frames)]
    assert recording.partial and FRAMES - 4 <= len(found) < FRAMES and {0, FRAMES - 1} <= set(found)
    assert "damaged (" in " ".join(recording.problems) and "chunk of messages" in " ".join(recording.problems)


def test_zstd_data_are_decompressed_up_to_the_limit():
    for known in (True, False):
        data = zstandard.ZstdCompressor(write_content_size=known).compress(bytes(5_000_000))
        assert unpack_zstd(data, 5_000_000) == bytes(5_000_000)
        with pytest.raises(ValueError, match="more than the"):
            unpack_zstd(data, 4_999_999)
    assert MAX_MESSAGE_BYTES < 300e6


@pytest.mark.parametrize("length", [2**20, 2**40, 2**64 - 1])
def test_a_record_longer_than_the_file_ends_the_reading(copy, length):
    path, file = copy("mcap")
    data = file.read_bytes()
    chunk = data.index(b"\x06", len(data) // 2)
    with file.open("r+b") as opened:
        opened.truncate(len(data) * 3 // 4)
        opened.seek(0, 2)
        opened.write(b"\x05" + length.to_bytes(8, "little") + data[chunk : chunk + 50])
    recording, frames = read(path)
    assert recording.partial and 0 < len(frames) < FRAMES


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_memory_does_not_grow_with_the_length_of_a_bag(bags, video, tmp_path, storage):
    peaks = []
    for frames in (12, 36):
        path = bags.video_bag(tmp_path / str(frames), video, storage, frames=frames)
        with open_recording(path) as recording:
            tracemalloc.start()
            for frame in recording.frames():
                size = frame.image.nbytes
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + size < 20 * size

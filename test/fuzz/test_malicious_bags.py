"""Malicious bags are refused or read in part, in bounded time and memory, and never beyond their folder."""

from __future__ import annotations

import sqlite3
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from ast_net_ros.bags import reader as bag_files
from ast_net_ros.bags.affect_messages import affect_topics, read_affect_labels
from ast_net_ros.bags.paths import RecordingError
from ast_net_ros.bags.recordings import open_recording

Read = Callable[[Path], list[str]]


@pytest.fixture()
def read(record_property: Any) -> Iterator[Read]:
    """Read a bag's images and return its problems; fail if that takes long or much memory."""

    def all_of(path: Path) -> list[str]:
        began = time.process_time()
        tracemalloc.start()
        try:
            with open_recording(path) as recording:
                assert all(frame.image.shape == (12, 16, 3) for frame in recording.frames())
            return recording.problems
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 100e6, f"took {peak / 1e6:.0f} MB"
            assert time.process_time() - began < 8

    yield all_of


def write(bag_of_damage: ModuleType, folder: Path, kind: int = 0) -> Path:
    """A whole tiny bag; see BAG_KINDS."""
    path = folder / "bag"
    path.mkdir()
    for name, content in bag_of_damage._whole_bags()[kind].items():
        (path / name).write_bytes(content)
    return path


def change_database(path: Path, *commands: str) -> None:
    database = sqlite3.connect(next(path.glob("*.db3")))
    for command in commands:
        database.execute(command)
    database.commit()
    database.close()


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT"


@pytest.mark.parametrize(
    "commands",
    [
        (
            "ALTER TABLE messages RENAME TO others",
            f"CREATE VIEW messages AS {ENDLESS} i AS id, 1 AS topic_id, 1 AS timestamp, x'00' AS data FROM n",
        ),
        (
            "ALTER TABLE topics RENAME TO others",
            f"CREATE VIEW topics AS {ENDLESS} i AS id, 'a' AS name, 'b' AS type, 'cdr' AS serialization_format FROM n",
        ),
        (
            "ALTER TABLE messages RENAME TO others",
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, "
            "data BLOB AS (zeroblob(900000000)))",
            "INSERT INTO messages(id, topic_id, timestamp) SELECT id, topic_id, timestamp FROM others",
        ),
        ("ALTER TABLE messages RENAME TO others", "CREATE VIRTUAL TABLE messages USING rtree(id, topic_id, timestamp)"),
    ],
    ids=["endless messages", "endless topics", "computed column", "virtual table"],
)
def test_a_database_that_computes_is_refused(
    commands: tuple[str, ...], bag_of_damage: ModuleType, tmp_path: Path, read: Read
) -> None:
    path = write(bag_of_damage, tmp_path, kind=3)
    change_database(path, *commands)
    with pytest.raises(RecordingError, match="computed, not recorded"):
        read(path)
    with pytest.raises(RecordingError, match="computed, not recorded"):
        affect_topics(path)


@pytest.mark.parametrize("column", ["name", "type", "serialization_format"])
@pytest.mark.parametrize("value", ["NULL", "17", "x'ff'"])
def test_topics_that_are_not_text_are_skipped(
    column: str, value: str, bag_of_damage: ModuleType, tmp_path: Path, read: Read
) -> None:
    path = write(bag_of_damage, tmp_path, kind=3)
    commands = [
        "CREATE TABLE others(id INTEGER PRIMARY KEY, name, type, serialization_format, offered_qos_profiles, hash)",
        "INSERT INTO others SELECT * FROM topics",
        "DROP TABLE topics",
        "ALTER TABLE others RENAME TO topics",
    ]
    change_database(path, *commands, f"UPDATE topics SET {column} = {value} WHERE id = 1")
    try:
        read(path)
    except RecordingError as error:
        assert "no image topic" in str(error)


def _laughing() -> str:
    steps = [f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    ends = ["  relative_file_paths: *a9", "  storage_identifier: *a9"]
    return "\n".join(["rosbag2_bagfile_information:", "  a0: &a0 [x, x]", *steps, *ends])


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (_laughing(), "it contains aliases"),
        ("a: " + "[" * 50_000, "nested too deeply"),
        ("a: " + "{a: " * 50_000, "nested too deeply"),
        ("\n".join(f"k{i}: [x, y]" for i in range(40_000)), "too long"),
        ("a: " + "x" * 1_100_000, "larger than"),
        ("!!python/object/apply:os.system ['true']", "metadata.yaml cannot be read"),
    ],
    ids=["aliases", "lists", "maps", "parts", "bytes", "object"],
)
def test_metadata_that_expand_are_ignored(
    metadata: str,
    reason: str,
    bag_of_damage: ModuleType,
    tmp_path: Path,
    read: Read,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bag_files, "_MAX_METADATA_EVENTS", 2_000)  # the real limit would take a second to reach
    path = write(bag_of_damage, tmp_path)
    (path / "metadata.yaml").write_text(metadata)
    assert reason in " ".join(read(path))


def test_metadata_cannot_name_files_outside_the_bag(bag_of_damage: ModuleType, tmp_path: Path, read: Read) -> None:
    path = write(bag_of_damage, tmp_path)
    outside = tmp_path / "outside.mcap"
    outside.write_bytes((path / "bag.mcap").read_bytes())
    text = (path / "metadata.yaml").read_text()
    for name in ("../outside.mcap", str(outside)):
        (path / "metadata.yaml").write_text(text.replace("bag.mcap", name))
        assert any("'outside.mcap' is missing" in problem for problem in read(path))


def lying_bag(bags: Any, path: Path, definition: str) -> Path:
    """Images whose embedded definition is `definition`, whatever their bytes are."""
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    with writer:
        connection = writer.add_connection(bags.TOPIC, bags.IMAGE, msgdef=definition, rihs01="RIHS01_" + "0" * 64)
        for index in range(3):
            stamp = bags.START_NS + index * 40_000_000
            message = bags.image_message(np.zeros((12, 16, 3), np.uint8), stamp)
            writer.write(connection, stamp, bags.STORE.serialize_cdr(message, bags.IMAGE))
    return path


@pytest.mark.parametrize(
    "definition",
    ["uint8[] data\nuint32 height\nuint32 width\n", "std_msgs/Header header\nfloat64[1000000000000] data\n"],
    ids=["other fields", "huge array"],
)
def test_a_wrong_message_definition_is_refused(definition: str, bags: Any, tmp_path: Path, read: Read) -> None:
    with pytest.raises(RecordingError, match="defines sensor_msgs/msg/Image with the fields"):
        read(lying_bag(bags, tmp_path / "lie", definition))


@pytest.mark.parametrize(
    "definition",
    ["(" * 20_000, "uint8 a" * 20_000, "import os; os.system('true')", "uint8[" + "9" * 5_000 + "] a\n", "\0" * 100],
    ids=["parentheses", "one line", "code", "number", "zeros"],
)
def test_an_unreadable_definition_costs_no_image(definition: str, bags: Any, tmp_path: Path, read: Read) -> None:
    try:
        read(lying_bag(bags, tmp_path / "odd", definition))
    except RecordingError as error:
        assert "defines sensor_msgs/msg/Image" in str(error)


def test_messages_that_declare_too_much_are_skipped(
    bag_of_damage: ModuleType, bags: Any, tmp_path: Path, read: Read
) -> None:
    """The length field of the pixels states 2 GB."""
    path = write(bag_of_damage, tmp_path)
    message = bags.image_message(np.zeros((12, 16, 3), np.uint8), bags.START_NS)
    whole = bytes(bags.STORE.serialize_cdr(message, bags.IMAGE))
    length = (12 * 16 * 3).to_bytes(4, "little")
    stored = (path / "bag.mcap").read_bytes()
    assert whole.count(length) == 1 and stored.count(length) == 3
    (path / "bag.mcap").write_bytes(stored.replace(length, (2**31 - 1).to_bytes(4, "little")))
    with pytest.raises(RecordingError, match="no image in it can be read"):
        read(path)


@pytest.mark.parametrize("mode", [CompressionMode.MESSAGE, CompressionMode.STORAGE])
def test_a_message_that_unpacks_to_gigabytes_is_passed_over(
    mode: CompressionMode, bags: Any, tmp_path: Path, read: Read
) -> None:
    path = tmp_path / "bomb"
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection(bags.TOPIC, bags.IMAGE, typestore=bags.STORE)
        writer.write(connection, bags.START_NS, bytes(280_000_000))
    assert sum(file.stat().st_size for file in path.iterdir()) < 100_000
    with pytest.raises(RecordingError, match="no image in it can be read"):
        read(path)


def test_labels_of_a_hostile_bag_are_refused_alike(bag_of_damage: ModuleType, tmp_path: Path) -> None:
    path = write(bag_of_damage, tmp_path, kind=3)
    change_database(
        path,
        "ALTER TABLE messages RENAME TO others",
        f"CREATE VIEW messages AS {ENDLESS} i AS id, 1 AS topic_id, 1 AS timestamp, x'00' AS data FROM n",
    )
    with pytest.raises(RecordingError, match="computed, not recorded"):
        read_affect_labels(path)

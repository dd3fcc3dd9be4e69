"""A rosbag2 recording as a whole: its metadata, its files in their order, and what compresses them.

In: a bag's folder, or one of its files. Out: a :class:`Bag` with its topics, whose `messages` gives those of one
topic in the order in which they were received, file after file. What is missing or damaged is noted, and the rest
is read.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import zstandard
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, MappingEndEvent, MappingStartEvent, SequenceEndEvent, SequenceStartEvent

from ast_net_ros.bags.storage import (
    MAX_MESSAGE_BYTES,
    ZSTD,
    ZSTD_START,
    ReadingProblems,
    StorageError,
    StoredMessage,
    StoredTopic,
    storage_format,
    stored_messages,
    stored_topics,
    unpack_zstd,
)

METADATA = "metadata.yaml"
STORAGE_SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
_LARGEST_METADATA = 1_000_000  # bytes; a file or a topic takes some hundred
_DEEPEST_METADATA, _MOST_METADATA = 16, 50_000  # nesting and parts: reading YAML takes seconds for more
_SPARE_DISK = 2**28  # bytes that unpacking leaves free


@dataclass(frozen=True)
class Bag:
    """A recording. files: those of which something can be read, in order."""

    path: Path
    files: tuple[Path, ...]
    topics: tuple[StoredTopic, ...]

    def messages(self, topic: str, problems: ReadingProblems) -> Iterator[StoredMessage]:
        """(receive time in nanoseconds, serialized message) of one topic. Memory does not grow with the bag."""
        for file in self.files:
            try:
                with _plain_file(file, problems) as plain:
                    for received_ns, data in stored_messages(plain, topic, problems):
                        # Message by message; files do not say so, and no serialized message begins like that.
                        if not data.startswith(ZSTD_START):
                            yield received_ns, data
                            continue
                        try:
                            yield received_ns, unpack_zstd(data, MAX_MESSAGE_BYTES)
                        except ValueError as error:
                            problems.note(f"file {file.name}: a message cannot be read: {error}", kind=f"zstd {topic}")
            except StorageError as error:
                problems.note(str(error))


def is_bag(path: Path) -> bool:
    """Whether `path` is a bag's folder or one of the files that bags consist of, by its name or its first bytes."""
    if path.is_dir():
        return (path / METADATA).is_file() or bool(storage_files(path))
    return path.name.endswith(STORAGE_SUFFIXES) or (path.is_file() and bool(storage_format(path)))


def storage_files(folder: Path) -> list[Path]:
    """The files in `folder` that a bag can consist of, in the order of the numbers in their names."""
    return sorted((file for file in folder.iterdir() if file.name.endswith(STORAGE_SUFFIXES)), key=_in_order)


def recording_of(file: Path) -> str:
    """The name that the files of one split recording have in common: `walk` of walk_0.mcap and walk_12.mcap."""
    stem = next((file.name.removesuffix(suffix) for suffix in STORAGE_SUFFIXES[::-1] if file.name.endswith(suffix)), "")
    return re.sub(r"_\d+$", "", stem)


def open_bag(path: Path, problems: ReadingProblems) -> Bag:
    """The bag at `path`, a folder or a file. Raises StorageError when none of its files can be read."""
    metadata = _read_metadata(path, problems) if path.is_dir() else {}
    _check_compression(path, metadata)
    topics: dict[str, StoredTopic] = {}
    usable = []
    for file in _named_files(path, metadata, problems) if path.is_dir() else [path]:
        try:
            with _plain_file(file, problems) as plain:
                found = stored_topics(plain, problems)
                storage = storage_format(plain)
        except StorageError as error:
            problems.note(str(error))
            continue
        usable.append(file)
        if metadata and metadata.get("storage_identifier") != storage:
            stated = str(metadata.get("storage_identifier"))[:40]
            text = (
                f"bag {path.name}: {METADATA} states the storage {stated!r}, its files are {storage} and read as such"
            )
            problems.note(text, lost=False)
        for topic in found:
            topics[topic.name] = _joined(topics.get(topic.name), topic)
    if not usable:
        raise StorageError(f"bag {path}: nothing of it can be read: {'; '.join(problems.texts()) or 'it has no files'}")
    return Bag(path, tuple(usable), tuple(topics.values()))


def _check_compression(path: Path, metadata: dict[str, Any]) -> None:
    if not metadata:
        return
    mode, compressor = (str(metadata.get(f"compression_{key}") or "")[:40] for key in ("mode", "format"))
    if mode.lower() not in ("", "none") and compressor != "zstd":
        raise StorageError(f"bag {path}: compression {compressor!r} cannot be read, only zstd; use `ros2 bag convert`")


def _read_metadata(folder: Path, problems: ReadingProblems) -> dict[str, Any]:
    """What metadata.yaml says; nothing where it is absent or damaged."""
    path = folder / METADATA
    if not path.is_file():
        problems.note(f"bag {folder.name}: no {METADATA}, so the recorder was not closed; its end may be missing")
        return {}
    try:
        if path.stat().st_size > _LARGEST_METADATA:
            raise ValueError(f"larger than {_LARGEST_METADATA} bytes")
        text = path.read_text(encoding="utf-8")
        _check_yaml(text)
        metadata = YAML(typ="safe").load(text)["rosbag2_bagfile_information"]
        if not isinstance(metadata, dict):
            raise ValueError("no information on a bag in it")
        return metadata
    except (YAMLError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:160]
        problems.note(f"bag {folder.name}: {METADATA} cannot be read ({reason}); its end may be missing")
        return {}


def _check_yaml(text: str) -> None:
    """Raises ValueError for YAML that would grow, or take hours, when read: recorders write plain lists and maps."""
    depth = 0
    for number, event in enumerate(YAML(typ="safe", pure=True).parse(text)):
        if isinstance(event, AliasEvent):
            raise ValueError("it refers to parts of itself")
        depth += isinstance(event, (MappingStartEvent, SequenceStartEvent))
        depth -= isinstance(event, (MappingEndEvent, SequenceEndEvent))
        if depth > _DEEPEST_METADATA or number > _MOST_METADATA:
            raise ValueError("nested too deep" if depth > _DEEPEST_METADATA else "too long")


def _named_files(folder: Path, metadata: dict[str, Any], problems: ReadingProblems) -> list[Path]:
    """The files that the metadata name, then those that lie there besides; all that lie there without metadata."""
    there = storage_files(folder)
    listed = metadata.get("relative_file_paths")
    if not isinstance(listed, list):
        return there
    # The last part only: the metadata must not lead out of the folder, and old recorders put its name before it.
    named = [folder / PurePath(str(name).replace("\\", "/")).name for name in listed]
    for file in named:
        if not file.is_file():
            problems.note(f"bag {folder.name}: its file {file.name!r} is missing", kind="missing file")
    besides = [file for file in there if file not in named]
    for file in besides:
        problems.note(f"bag {folder.name}: {METADATA} does not name {file.name}, which was read as well", lost=False)
    return [file for file in dict.fromkeys(named) if file.is_file()] + besides


def _joined(one: StoredTopic | None, other: StoredTopic) -> StoredTopic:
    """A topic of two files: of the first kind, with the messages of both."""
    if one is None:
        return other
    counted = one.count is not None and other.count is not None
    return replace(one, count=(one.count or 0) + (other.count or 0) if counted else None)


@contextmanager
def _plain_file(file: Path, problems: ReadingProblems) -> Iterator[Path]:
    """`file` itself, or where it is compressed as a whole, what it unpacks to until the block ends.

    One file at a time is unpacked, so that the disk need not hold a second copy of the whole bag.
    """
    if storage_format(file) != ZSTD:
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="ast_net_bag-") as folder:
        plain = Path(folder) / file.name.removesuffix(".zstd")
        room = shutil.disk_usage(folder).free - _SPARE_DISK
        with file.open("rb") as packed, plain.open("wb") as unpacked:
            try:
                stream = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
                while piece := stream.read(2**20):
                    room -= len(piece)
                    if room < 0:
                        raise StorageError(f"file {file}: unpacked it is larger than the free space of {folder}")
                    unpacked.write(piece)
            except zstandard.ZstdError as error:
                problems.note(f"file {file.name}: cannot be decompressed to its end ({error})")
        yield plain


def _in_order(file: Path) -> tuple[str, int, str]:
    number = re.search(r"_(\d+)$", file.name.split(".")[0])
    return recording_of(file), int(number.group(1)) if number else -1, file.name

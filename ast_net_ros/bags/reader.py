"""Read a rosbag2 recording as a whole: its metadata, its files in order, and their compression.

What is missing or damaged is noted, and the rest is read.
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

from ast_net_ros.bags.names import STORAGE_SUFFIXES
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
_MAX_METADATA_BYTES = 1_000_000  # a file or a topic takes a few hundred
_MAX_METADATA_DEPTH, _MAX_METADATA_EVENTS = 16, 50_000  # parsing more YAML takes seconds
_SPARE_DISK = 2**28  # bytes that decompression leaves free


@dataclass(frozen=True)
class Bag:
    """An opened recording."""

    path: Path
    files: tuple[Path, ...]  # the files of which something can be read, in order
    topics: tuple[StoredTopic, ...]

    def messages(self, topic: str, problems: ReadingProblems) -> Iterator[StoredMessage]:
        """Yield (receive time in nanoseconds, serialized message) of one topic, in receive order, file after file."""
        for file in self.files:
            try:
                with _plain_file(file, problems) as plain:
                    for received_ns, data in stored_messages(plain, topic, problems):
                        # Compressed by message. Files do not state it; no serialized CDR message begins like this.
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
    """Return whether `path` is a bag's folder or one of its files, by its name or its first bytes."""
    if path.is_dir():
        return (path / METADATA).is_file() or bool(storage_files(path))
    return path.name.endswith(STORAGE_SUFFIXES) or (path.is_file() and bool(storage_format(path)))


def storage_files(folder: Path) -> list[Path]:
    """Return the files in `folder` that can belong to a bag, in the order of the numbers in their names."""
    return sorted((file for file in folder.iterdir() if file.name.endswith(STORAGE_SUFFIXES)), key=_in_order)


def recording_of(file: Path) -> str:
    """Return the common name of the files of a split recording: `walk` for walk_0.mcap and walk_12.mcap."""
    stem = next((file.name.removesuffix(suffix) for suffix in STORAGE_SUFFIXES[::-1] if file.name.endswith(suffix)), "")
    return re.sub(r"_\d+$", "", stem)


def open_bag(path: Path, problems: ReadingProblems) -> Bag:
    """Open the bag at `path`, a folder or a file. StorageError: none of its files can be read."""
    metadata = _read_metadata(path, problems) if path.is_dir() else {}
    mode, compressor = (str(metadata.get(f"compression_{key}") or "")[:40] for key in ("mode", "format"))
    if mode.lower() not in ("", "none") and compressor != "zstd":
        reason = f"compression {compressor!r} is not supported, only zstd; use `ros2 bag convert`"
        raise StorageError(f"bag {path}: {reason}")
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
            text = f"{METADATA} states the storage {stated!r}, but its files are {storage}; read as such"
            problems.note(f"bag {path.name}: {text}", lost=False)
        for topic in found:
            topics[topic.name] = _joined(topics.get(topic.name), topic)
    if not usable:
        raise StorageError(f"bag {path}: nothing of it can be read: {'; '.join(problems.texts()) or 'it has no files'}")
    return Bag(path, tuple(usable), tuple(topics.values()))


def _read_metadata(folder: Path, problems: ReadingProblems) -> dict[str, Any]:
    """Return the content of metadata.yaml; empty if it is missing or damaged."""
    path = folder / METADATA
    if not path.is_file():
        problems.note(f"bag {folder.name}: no {METADATA}, so the recorder was not shut down; the end may be missing")
        return {}
    try:
        if path.stat().st_size > _MAX_METADATA_BYTES:
            raise ValueError(f"larger than {_MAX_METADATA_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        _check_yaml(text)
        metadata = YAML(typ="safe").load(text)["rosbag2_bagfile_information"]
        if not isinstance(metadata, dict):
            raise ValueError("it does not describe a bag")
        return metadata
    except (YAMLError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:160]
        problems.note(f"bag {folder.name}: {METADATA} cannot be read ({reason}); the end may be missing")
        return {}


def _check_yaml(text: str) -> None:
    """Raise ValueError for YAML that would expand, or take hours to load; recorders write plain lists and maps."""
    depth = 0
    for number, event in enumerate(YAML(typ="safe", pure=True).parse(text)):
        if isinstance(event, AliasEvent):
            raise ValueError("it contains aliases")
        depth += isinstance(event, (MappingStartEvent, SequenceStartEvent))
        depth -= isinstance(event, (MappingEndEvent, SequenceEndEvent))
        if depth > _MAX_METADATA_DEPTH or number > _MAX_METADATA_EVENTS:
            raise ValueError("nested too deeply" if depth > _MAX_METADATA_DEPTH else "too long")


def _named_files(folder: Path, metadata: dict[str, Any], problems: ReadingProblems) -> list[Path]:
    """Return the files that the metadata name, then the other bag files in the folder."""
    there = storage_files(folder)
    listed = metadata.get("relative_file_paths")
    if not isinstance(listed, list):
        return there
    # Only the file name: the metadata must not lead out of the folder, and old recorders prepend its name.
    named = [folder / PurePath(str(name).replace("\\", "/")).name for name in listed]
    for file in named:
        if not file.is_file():
            problems.note(f"bag {folder.name}: its file {file.name!r} is missing", kind="missing file")
    others = [file for file in there if file not in named]
    for file in others:
        problems.note(f"bag {folder.name}: {METADATA} does not name {file.name}; it was read as well", lost=False)
    return [file for file in dict.fromkeys(named) if file.is_file()] + others


def _joined(one: StoredTopic | None, other: StoredTopic) -> StoredTopic:
    """Merge the entries of a topic in two files."""
    if one is None:
        return other
    counted = one.count is not None and other.count is not None
    return replace(one, count=(one.count or 0) + (other.count or 0) if counted else None)


@contextmanager
def _plain_file(file: Path, problems: ReadingProblems) -> Iterator[Path]:
    """Yield `file`, or a decompressed copy that lasts until the block ends: one at a time, to spare the disk."""
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
                        raise StorageError(f"file {file}: decompressed, it is larger than the free space of {folder}")
                    unpacked.write(piece)
            except zstandard.ZstdError as error:
                problems.note(f"file {file.name}: cannot be decompressed to its end ({error})")
        yield plain


def _in_order(file: Path) -> tuple[str, int, str]:
    number = re.search(r"_(\d+)$", file.name.split(".")[0])
    return recording_of(file), int(number.group(1)) if number else -1, file.name

"""Read the messages of one file of a bag: MCAP or sqlite3, intact or damaged.

An intact file is read with rosbags, by receive time. What rosbags refuses, at the start or on the way, is read record
by record in the order in which it was written: MCAP with the mcap library, which needs no index at the end of the file;
sqlite3 row by row, skipping missing pages. Sizes are checked before memory is allocated. Memory use does not grow
with the file.
"""

from __future__ import annotations

import re
import sqlite3
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import zstandard
from lz4 import frame as lz4
from mcap.exceptions import EndOfFile, McapError
from mcap.records import Channel, Chunk, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from rosbags.rosbag2 import Reader

from ast_net_ros.vision.image_decoding import MAX_PIXELS

MAX_MESSAGE_BYTES = 4 * MAX_PIXELS + 2**20
"""Size limit of a message and of an MCAP chunk: no accepted image is larger, and no recorder writes larger chunks."""

MCAP, SQLITE, ZSTD = "mcap", "sqlite3", "zstd"
ZSTD_START = b"\x28\xb5\x2f\xfd"
_FIRST_BYTES = {b"\x89MCAP0\r\n": MCAP, b"SQLite format 3\x00": SQLITE, ZSTD_START: ZSTD}
_SUFFIXES = {MCAP: ".mcap", SQLITE: ".db3"}
_DAMAGED = (McapError, struct.error, ValueError, OverflowError, MemoryError)  # what mcap raises on damaged records

_TABLES = ("topics", "messages", "message_definitions", "metadata", "schema")
_OPENING_MODES = ("mode=ro", "immutable=1")  # the second where the system does not allow a write-ahead log
_VIRTUAL = re.compile(r"\s*CREATE\s+VIRTUAL\b", re.IGNORECASE)
_MAX_ROW_FAILURES = 64  # steps double, so this many skip any number of rows

StoredMessage = tuple[int, bytes]
"""(receive time in nanoseconds, serialized message)"""


@dataclass
class ReadingProblems:
    """Collects what could not be read as expected; `partial`: part of the recording is missing."""

    partial: bool = False
    _texts: dict[str, str] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)

    def note(self, text: str, lost: bool = True, kind: str = "") -> None:
        """Add a problem; `lost`: data are missing. Of several of one `kind`, one is kept and the others counted."""
        self._texts.setdefault(kind or text, text)
        self._counts[kind or text] += 1
        self.partial |= lost

    def texts(self) -> list[str]:
        """Return one text for each kind of problem, in order of appearance."""
        return [
            text + (f" (and {self._counts[kind] - 1} more like it)" if kind != text and self._counts[kind] > 1 else "")
            for kind, text in self._texts.items()
        ]


@dataclass(frozen=True)
class StoredTopic:
    """A topic of a bag."""

    name: str
    type: str
    count: int | None  # number of messages; None if unknown
    serialization: str = "cdr"  # format of the messages; "cdr" can be read
    definition: str = ""  # message definition embedded in the file; empty if none


class RecordingError(ValueError):
    """A recording that cannot be read; the message names the path, the reason and the fix."""


class StorageError(RecordingError):
    """A file of a bag of which nothing can be read; the message names the file and the reason."""


def storage_format(path: Path) -> str:
    """Return MCAP, SQLITE or ZSTD by the first bytes of a file; empty for any other."""
    with path.open("rb") as file:
        start = file.read(16)
    return next((name for first, name in _FIRST_BYTES.items() if start.startswith(first)), "")


def stored_topics(path: Path, problems: ReadingProblems) -> list[StoredTopic]:
    """Return the topics of a file. StorageError: it is neither MCAP nor sqlite3, or has lost its tables."""
    topics = _all_topics(path, problems)
    sound = [topic for topic in topics if _is_sound(topic)]
    if len(sound) < len(topics):
        problems.note(f"file {path.name}: {len(topics) - len(sound)} of its topics have no name or type")
    return sound


def _is_sound(topic: StoredTopic) -> bool:
    """Check the types of all fields; sqlite3 stores anything in any column."""
    texts = (topic.name, topic.type, topic.serialization, topic.definition)
    return all(isinstance(text, str) for text in texts) and (topic.count is None or isinstance(topic.count, int))


def _all_topics(path: Path, problems: ReadingProblems) -> list[StoredTopic]:
    kind = _known_format(path)
    if _is_plain(path, kind):
        try:
            reader = _open_whole(path, kind)
        except Exception as error:  # rosbags raises whatever its parsers raise on damaged files
            _note_refused(path, error, problems)
        else:
            with closing(reader):
                if kind == SQLITE or reader.chunks:
                    return [
                        StoredTopic(one.topic, one.msgtype, one.msgcount, one.ext.serialization_format, one.msgdef.data)
                        for one in reader.connections
                    ]
    return _mcap_topics(path, problems) if kind == MCAP else _sqlite_topics(path)


def stored_messages(path: Path, topic: str, problems: ReadingProblems) -> Iterator[StoredMessage]:
    """Yield the messages of a topic in receive order, without damaged parts, which are noted in `problems`."""
    kind = _known_format(path)
    last: int | None = None
    if _is_plain(path, kind):
        try:
            reader = _open_whole(path, kind)
            with closing(reader):
                if kind == SQLITE or (reader.chunks and _sizes_hold(path, reader.chunks)):
                    wanted = [one for one in reader.connections if one.topic == topic]
                    for _, received_ns, data in reader.messages(wanted) if wanted else ():
                        last = received_ns
                        yield received_ns, data
                    return
        except Exception as error:  # as above
            _note_refused(path, error, problems)
    read = _mcap_messages if kind == MCAP else _sqlite_messages
    for received_ns, data in read(path, topic, problems):
        # rosbags yields in time order, so everything up to `last` has been yielded.
        if last is None or received_ns > last:
            yield received_ns, data


def unpack_zstd(data: bytes, limit: int) -> bytes:
    """Decompress one zstd frame. ValueError: it is damaged or larger than `limit` bytes."""
    try:
        declared = zstandard.frame_content_size(data)
        if declared > limit:
            raise ValueError(f"zstd data of {declared} bytes: more than the {limit} that are accepted")
        if declared >= 0:
            return zstandard.ZstdDecompressor().decompress(data)
        pieces, size = [], 0
        with zstandard.ZstdDecompressor().stream_reader(data) as stream:
            while piece := stream.read(2**20):
                pieces.append(piece)
                size += len(piece)
                if size > limit:
                    raise ValueError(f"zstd data: more than the {limit} bytes that are accepted")
        return b"".join(pieces)
    except zstandard.ZstdError as error:
        raise ValueError(f"zstd data cannot be decompressed ({error})") from error


def _known_format(path: Path) -> str:
    kind = storage_format(path)
    if kind not in _SUFFIXES:
        empty = "is empty" if path.stat().st_size == 0 else "is neither MCAP nor sqlite3 by its first bytes"
        raise StorageError(f"file {path}: {empty}; is it the file that the recorder wrote?")
    if kind == SQLITE:
        _check_plain_tables(path)
    return kind


def _check_plain_tables(path: Path) -> None:
    """Refuse views, virtual tables and generated columns: computing them could take any time; recorders make none."""
    computed: list[str] = []
    for mode in _OPENING_MODES:
        with closing(_connect(path, mode)) as database:
            try:
                parts = database.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
                computed += [name for kind, name, sql in parts if kind == "view" or _VIRTUAL.match(str(sql))]
                for table in _TABLES:
                    columns = database.execute(f"PRAGMA table_xinfo({table})").fetchall()
                    computed += [f"{table}.{column[1]}" for column in columns if column[6]]
                break
            except sqlite3.Error:  # damaged, or needs the other mode; reported when it is read
                continue
    if computed:
        raise StorageError(f"file {path}: {str(computed[0])[:80]!r} is computed, not recorded; refused")


def _is_plain(path: Path, kind: str) -> bool:
    """Return whether rosbags can open the file: it uses sqlite3 paths as URIs and ignores a write-ahead log."""
    log = path.with_name(f"{path.name}-wal")
    return kind == MCAP or not (set(str(path)) & set("?#%") or (log.is_file() and log.stat().st_size))


def _open_whole(path: Path, kind: str) -> Any:
    # By format, not through Reader(path), which trusts the suffix; that of a renamed file may be wrong.
    reader = Reader.STORAGE_PLUGINS[_SUFFIXES[kind]](path)
    reader.open()
    return reader


def _note_refused(path: Path, error: Exception, problems: ReadingProblems) -> None:
    reason = str(error).rstrip(".") or type(error).__name__
    problems.note(f"file {path.name}: damaged ({reason}); read record by record", lost=False)


# --- MCAP, record by record ---


def _sizes_hold(path: Path, chunks: list[Any]) -> bool:
    """Return whether the chunks have the sizes they declare; rosbags allocates whatever they decompress to."""
    with path.open("rb") as file:
        for chunk in chunks:
            if max(chunk.compressed_size, chunk.uncompressed_size) > MAX_MESSAGE_BYTES:
                return False
            if chunk.compression == "lz4" and chunk.compressed_size * 255 > MAX_MESSAGE_BYTES:  # its largest ratio
                return False
            if chunk.compression == "zstd":
                # Skip opcode, length, two times, size, checksum and the lengths of the compression's name and the data.
                file.seek(chunk.chunk_start_offset + 9 + 28 + 4 + len(chunk.compression) + 8)
                try:
                    unpacked = zstandard.frame_content_size(file.read(18))
                except zstandard.ZstdError:
                    return False
                if unpacked != chunk.uncompressed_size:
                    return False
    return True


def _mcap_records(path: Path, problems: ReadingProblems) -> Iterator[McapRecord]:
    """Yield all records up to the end of the file or the first damaged one; damaged chunks are skipped."""
    with path.open("rb") as file:
        records = StreamReader(file, emit_chunks=True, record_size_limit=MAX_MESSAGE_BYTES).records
        while True:
            try:
                record = next(records)
            except StopIteration:
                return
            except EndOfFile:
                problems.note(f"file {path.name}: ends after {file.tell()} bytes without an index, as after a crash")
                return
            except _DAMAGED as error:
                problems.note(f"file {path.name}: damaged at byte {file.tell()} ({error}); the rest cannot be read")
                return
            if not isinstance(record, Chunk):
                yield record
                continue
            try:
                contents = breakup_chunk(_unpacked(record), validate_crc=True)
            except (*_DAMAGED, RuntimeError) as error:
                text = f"file {path.name}: the chunk of messages before byte {file.tell()} cannot be read ({error})"
                problems.note(text, kind=f"chunk of {path.name}")
                continue
            yield from contents


def _unpacked(chunk: Chunk) -> Chunk:
    """Return the chunk decompressed. Raises ValueError and what the decompressors raise."""
    data, size = chunk.data, chunk.uncompressed_size
    if max(size, len(data)) > MAX_MESSAGE_BYTES:
        raise ValueError(f"it declares {size} bytes, more than the limit of {MAX_MESSAGE_BYTES}")
    if chunk.compression == "zstd":
        data = unpack_zstd(data, size)
    elif chunk.compression == "lz4":
        data = lz4.LZ4FrameDecompressor().decompress(data, max_length=size)
    elif chunk.compression:
        raise ValueError(f"compression {chunk.compression[:40]!r} is unknown; zstd, lz4 or none can be read")
    if len(data) != size:
        raise ValueError(f"it declares {size} bytes and holds {len(data)}")
    return replace(chunk, compression="", data=data)


def _mcap_topics(path: Path, problems: ReadingProblems) -> list[StoredTopic]:
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    counts: Counter[int] = Counter()
    for record in _mcap_records(path, problems):
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            channels[record.id] = record
        elif isinstance(record, Message):
            counts[record.channel_id] += 1
    found = []
    for number, channel in channels.items():
        schema = schemas.get(channel.schema_id)
        name, definition = (schema.name, schema.data.decode("utf-8", "replace")) if schema else ("", "")
        found.append(StoredTopic(channel.topic, name, counts[number], channel.message_encoding, definition))
    return found


def _mcap_messages(path: Path, topic: str, problems: ReadingProblems) -> Iterator[StoredMessage]:
    wanted: set[int] = set()
    for record in _mcap_records(path, problems):
        if isinstance(record, Channel) and record.topic == topic:
            wanted.add(record.id)
        elif isinstance(record, Message) and record.channel_id in wanted:
            yield record.log_time, record.data


# --- sqlite3, row by row ---


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True)
    # Nothing is written. Without this setting SQLite refuses a file that is shorter than its header states.
    connection.execute("PRAGMA writable_schema = ON")
    return connection


def _open_rows(path: Path) -> sqlite3.Connection:
    """Open a database read-only, with the write-ahead log beside the file if the system allows it."""
    for mode in _OPENING_MODES:
        connection = _connect(path, mode)
        try:
            connection.execute("SELECT count(*) FROM topics").fetchone()
            return connection
        except sqlite3.Error as error:
            connection.close()
            reason = error
    raise StorageError(f"file {path}: its list of topics cannot be read ({reason}); nothing can be recovered from it")


def _sqlite_topics(path: Path) -> list[StoredTopic]:
    with closing(_open_rows(path)) as rows:
        try:
            topics = rows.execute("SELECT id, name, type, serialization_format FROM topics").fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"file {path}: its list of topics cannot be read ({error})") from error
        try:
            definitions = dict(rows.execute("SELECT topic_type, encoded_message_definition FROM message_definitions"))
        except sqlite3.Error:  # recorders before ROS 2 Iron wrote none
            definitions = {}
        try:
            counts = dict(rows.execute("SELECT topic_id, count(*) FROM messages GROUP BY topic_id"))
        except sqlite3.Error:
            counts = None
    return [
        StoredTopic(name, kind, None if counts is None else counts.get(number, 0), encoding, definitions.get(kind, ""))
        for number, name, kind, encoding in topics
    ]


def _sqlite_messages(path: Path, topic: str, problems: ReadingProblems) -> Iterator[StoredMessage]:
    query = """SELECT messages.rowid, timestamp, CASE WHEN length(data) <= ? THEN data END FROM messages NOT INDEXED
        WHERE topic_id IN (SELECT id FROM topics WHERE name = ?) AND messages.rowid > ? ORDER BY messages.rowid"""
    with closing(_open_rows(path)) as rows:
        last, step, failures = -1, 1, 0
        while failures < _MAX_ROW_FAILURES:
            try:
                for row, received_ns, data in rows.execute(query, (MAX_MESSAGE_BYTES, topic, last)):
                    last = row
                    step, failures = 1, 0
                    if isinstance(data, bytes) and isinstance(received_ns, int):
                        yield received_ns, data
                    else:
                        problems.note(f"file {path.name}: row {last} holds no message", kind=f"row of {path.name}")
                return
            except (sqlite3.Error, OverflowError) as error:
                text = f"file {path.name}: pages after row {last} are damaged or missing ({error})"
                problems.note(text, kind=path.name)
                last, step, failures = last + step, step * 2, failures + 1
                if last >= 2**63:
                    return

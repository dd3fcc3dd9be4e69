"""Which recordings a command line means, and what their results are called.

In: names of bags, of their files, of videos, of folders of all these, and globs. Out: the paths of the recordings.
"""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ast_net_ros.atomic_files import PARTIAL_SUFFIX
from ast_net_ros.bags.reader import METADATA, STORAGE_SUFFIXES, is_bag, recording_of, storage_files

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv")
"""What is taken for a video where a folder is searched; a file that is named itself may have any suffix."""

LIVE_SUFFIX = ".live"
"""Ends the name of the folder with a recording's results of a live run."""


class RecordingError(ValueError):
    """A recording that cannot be read; the text names the path, the reason and the mend."""


def is_recorded_bag(path: Path) -> bool:
    """Whether `path` is a bag. Raises RecordingError when it is not there, or a folder without a bag."""
    if not path.exists():
        raise RecordingError(f"recording {path}: no such file or folder")
    if is_bag(path):
        return True
    if path.is_dir():
        raise RecordingError(f"recording {path}: a folder without a bag: neither metadata.yaml nor *.mcap, *.db3 in it")
    with path.open("rb") as file:
        if file.read(7) == b"#ROSBAG":
            raise RecordingError(
                f"recording {path}: a bag of ROS 1; convert it with `rosbags-convert --src {path.name}`"
            )
    return False


def recording_name(path: Path) -> str:
    """A name for the results of the recording at `path`, which can be that of a folder and leads out of none."""
    resolved = path.resolve()
    name = resolved.name
    for suffix in (*STORAGE_SUFFIXES[::-1], resolved.suffix if resolved.is_file() else ""):
        name = name.removesuffix(suffix)
    return re.sub(r"[^\w.+-]+", "_", name).lstrip(".")[:100] or "recording"


def unique_names(paths: Sequence[Path]) -> list[str]:
    """A name for each recording; of those that share one, with the folders above until they differ."""
    names = [_safe(recording_name(path)) for path in paths]
    for depth in range(1, 20):
        shared = {name for name, count in Counter(names).items() if count > 1}
        if not shared:
            return names
        for index, path in enumerate(paths):
            above = path.resolve().parents
            if names[index] in shared and depth <= len(above):
                names[index] = f"{_safe(recording_name(above[depth - 1]))}-{names[index]}"
    counted: Counter[str] = Counter()
    for index, name in enumerate(names):  # such as take.mp4 beside take.avi
        counted[name] += 1
        names[index] = name if counted[name] == 1 else f"{name}-{counted[name]}"
    return names


def _safe(name: str) -> str:
    """The names of unfinished folders and of live results are taken."""
    for suffix in (PARTIAL_SUFFIX, LIVE_SUFFIX):
        name = name.replace(suffix, suffix.replace(".", "_"))
    return name


def find_recordings(arguments: Sequence[str]) -> list[Path]:
    """The recordings that a command line means: bags, files of bags, videos, folders of all these, and globs.

    In the order of the arguments, those of a folder or a glob by name; each once. Hidden folders are not searched.
    Raises RecordingError for an argument that names none.
    """
    found: dict[Path, Path] = {}
    for argument in arguments:
        # A folder can have the signs of a glob in its name, so what is there comes first.
        paths = [Path(argument)] if Path(argument).exists() else _matching(argument)
        recordings = [recording for path in paths for recording in _recordings_at(path)]
        if not recordings:
            reason = "nothing there" if not paths else "neither a bag nor a video in it"
            raise RecordingError(f"recording {argument!r}: {reason}; name bags, folders of bags, globs or videos")
        for recording in recordings:
            found.setdefault(recording.resolve(), recording)
    return list(found.values())


def _matching(pattern: str) -> list[Path]:
    return sorted(map(Path, glob.glob(pattern, recursive=True)))  # noqa: PTH207 - Path.glob takes no absolute pattern


def _recordings_at(path: Path) -> list[Path]:
    """Those in a folder, with its subfolders; the file itself."""
    if path.is_file():
        return [path.parent] if path.name == METADATA and is_bag(path.parent) else [path]
    if (path / METADATA).is_file():
        return [path]
    files = storage_files(path)
    groups = {recording_of(file) for file in files}
    found: list[Path] = []
    for entry in sorted(path.iterdir(), key=lambda one: one.name):
        if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
            found += _recordings_at(entry)
        elif entry in files or (entry.is_file() and entry.suffix.lower() in VIDEO_SUFFIXES):
            found.append(entry)
    # The files of one recording by themselves, or called like the folder: a crash came before metadata.yaml.
    one_bag = len(groups) == 1 and (groups == {path.name} or found == sorted(files))
    return [path] if one_bag else found

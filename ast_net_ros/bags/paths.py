"""Find the recordings that a command line names, and name their results."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ast_net_ros.atomic_files import PARTIAL_SUFFIX
from ast_net_ros.bags.reader import METADATA, STORAGE_SUFFIXES, is_bag, recording_of, storage_files

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv")
"""Files taken for videos when a folder is searched; a file that is named itself may have any suffix."""

LABEL_SUFFIXES = (".csv", ".dat", ".json", ".tsv", ".txt")
"""Files that lie beside recordings, such as labels; `recordings/*` names them too, and they are passed over."""

LIVE_SUFFIX = ".live"
"""Suffix of the folder with the results of a live run."""


class RecordingError(ValueError):
    """A recording that cannot be read; the message names the path, the reason and the fix."""


def is_recorded_bag(path: Path) -> bool:
    """Return whether `path` is a bag; if not, it may be a video.

    Raises:
        RecordingError: There is nothing at `path`, it is a folder without a bag, or a ROS 1 bag.
    """
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
    """Derive a name for the results of a recording, safe to use as a folder name."""
    resolved = path.resolve()
    name = resolved.name
    for suffix in (*STORAGE_SUFFIXES[::-1], resolved.suffix if resolved.is_file() else ""):
        name = name.removesuffix(suffix)
    return re.sub(r"[^\w.+-]+", "_", name).lstrip(".")[:100] or "recording"


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Derive a unique name for each recording; where several share one, parent folders are prepended."""
    names = [_safe(recording_name(path)) for path in paths]
    for depth in range(1, 20):
        shared = {name for name, count in Counter(names).items() if count > 1}
        if not shared:
            return names
        for index, path in enumerate(paths):
            parents = path.resolve().parents
            if names[index] in shared and depth <= len(parents):
                names[index] = f"{_safe(recording_name(parents[depth - 1]))}-{names[index]}"
    counted: Counter[str] = Counter()
    for index, name in enumerate(names):  # such as take.mp4 beside take.avi
        counted[name] += 1
        names[index] = name if counted[name] == 1 else f"{name}-{counted[name]}"
    return names


def _safe(name: str) -> str:
    """Replace the suffixes that mark unfinished folders and live results."""
    for suffix in (PARTIAL_SUFFIX, LIVE_SUFFIX):
        name = name.replace(suffix, suffix.replace(".", "_"))
    return name


def find_recordings(arguments: Sequence[str]) -> list[Path]:
    """Find the recordings that a command line names.

    Args:
        arguments: Bags, files of bags, videos, folders of these, and globs. Files with LABEL_SUFFIXES are passed over
            if there is a recording, as a shell expands `recordings/*` to the labels beside the bags as well.

    Returns:
        Each recording once, in the order of the arguments, those of a folder or a glob by name. Hidden folders are
        not searched.

    Raises:
        RecordingError: An argument names no recording.
    """
    found: dict[Path, Path] = {}
    labels: list[str] = []
    for argument in arguments:
        # What exists comes first: a folder may have glob characters in its name.
        paths = [Path(argument)] if Path(argument).exists() else _matching(argument)
        others = [path for path in paths if not (path.is_file() and path.suffix.lower() in LABEL_SUFFIXES)]
        if paths and not others:
            labels.append(argument)
            continue
        recordings = [recording for path in others for recording in _recordings_at(path)]
        if not recordings:
            reason = "nothing there" if not paths else "neither a bag nor a video in it"
            raise RecordingError(f"recording {argument!r}: {reason}; name bags, folders of bags, globs or videos")
        for recording in recordings:
            found.setdefault(recording.resolve(), recording)
    if not found:
        raise RecordingError(f"recording {labels[0]!r}: not a bag or video; name the recording that it belongs to")
    return list(found.values())


def _matching(pattern: str) -> list[Path]:
    return sorted(map(Path, glob.glob(pattern, recursive=True)))  # noqa: PTH207 - Path.glob takes no absolute pattern


def _recordings_at(path: Path) -> list[Path]:
    """Return the recordings in a folder and its subfolders, or the file itself."""
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
    # Files of one recording, alone or named like the folder: the recorder crashed before it wrote metadata.yaml.
    one_bag = len(groups) == 1 and (groups == {path.name} or found == sorted(files))
    return [path] if one_bag else found

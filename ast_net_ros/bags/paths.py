"""Find the recordings that a command line names."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from ast_net_ros.bags.names import LABEL_SUFFIXES, VIDEO_SUFFIXES
from ast_net_ros.bags.reader import METADATA, is_bag, recording_of, storage_files
from ast_net_ros.bags.storage import RecordingError


def is_recorded_bag(path: Path) -> bool:
    """Return whether `path` is a bag; if not, it may be a video. RecordingError: it can be neither."""
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


def find_recordings(arguments: Sequence[str]) -> list[Path]:
    """Find the recordings that a command line names: bags, files of bags, videos, folders of these, and globs.

    Each is returned once, in the order of the arguments, those of a folder or a glob by name. Hidden folders are not
    searched. Files with LABEL_SUFFIXES are passed over if there is a recording, as a shell expands `recordings/*` to
    the labels beside the bags as well. RecordingError: an argument names no recording.
    """
    found: dict[Path, Path] = {}
    labels: list[str] = []
    for argument in arguments:
        # What exists comes first: a folder may have glob characters in its name.
        matching = [argument] if Path(argument).exists() else glob.glob(argument, recursive=True)  # noqa: PTH207
        paths = sorted(map(Path, matching))
        others = [path for path in paths if not (path.is_file() and path.suffix.lower() in LABEL_SUFFIXES)]
        if paths and not others:
            labels.append(argument)
            continue
        recordings = [recording for path in others for recording in _recordings_at(path)]
        if not recordings:
            reason = "no such file or folder" if not paths else "neither a bag nor a video in it"
            raise RecordingError(f"recording {argument!r}: {reason}; give bags, folders of bags, globs or videos")
        for recording in recordings:
            found.setdefault(recording.resolve(), recording)
    if not found:
        raise RecordingError(f"recording {labels[0]!r}: not a bag or video; give the recording that it belongs to")
    return list(found.values())


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

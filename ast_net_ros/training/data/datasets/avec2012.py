"""AVEC 2012 (SEMAINE): continuous labels of the fully continuous sub-challenge, and the sessions' videos.

In: a folder laid out as the challenge's archives unpack:

    emotion labels/SET/FC_SET_labels/labels_continuous_SET001_valence.dat  and  ..._arousal.dat
    anywhere below the folder: train_video001.avi, devel_video001.avi, tests_video001.avi

SET is train, devel or test; file names have `tests` for test.

Out: a RecordingSet; `devel` becomes `valid`. A label file has one value per line, 0.02 s apart; a video has 49.979
frames per second and keeps its own stamps, so labels and frames are matched by time, not by counting.

The layout of the labels is documented by their users. The names of the videos are assumed from the audio of the same
release (`train_audio002`, `tests_audio011`): a video belongs to the labels whose set is in its name, or in that of a
folder above it, and whose number is the last number in its name. The files do not name the people; the challenge's sets
share none, so each session counts as a person of its own.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from ast_net_ros.rating_files import DataError, read_avec2012_pair
from ast_net_ros.training.data.recordings import VIDEO_SUFFIXES, Recording, RecordingSet, video_frames

_SETS = {"train": "train", "devel": "valid", "test": "test"}  # the challenge's name: ours
_LABEL_FILE = re.compile(r"labels_continuous_(train|devel|tests?)_?(\d+)_(valence|arousal)\.dat$", re.IGNORECASE)


def read_avec2012(folder: Path) -> RecordingSet:
    """Read the sessions under `folder`; those without a label file or their video are left out by name.

    Raises:
        DataError: The folder has no label files where the challenge puts them, or no video at all.
    """
    label_files = _label_files(folder)
    if not label_files:
        raise DataError(
            f"{folder}: no 'emotion labels/{{train,devel,test}}/FC_*_labels/labels_continuous_*_valence.dat' in it; "
            "name the folder into which the AVEC 2012 archives were unpacked"
        )
    videos = _videos(folder)
    if not videos:
        raise DataError(f"{folder}: label files but no video ({', '.join(VIDEO_SUFFIXES[:3])}, ...) anywhere below it")
    return RecordingSet.read(
        partial(_recording, f"{part}{number:03d}", part, files, videos.get((part, number), []))
        for (part, number), files in sorted(label_files.items())
    )


def _label_files(folder: Path) -> dict[tuple[str, int], dict[str, Path]]:
    """(set, number) -> {dimension: file}."""
    found: dict[tuple[str, int], dict[str, Path]] = {}
    for path in sorted((folder / "emotion labels").glob("*/FC_*_labels/*.dat")):
        match = _LABEL_FILE.match(path.name)
        if match:
            key = (match[1].lower().removesuffix("s"), int(match[2]))
            found.setdefault(key, {})[match[3].lower()] = path
    return found


def _videos(folder: Path) -> dict[tuple[str, int], list[Path]]:
    """(set, number) -> videos with both in their names."""
    found: dict[tuple[str, int], list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        numbers = re.findall(r"\d+", path.stem)
        if path.suffix.lower() not in VIDEO_SUFFIXES or not numbers:
            continue
        names = [path.stem, *reversed(path.parent.relative_to(folder).parts)]
        part = next((s for name in names for s in _SETS if s in name.lower()), None)
        if part:
            found.setdefault((part, int(numbers[-1])), []).append(path)
    return found


def _recording(name: str, part: str, files: dict[str, Path], videos: list[Path]) -> Recording:
    missing = {"valence", "arousal"} - set(files)
    if missing:
        have = next(iter(files.values()))
        raise DataError(f"{name}: no {missing.pop()} labels beside {have.name}")
    if len(videos) != 1:
        what = ", ".join(str(path) for path in videos) if videos else "none"
        raise DataError(
            f"{name}: expected one video such as {part}{'s' * (part == 'test')}_video{name[-3:]}.avi, found {what}"
        )
    rows = read_avec2012_pair(files["valence"], files["arousal"], name)
    frames, source = video_frames(videos[0])
    return Recording(name, _SETS[part], name, frames, source, rows.times, rows.values, remarks=rows.remarks)

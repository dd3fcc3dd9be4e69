"""AFEW-VA: film clips as folders of frames, each with one JSON file of valence and arousal a frame.

In: the folder that holds the clips (directly, or inside the archives' numbered folders):

    001/001.json   {"video_id": "001", "actor": "...", "frames": {"00000": {"valence": -2.0, "arousal": 5.0, ...}, ...}}
    001/00000.png  001/00001.png  ...

Values run from -10 to 10 and are divided by 10. Out: a RecordingSet. The data set has no official parts: one person in
five is for validation, always the same ones. Clips come from films at 25 frames a second.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ast_net_ros.training.faces import DataError
from ast_net_ros.training.recordings import (
    Recording,
    RecordingSet,
    bounded_labels,
    picture_frames,
    pictures_in,
    source_identity,
    split_by_person,
)

FRAME_RATE = 25.0
_SCALE = 10.0


def read_afew_va(folder: Path) -> RecordingSet:
    """The clips under `folder`; those that cannot be used are left out by name.

    Raises DataError when there is no clip folder with a JSON file of its own name.
    """
    files = sorted(path for path in folder.rglob("*.json") if path.stem == path.parent.name)
    if not files:
        raise DataError(
            f"{folder}: no clip such as 001/001.json in it; name the folder with the unpacked clips of AFEW-VA"
        )
    recordings, left_out = [], []
    for path in files:
        try:
            recordings.append(_recording(path))
        except DataError as error:
            left_out.append(str(error))
    return RecordingSet(tuple(recordings), tuple(left_out))


def _recording(path: Path) -> Recording:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        frames = {int(name): (one["valence"], one["arousal"]) for name, one in stored["frames"].items()}
        numbers = np.array(sorted(frames), int)
        values = np.array([frames[n] for n in numbers], np.float64).reshape(-1, 2) / _SCALE
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(f"{path}: not a label file of AFEW-VA ({type(error).__name__}: {error})") from error
    pictures = [picture for picture in pictures_in(path.parent) if picture.stem.isdecimal()]
    if not len(numbers) or not pictures:
        raise DataError(f"{path.parent}: {len(numbers)} labels and {len(pictures)} frames; nothing to learn from")
    labels, clipped = bounded_labels(values, str(path))
    unmatched = len(set(numbers.tolist()) ^ {int(picture.stem) for picture in pictures})
    odd = (f"{path}: {unmatched} frames without a label or labels without a frame",) if unmatched else ()
    person = str(stored.get("actor") or f"clip {path.stem}")
    return Recording(
        name=path.stem,
        split=split_by_person(person),
        person=person,
        frames=picture_frames(pictures, [int(picture.stem) / FRAME_RATE for picture in pictures]),
        source=source_identity(pictures),
        label_stamps=numbers / FRAME_RATE,
        labels=labels,
        remarks=odd + clipped,
    )

"""AFEW-VA: film clips as folders of frames, each with a JSON file of the valence and arousal of every frame.

In: the folder of the clips (directly, or inside the archives' numbered folders):

    001/001.json   {"video_id": "001", "actor": "...", "frames": {"00000": {"valence": -2.0, "arousal": 5.0, ...}, ...}}
    001/00000.png  001/00001.png  ...

Values from -10 to 10 are divided by 10. Out: a RecordingSet. The data set has no official splits: one person in five is
for validation, always the same ones. Clips come from films at 25 frames per second.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ast_net_ros.rating_files import AFEW_VA_FRAME_RATE, DataError, bounded_labels, read_afew_va_frames
from ast_net_ros.training.data.recordings import Recording, RecordingSet, image_frames, images_in, split_by_person


def read_afew_va(folder: Path) -> RecordingSet:
    """Read the clips under `folder`; those that cannot be used are left out by name.

    Raises:
        DataError: There is no clip folder with a JSON file of its own name.
    """
    files = sorted(path for path in folder.rglob("*.json") if path.stem == path.parent.name)
    if not files:
        raise DataError(
            f"{folder}: no clip such as 001/001.json in it; name the folder with the unpacked clips of AFEW-VA"
        )
    return RecordingSet.read(partial(_recording, path) for path in files)


def _recording(path: Path) -> Recording:
    numbers, values, stored = read_afew_va_frames(path)
    images = [image for image in images_in(path.parent) if image.stem.isdecimal()]
    if not len(numbers) or not images:
        raise DataError(f"{path.parent}: {len(numbers)} labels and {len(images)} frames; nothing to train on")
    labels, clipped = bounded_labels(values, str(path))
    unmatched = len(set(numbers.tolist()) ^ {int(image.stem) for image in images})
    odd = (f"{path}: {unmatched} frames without a label or labels without a frame",) if unmatched else ()
    person = str(stored.get("actor") or f"clip {path.stem}")
    frames, source = image_frames(images, [int(image.stem) / AFEW_VA_FRAME_RATE for image in images])
    stamps = numbers / AFEW_VA_FRAME_RATE
    return Recording(path.stem, split_by_person(person), person, frames, source, stamps, labels, remarks=odd + clipped)

"""Split a FER+ archive once into a part to choose by and a part to report on.

python tools/training/split_valid.py ferplus_valid.npz fer_valence_arousal.npz OUTPUT

Every image is drawn for the first part with a probability of a third (seed 15); the rated faces always go to the second
part, so that no choice was made on them. Writes choose.npz and report.npz.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def chosen_faces(images: np.ndarray, rated: np.ndarray) -> np.ndarray:
    """Return N bool, true for the part to choose by.

    Args:
        images: N x H x W faces of the archive.
        rated: M x H x W faces that must not be in it.
    """
    reserved = {image.tobytes() for image in rated}
    free = np.array([image.tobytes() not in reserved for image in images])
    return (np.random.default_rng(15).random(len(images)) < 1 / 3) & free


def main() -> None:
    """Write both parts."""
    archive, ratings, output = (Path(argument) for argument in sys.argv[1:])
    with np.load(archive) as faces, np.load(ratings) as rated:
        arrays = {name: faces[name] for name in faces.files}
        choose = chosen_faces(arrays["images"], rated["images"])
    output.mkdir(parents=True, exist_ok=True)
    for name, part in (("choose", choose), ("report", ~choose)):
        np.savez(output / f"{name}.npz", **{key: values[part] for key, values in arrays.items()})
        print(f"{output / name}.npz: {int(part.sum())} faces")


if __name__ == "__main__":
    main()

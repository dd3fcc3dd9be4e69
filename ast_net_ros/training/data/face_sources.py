"""Labelled faces in any supported form: an archive, the original FER2013 tables with FER+ votes, or a folder per class.

In: a path, whose kind decides how it is read. Out: :class:`~ast_net_ros.training.data.faces.Faces`.

    X.npz                         an archive with `images` and `votes`, see faces.py
    fer2013.csv, or its folder    the original table, with FER+'s fer2013new.csv beside it
    a folder                      a folder of images for each class (RAF-DB, AffectNet exports and the like); where it
                                  has folders train, valid (or val) and test, the requested part is read. Folders that
                                  are named by numbers need a classes.json beside them: {"1": "surprise", ...}
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from ast_net_ros.model.config import EMOTIONS
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.data.array_cache import cached_arrays
from ast_net_ros.training.data.faces import Faces, cached_chips, cut_chips, load_faces
from ast_net_ros.training.data.recordings import SPLITS, images_in, read_image
from ast_net_ros.vision.alignment import CHIP_SIDE

_FER_USAGE = {"train": "Training", "valid": "PublicTest", "test": "PrivateTest"}
_FER_SIDE = 48
_FER_COLUMNS = (*EMOTIONS, "unknown", "NF")
_SPELLINGS = {
    "neutral": "neutral neutrality calm",
    "happiness": "happiness happy joy joyful smile smiling",
    "surprise": "surprise surprised suprise",
    "sadness": "sadness sad",
    "anger": "anger angry",
    "disgust": "disgust disgusted",
    "fear": "fear fearful afraid scared",
    "contempt": "contempt contemptuous",
}
_CLASS_OF = {spelling: EMOTIONS.index(emotion) for emotion, all_of in _SPELLINGS.items() for spelling in all_of.split()}
_CLASSES_FILE = "classes.json"
_NAMED = 5  # undecodable images that are named one by one


def open_faces(
    path: str | Path, part: str = "train", cache: Path | None = None, log: Callable[[str], None] = lambda _: None
) -> Faces:
    """Read the labelled faces at `path`; images that cannot be decoded are skipped and logged.

    `part` is one of SPLITS, for sources that have parts; the chips are kept in the folder `cache`.

    Raises:
        DataError: The source is missing, damaged, of another kind, or contains no usable face.
    """
    path = Path(path)
    if part not in SPLITS:
        raise DataError(f"part '{part}': expected one of {', '.join(SPLITS)}")
    if path.suffix.lower() == ".npz":
        return load_faces(path, cache / f"{path.stem}.chips.npz" if cache else None)
    table = path if path.suffix.lower() == ".csv" else path / "fer2013.csv"
    if table == path or table.is_file():
        return _read_fer2013(table, part, cache)
    if path.is_dir():
        return _read_class_folders(path, part, cache, log)
    raise DataError(f"{path}: expected an .npz archive, fer2013.csv, or a folder with a folder for each class")


def _read_fer2013(path: Path, part: str, cache: Path | None) -> Faces:
    beside = path.with_name("fer2013new.csv")
    for file in (path, beside):
        if not file.is_file():
            raise DataError(f"{file}: no such file; FER2013 and the table of FER+ votes are both needed")
    images, votes = [], []
    try:
        with path.open(newline="") as pixels_file, beside.open(newline="") as votes_file:
            pixel_rows, vote_rows = csv.DictReader(pixels_file), csv.DictReader(votes_file)
            for number, pixels in enumerate(pixel_rows, 2):
                vote = next(vote_rows, None)
                if vote is None or vote["Usage"] != pixels["Usage"]:
                    raise DataError(f"{beside}, line {number}: does not belong to the same line of {path.name}")
                if pixels["Usage"] == _FER_USAGE[part]:
                    images.append(_pixels(pixels["pixels"], path, number))
                    votes.append([int(vote[column]) for column in _FER_COLUMNS])
    except DataError:
        raise
    except (OSError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} or {beside.name}: not tables of FER2013 and FER+ ({error!r})") from error
    if not images:
        raise DataError(f"{path}: no row with Usage '{_FER_USAGE[part]}'")
    stacked = np.stack(images)
    chips, found = cached_chips(stacked, cache / f"{path.stem}.{part}.chips.npz" if cache else None)
    return Faces(stacked, np.array(votes, np.uint8), np.zeros(len(stacked), bool), chips, found)


def _pixels(text: str, path: Path, line: int) -> np.ndarray:
    values = text.split()
    if len(values) != _FER_SIDE**2:
        raise DataError(f"{path}, line {line}: {len(values)} pixels, expected {_FER_SIDE**2}; is the file complete?")
    return np.array(values, int).astype(np.uint8).reshape(_FER_SIDE, _FER_SIDE)


def _read_class_folders(folder: Path, part: str, cache: Path | None, log: Callable[[str], None]) -> Faces:
    folder = _part_folder(folder, part)
    labelled = [(path, emotion) for sub, emotion in _class_folders(folder) for path in images_in(sub)]
    if not labelled:
        raise DataError(f"{folder}: the class folders contain no image")
    identity = [(str(p.relative_to(folder)), p.stat().st_size, e) for p, e in labelled]
    key = hashlib.sha256(json.dumps([CHIP_SIDE, identity]).encode()).hexdigest()
    stored = cache / f"{folder.name}.{key[:16]}.faces.npz" if cache else None
    arrays = cached_arrays(stored, key, lambda: _read_images(labelled))
    broken = arrays["broken"].tolist()
    if broken:
        more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        log(f"skipped, cannot be decoded: {', '.join(broken[:_NAMED])}{more}")
    emotions = arrays["emotions"]
    if not len(emotions):
        raise DataError(f"{folder}: none of its {len(labelled)} images can be decoded")
    votes = 10 * np.eye(len(_FER_COLUMNS), dtype=np.uint8)[emotions]  # as many as FER+ has raters
    return Faces(arrays["images"], votes, np.zeros(len(emotions), bool), arrays["chips"], arrays["found"])


def _part_folder(folder: Path, part: str) -> Path:
    names = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    if not {"train", "valid", "val", "validation", "test"} & set(names):
        return folder
    spellings = ("valid", "val", "validation") if part == "valid" else (part,)
    chosen = next((names[name] for name in spellings if name in names), None)
    if chosen is None:
        raise DataError(f"{folder}: has parts ({', '.join(sorted(names))}) but none named '{part}'")
    return chosen


def _class_folders(folder: Path) -> list[tuple[Path, int]]:
    """(folder, index into EMOTIONS) of each class."""
    mapping = _read_mapping(folder / _CLASSES_FILE)
    found, unknown = [], []
    for path in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        name = mapping.get(path.name, path.name).strip().lower()
        emotion = _CLASS_OF.get(name, _CLASS_OF.get(re.sub(r"^\d+[ ._-]+|[ ._-]+\d+$", "", name)))
        if emotion is None:
            unknown.append(path.name)
        else:
            found.append((path, emotion))
    if unknown:
        numbered = " Numbers mean different emotions in different data sets." * all(n.isdecimal() for n in unknown)
        raise DataError(
            f"{folder}: which emotion is '{unknown[0]}'?{numbered} Rename the folders, or put {_CLASSES_FILE} there: "
            '{"1": "surprise", "2": "fear", "3": "disgust", "4": "happiness", "5": "sadness", "6": "anger", '
            '"7": "neutral"} for RAF-DB'
        )
    if not found:
        raise DataError(f"{folder}: contains no folder of a class, such as 'happiness' or 'sad'")
    return found


def _read_mapping(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        mapping = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    if not isinstance(mapping, dict):
        raise DataError(f'{path}: expected {{"name of folder": "emotion", ...}}')
    wrong = [value for value in mapping.values() if str(value).lower() not in _CLASS_OF]
    if wrong:
        raise DataError(f"{path}: '{wrong[0]}' is none of {', '.join(EMOTIONS)}")
    return {str(key): str(value) for key, value in mapping.items()}


def _read_images(labelled: list[tuple[Path, int]]) -> dict[str, np.ndarray]:
    """Arrays images, chips, found, emotions of what can be decoded, and the names of what cannot: broken."""
    images, emotions, broken = [], [], []

    def decoded() -> Iterator[np.ndarray]:  # one at a time: a data set may not fit into memory
        for path, emotion in labelled:
            image = read_image(path)
            if image is None:
                broken.append(f"{path.parent.name}/{path.name}")
                continue
            grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            images.append(cv2.resize(grey, (CHIP_SIDE, CHIP_SIDE), interpolation=cv2.INTER_AREA))
            emotions.append(emotion)
            yield image

    cut = cut_chips(decoded())
    stacked = np.array(images, np.uint8).reshape(-1, CHIP_SIDE, CHIP_SIDE)
    return {**cut, "images": stacked, "emotions": np.array(emotions, int), "broken": np.array(broken, str)}

"""Aff-Wild2: the text files of the valence-arousal challenge and the cropped frames.

In: a folder with, anywhere below it,

    .../VA_Estimation_Challenge/{Train_Set,Validation_Set}/NAME.txt   "valence,arousal", then "0.1,-0.2" per frame
    .../cropped*/NAME/00001.jpg 00002.jpg ...                         face crops; frame k belongs to the k-th line
    .../NAME.mp4 or .avi                                              optional: gives the frame rate

-5 marks a frame to leave out. NAME may end in _left or _right where a video shows two people.
Out: a RecordingSet. Frames have no stamps of their own: the rate is that of the video, or 30 per second where it is
missing.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from ast_net_ros.rating_files import DataError, bounded_labels
from ast_net_ros.training.data.recordings import VIDEO_SUFFIXES, Recording, RecordingSet, image_frames, images_in
from ast_net_ros.vision.video import VideoError, open_video

_SETS = {"Train_Set": "train", "Training_Set": "train", "Validation_Set": "valid"}


def read_aff_wild2(folder: Path) -> RecordingSet:
    """Read the annotated videos under `folder`; those without cropped frames are left out by name.

    Raises:
        DataError: The annotations or all folders of frames are missing.
    """
    everything = sorted(folder.rglob("*"))
    annotations = [
        path
        for path in everything
        if path.suffix == ".txt" and path.parent.name in _SETS and path.parent.parent.name == "VA_Estimation_Challenge"
    ]
    if not annotations:
        raise DataError(f"{folder}: no VA_Estimation_Challenge/{{Train_Set,Validation_Set}}/*.txt anywhere below it")
    crops = {path.name: path for path in everything if path.is_dir() and path.parent.name.startswith("cropped")}
    if not crops:
        raise DataError(f"{folder}: no folder 'cropped*' with a folder of frames for each video anywhere below it")
    videos = {path.stem: path for path in everything if path.suffix.lower() in VIDEO_SUFFIXES}
    return RecordingSet.read(partial(_recording, path, crops.get(path.stem), videos) for path in annotations)


def _recording(path: Path, crop: Path | None, videos: dict[str, Path]) -> Recording:
    if crop is None:
        raise DataError(f"{path.name}: no folder cropped*/{path.stem} with its frames")
    images = [image for image in images_in(crop) if image.stem.isdecimal()]
    if not images:
        raise DataError(f"{crop}: contains no frame such as 00001.jpg")
    values = _read_annotation(path)
    values[(values == -5).any(axis=1)] = np.nan
    labels, remarks = bounded_labels(values, path.name)
    rate, assumed = _frame_rate(path.stem, videos)
    beyond = sum(int(image.stem) > len(labels) for image in images)
    if beyond:
        remarks += (f"{path.name}: {beyond} frames beyond its {len(labels)} lines have no label",)
    split, stamps = _SETS[path.parent.name], np.arange(len(labels)) / rate
    frames, source = image_frames(images, [(int(image.stem) - 1) / rate for image in images])
    return Recording(path.stem, split, path.stem, frames, source, stamps, labels, True, remarks + assumed)


def _read_annotation(path: Path) -> np.ndarray:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    if [name.strip() for name in lines[0].lower().split(",")] != ["valence", "arousal"]:
        raise DataError(f"{path}: begins with '{lines[0][:40]}'; expected the header 'valence,arousal'")
    values = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        try:
            valence, arousal = (float(field) for field in line.split(","))
        except ValueError:
            raise DataError(f"{path}, line {number}: '{line.strip()[:40]}' is not 'valence,arousal'") from None
        values.append((valence, arousal))
    if not values:
        raise DataError(f"{path}: contains no label")
    return np.array(values)


def _frame_rate(name: str, videos: dict[str, Path]) -> tuple[float, tuple[str, ...]]:
    """The rate of NAME's video in frames per second, and a remark where it had to be assumed."""
    path = videos.get(name) or videos.get(re.sub(r"_(left|right)$", "", name))
    if path is None:
        return 30.0, (f"{name}: 30 frames per second assumed, as its video is missing",)
    try:
        with open_video(path) as video:
            return video.fps, ()
    except VideoError as error:
        return 30.0, (f"{name}: 30 frames per second assumed ({error})",)

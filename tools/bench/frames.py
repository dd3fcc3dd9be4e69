"""The pictures that are measured on: a real video in several sizes, with several faces at once.

In: a video with one face. Out: BGR frames of a wanted size in which so many faces can be found. One face: the video's
own frames, cut to the shape and scaled. Several: the picture is laid out in tiles, and in each plays a cut around the
face of the same video, each tile at another moment of it: every face is a real moving one, and no two are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from ast_net_ros.vision.detection import make_detector
from ast_net_ros.vision.video import VideoError, open_video

SIZES = ((320, 180), (640, 360), (1280, 720))  # width, height
FACE_COUNTS = {1: (1, 1), 2: (2, 1), 4: (2, 2), 8: (4, 2)}  # faces: columns and rows of tiles
_FACE_SHARE = 0.5  # of a tile's narrower extent that the face's height takes


def read_clip(video: Path, frames: int) -> tuple[list[np.ndarray], float]:
    """The first `frames` pictures of a video and its frames per second. Raises VideoError."""
    with open_video(video) as source:
        return [image for _, image in islice(source, frames)], source.fps


def face_box(clip: Sequence[np.ndarray]) -> tuple[float, float, float, float]:
    """Where the face of a clip is: x, y, width, height, the median over some frames. Raises VideoError for none."""
    detector = make_detector()
    found = [faces[0].box for image in clip[:: max(1, len(clip) // 8)] if (faces := detector.detect(image))]
    if not found:
        raise VideoError("the benchmark's video shows no face; name one with a face")
    x, y, width, height = np.median(np.array(found), axis=0).tolist()
    return x, y, width, height


def frames_of(clip: Sequence[np.ndarray], size: tuple[int, int], faces: int, box: Sequence[float]) -> list[np.ndarray]:
    """The clip as pictures of `size` (width, height) with as many faces; box: of the face in the clip."""
    width, height = size
    columns, rows = FACE_COUNTS[faces]
    tile_width, tile_height = width // columns, height // rows
    share = 0.0 if faces == 1 else _FACE_SHARE
    cut = _cut_around(box, tile_width / tile_height, clip[0].shape[1], clip[0].shape[0], share)
    if faces == 1:
        return [_scaled(image[cut], width, height) for image in clip]
    tiles = [_scaled(image[cut], tile_width, tile_height) for image in clip]
    pictures = []
    for index in range(len(clip)):
        picture = np.zeros((height, width, 3), np.uint8)
        for tile in range(faces):
            row, column = divmod(tile, columns)
            top, left = row * tile_height, column * tile_width
            shown = tiles[_shifted(index, tile * len(clip) // faces, len(clip))]
            picture[top : top + tile_height, left : left + tile_width] = shown
        pictures.append(picture)
    return pictures


def _shifted(index: int, shift: int, count: int) -> int:
    """To and fro through the clip, so that no tile's picture jumps."""
    position = (index + shift) % (2 * count - 2) if count > 1 else 0
    return position if position < count else 2 * count - 2 - position


def _scaled(image: np.ndarray, width: int, height: int) -> np.ndarray:
    if image.shape[1::-1] == (width, height):
        return image
    shrinks = width < image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _cut_around(box: Sequence[float], aspect: float, width: int, height: int, share: float) -> tuple[slice, slice]:
    """The rows and columns around a face, of a tile's aspect (width / height), within the picture of width x height.

    share: of the narrower extent that the face shall take; 0 cuts as much as there is.
    """
    x, y, face_width, face_height = box
    wanted = max(face_width, face_height) / share if share else float(width + height)
    cut_width, cut_height = (wanted, wanted / aspect) if aspect <= 1 else (wanted * aspect, wanted)
    shrink = min(1.0, width / cut_width, height / cut_height)
    cut_width, cut_height = round(cut_width * shrink), round(cut_height * shrink)
    left = int(np.clip(x + face_width / 2 - cut_width / 2, 0, width - cut_width))
    top = int(np.clip(y + face_height / 2 - cut_height / 2, 0, height - cut_height))
    return slice(top, top + cut_height), slice(left, left + cut_width)

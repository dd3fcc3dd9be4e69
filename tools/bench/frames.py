"""The frames that are measured on: a real video in several sizes, with several faces at once.

With one face they are the video's own frames, cropped and scaled. With several, each tile of a frame shows a crop
around the face of the same video, each at another time, so that all faces are real, moving and different.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from ast_net_ros.vision.detection import make_detector
from ast_net_ros.vision.video import VideoError, open_video

SIZES = ((320, 180), (640, 360), (1280, 720), (1920, 1080), (3840, 2160))  # width, height
MOST_BYTES = 1 << 30  # of the frames of one size; the large ones are fewer
FACE_COUNTS = {1: (1, 1), 2: (2, 1), 4: (2, 2), 8: (4, 2)}  # faces: columns and rows of tiles
_FACE_SHARE = 0.5  # height of a face relative to the shorter side of its tile


def read_clip(video: Path, frames: int) -> tuple[list[np.ndarray], float]:
    """Return the first frames of a video and its frames per second; raises VideoError."""
    with open_video(video) as source:
        return [image for _, image in islice(source, frames)], source.fps


def face_box(clip: Sequence[np.ndarray]) -> tuple[float, float, float, float]:
    """Return left, top, width and height of the face in a clip, the median over some frames.

    Raises:
        VideoError: There is no face.
    """
    detector = make_detector()
    found = [faces[0].box for image in clip[:: max(1, len(clip) // 8)] if (faces := detector.detect(image))]
    if not found:
        raise VideoError("the video shows no face; use one with a face")
    x, y, width, height = np.median(np.array(found), axis=0).tolist()
    return x, y, width, height


def frames_of(clip: Sequence[np.ndarray], size: tuple[int, int], faces: int, box: Sequence[float]) -> list[np.ndarray]:
    """Make frames out of a clip.

    Args:
        clip: BGR frames with one face.
        size: Width and height of the frames.
        faces: Number of faces in each frame, a key of FACE_COUNTS.
        box: Box of the face in the clip.

    Returns:
        As many frames as the clip has, or as fit into MOST_BYTES.
    """
    clip = clip[: max(2, MOST_BYTES // (3 * size[0] * size[1]))]
    width, height = size
    columns, rows = FACE_COUNTS[faces]
    tile_width, tile_height = width // columns, height // rows
    share = 0.0 if faces == 1 else _FACE_SHARE
    crop = _crop_around(box, tile_width / tile_height, clip[0].shape[1], clip[0].shape[0], share)
    if faces == 1:
        return [_scaled(image[crop], width, height) for image in clip]
    tiles = [_scaled(image[crop], tile_width, tile_height) for image in clip]
    frames = []
    for index in range(len(clip)):
        image = np.zeros((height, width, 3), np.uint8)
        for tile in range(faces):
            row, column = divmod(tile, columns)
            top, left = row * tile_height, column * tile_width
            shown = tiles[_shifted(index, tile * len(clip) // faces, len(clip))]
            image[top : top + tile_height, left : left + tile_width] = shown
        frames.append(image)
    return frames


def _shifted(index: int, shift: int, count: int) -> int:
    """Return the index of a frame, forward and backward through the clip, so that no tile jumps."""
    position = (index + shift) % (2 * count - 2) if count > 1 else 0
    return position if position < count else 2 * count - 2 - position


def _scaled(image: np.ndarray, width: int, height: int) -> np.ndarray:
    if image.shape[1::-1] == (width, height):
        return image
    shrinks = width < image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _crop_around(box: Sequence[float], aspect: float, width: int, height: int, share: float) -> tuple[slice, slice]:
    """Return rows and columns around a face, with the aspect ratio of a tile, within an image of width x height.

    share: size of the face relative to the shorter side; 0 crops as little as possible.
    """
    x, y, face_width, face_height = box
    wanted = max(face_width, face_height) / share if share else float(width + height)
    crop_width, crop_height = (wanted, wanted / aspect) if aspect <= 1 else (wanted * aspect, wanted)
    shrink = min(1.0, width / crop_width, height / crop_height)
    crop_width, crop_height = round(crop_width * shrink), round(crop_height * shrink)
    left = int(np.clip(x + face_width / 2 - crop_width / 2, 0, width - crop_width))
    top = int(np.clip(y + face_height / 2 - crop_height / 2, 0, height - crop_height))
    return slice(top, top + crop_height), slice(left, left + crop_width)

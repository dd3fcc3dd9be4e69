"""Annotating a video: the pipeline over every frame of a file or webcam, without ROS.

In: a video and a pipeline. Out: a folder with `estimates.csv`, `plot.png` and, on request, `overlay.mp4`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ast_net_ros.atomic_files import atomic_dir
from ast_net_ros.evaluation.estimates import EstimatesWriter, read_estimates
from ast_net_ros.evaluation.report.plots import plot_estimates
from ast_net_ros.pipeline import AffectPipeline, FaceAffect
from ast_net_ros.vision.drawing import AffectPlane, draw_faces
from ast_net_ros.vision.video import Video, VideoError, open_video

ESTIMATES, PLOT, OVERLAY = "estimates.csv", "plot.png", "overlay.mp4"


@dataclass(frozen=True)
class Annotation:
    """What came of annotating one video.

    frames: read from the video. declared_frames: that the file claims to have, None where it claims nothing.
    frames_with_face, face_ids (in order of appearance). duration: seconds of video. elapsed: seconds it took.
    """

    frames: int
    declared_frames: int | None
    frames_with_face: int
    face_ids: tuple[str, ...]
    duration: float
    elapsed: float


def annotate(
    source: str | os.PathLike[str] | int,
    output: Path,
    pipeline: AffectPipeline,
    overlay: bool = False,
    seconds: float | None = None,
    show_progress: bool = False,
) -> Annotation:
    """Writes the estimates of every frame of a video file, or of the webcam of that number, to the folder `output`.

    overlay: also write the video with boxes, values and the valence-arousal plane drawn in.
    seconds: stop after this much video. A webcam also stops at Ctrl-C, and what was seen until then is kept.
    show_progress: a bar on stderr, where that is a terminal.

    The files appear in `output` together at the end, in place of those of an earlier run; a failed run leaves it alone.
    Raises VideoError for what is no video and OSError for a folder that cannot be written.
    """
    began = time.monotonic()
    # Opened first: a mistyped video must not leave an empty folder behind.
    with open_video(source) as video, atomic_dir(output, (ESTIMATES, PLOT, OVERLAY)) as folder:
        frames, duration = _estimate_frames(video, pipeline, folder, overlay, seconds, show_progress)
        estimates = read_estimates(folder / ESTIMATES)
        plot_estimates(estimates, folder / PLOT, title=Path(video.source).name, duration=duration)
    return Annotation(
        frames=frames,
        declared_frames=video.frame_count,
        frames_with_face=len({row.frame for row in estimates}),
        face_ids=tuple(dict.fromkeys(row.face_id for row in estimates)),
        duration=duration,
        elapsed=time.monotonic() - began,
    )


def _estimate_frames(
    video: Video, pipeline: AffectPipeline, folder: Path, overlay: bool, seconds: float | None, show_progress: bool
) -> tuple[int, float]:
    """Writes the rows and the overlay; (frames, seconds of video)."""
    frames, stamp = 0, 0.0
    with contextlib.ExitStack() as open_files:
        rows = open_files.enter_context(EstimatesWriter(folder / ESTIMATES))
        pictures = open_files.enter_context(_OverlayWriter(folder / OVERLAY, video)) if overlay else None
        bar = open_files.enter_context(_progress_bar(video, seconds, show_progress))
        with _until_interrupted(video.live):
            for stamp, image in video:
                if seconds is not None and stamp >= seconds:
                    break
                faces = pipeline.process(image, stamp, video.source)
                rows.write(frames, stamp, faces)
                if pictures is not None:
                    pictures.write(image, faces, stamp)
                frames += 1
                bar.update()
    return frames, stamp


def _progress_bar(video: Video, seconds: float | None, shown: bool) -> tqdm:
    total = video.frame_count
    if seconds is not None:
        total = min(total or round(seconds * video.fps), round(seconds * video.fps))
    # disable=None: hidden where stderr is no terminal, so that log files stay readable.
    return tqdm(total=total, unit=" frames", desc=Path(video.source).name, disable=None if shown else True)


@contextlib.contextmanager
def _until_interrupted(live: bool) -> Iterator[None]:
    """Ctrl-C ends a webcam's recording; with a file it means that the user wants no result."""
    try:
        yield
    except KeyboardInterrupt:
        if not live:
            raise


class _OverlayWriter:
    """Writes the overlay video at the source's nominal rate and size. A context manager."""

    def __init__(self, path: Path, video: Video):
        self._size = video.size
        self._plane = AffectPlane()
        # MPEG-4 Part 2 is the best that OpenCV's wheels can write without a codec of the system.
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), video.fps, video.size)
        if not self._writer.isOpened():
            raise VideoError(f"overlay {path.name}: this OpenCV cannot write MPEG-4; leave the overlay out")

    def __enter__(self) -> _OverlayWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.release()

    def write(self, image: np.ndarray, faces: list[FaceAffect], stamp: float) -> None:
        """Draws into `image` and adds it."""
        self._plane.update(faces, stamp)
        draw_faces(image, faces)
        self._plane.draw(image)
        if (image.shape[1], image.shape[0]) != self._size:  # some videos change size on the way
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(image)

"""Annotate a video, a webcam or a still image: run the pipeline over its frames, without ROS."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
from tqdm import tqdm

from ast_net_ros.atomic_files import atomic_dir
from ast_net_ros.bags.names import STILL_SUFFIXES
from ast_net_ros.evaluation.estimates import EstimatesWriter, read_estimates
from ast_net_ros.evaluation.report.estimate_plots import plot_estimates, write_png
from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.vision.drawing import AffectPlane, draw_faces
from ast_net_ros.vision.image_decoding import ImageError, decode_image
from ast_net_ros.vision.video import Video, VideoError, open_video

ESTIMATES, PLOT, OVERLAY, STILL_OVERLAY = "estimates.csv", "plot.png", "overlay.webm", "overlay.png"


@dataclass(frozen=True)
class Annotation:
    """Summary of an annotated video."""

    frames: int
    declared_frames: int | None  # number of frames that the file declares; None if it declares none
    incomplete: bool  # whether the video ended well before the declared number of frames
    frames_with_face: int  # number of frames with at least one face
    face_ids: tuple[str, ...]  # the faces in order of appearance
    duration: float  # length of the annotated part in seconds
    elapsed: float


@dataclass(frozen=True)
class _StillImage:
    """A still image with the attributes of a Video of one frame."""

    source: str
    image: np.ndarray
    fps: float = 1.0
    frame_count: int | None = 1
    live: bool = False

    def __enter__(self) -> _StillImage:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        yield 0.0, self.image


def annotate(
    source: str | os.PathLike[str] | int,
    output: Path,
    pipeline: AffectPipeline,
    overlay: bool = False,
    seconds: float | None = None,
    show_progress: bool = False,
) -> Annotation:
    """Write the estimates for every frame of a video, and a plot of them, to a folder.

    The files appear in `output` together at the end, in place of those of an earlier run; a failed run changes nothing.

    Args:
        source: A video file, a still image (JPEG or PNG), or the number of a webcam.
        output: Folder for estimates.csv, plot.png and the overlay.
        pipeline: A pipeline that has not seen this source.
        overlay: Also write the video (or image) with boxes, values and the valence-arousal plane drawn in.
        seconds: Stop after this much video. A webcam also stops at Ctrl-C, keeping what was recorded.
        show_progress: Show a progress bar on stderr if that is a terminal.
    """
    began = time.monotonic()
    # Opened first: a mistyped path must not leave an empty folder behind.
    with _open(source) as video, atomic_dir(output, (ESTIMATES, PLOT, OVERLAY, STILL_OVERLAY)) as folder:
        frames, duration, exhausted = _estimate_frames(video, pipeline, folder, overlay, seconds, show_progress)
        estimates = read_estimates(folder / ESTIMATES)
        plot_estimates(estimates, folder / PLOT, title=Path(video.source).name, duration=duration)
    return Annotation(
        frames=frames,
        declared_frames=video.frame_count,
        # A container's own frame count can be slightly off.
        incomplete=exhausted and frames < 0.9 * (video.frame_count or 0),
        frames_with_face=len({row.frame for row in estimates}),
        face_ids=tuple(dict.fromkeys(row.face.face_id for row in estimates)),
        duration=duration,
        elapsed=time.monotonic() - began,
    )


def _open(source: str | os.PathLike[str] | int) -> Video | _StillImage:
    path = Path(str(source))
    if path.suffix.lower() not in STILL_SUFFIXES or not path.is_file():
        return open_video(source)
    try:
        return _StillImage(str(path), decode_image(SimpleNamespace(format="", data=path.read_bytes())))
    except ImageError as error:
        raise VideoError(f"image {path}: {error}") from error


def _estimate_frames(
    video: Video | _StillImage,
    pipeline: AffectPipeline,
    folder: Path,
    overlay: bool,
    seconds: float | None,
    show_progress: bool,
) -> tuple[int, float, bool]:
    """Write rows and overlay; return (frames, seconds of video, whether the video was read to its end)."""
    frames, stamp = 0, 0.0
    with contextlib.ExitStack() as stack:
        rows = stack.enter_context(EstimatesWriter(folder / ESTIMATES))
        draw = stack.enter_context(_overlay(folder, video)) if overlay else None
        bar = stack.enter_context(_progress_bar(video, seconds, show_progress))
        if video.live:  # Ctrl-C ends the recording of a webcam; with a file it cancels the run
            stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        for stamp, image in video:
            if seconds is not None and stamp >= seconds:
                return frames, stamp, False
            faces = pipeline.process(image, stamp, video.source)
            rows.write(frames, stamp, faces)
            if draw is not None:
                draw(image, faces, stamp)
            frames += 1
            bar.update()
    return frames, stamp, not video.live


def _progress_bar(video: Video | _StillImage, seconds: float | None, shown: bool) -> tqdm:
    total = video.frame_count
    if seconds is not None:
        total = min(total or round(seconds * video.fps), round(seconds * video.fps))
    # disable=None: hidden where stderr is not a terminal, so that log files stay readable.
    return tqdm(total=total, unit=" frames", desc=Path(video.source).name, disable=None if shown else True)


@contextlib.contextmanager
def _overlay(folder: Path, video: Video | _StillImage) -> Iterator[Callable[..., None]]:
    """Yield a function that draws a frame's faces and adds the frame to the overlay."""
    plane = AffectPlane()

    def drawn(image: np.ndarray, faces: list[FaceAffect], stamp: float) -> np.ndarray:
        plane.update(faces, stamp)
        draw_faces(image, faces)
        plane.draw(image)
        return image

    if isinstance(video, _StillImage):
        yield lambda image, faces, stamp: write_png(folder / STILL_OVERLAY, drawn(image, faces, stamp))
        return
    width, height = (side - side % 2 or 2 for side in video.size)  # VP8 stores colour at half the resolution
    writer = _open_webm(folder / OVERLAY, video.fps, (width, height))

    def write(image: np.ndarray, faces: list[FaceAffect], stamp: float) -> None:
        image = drawn(image, faces, stamp)
        if image.shape[:2] != (height, width):  # an odd size, or a video that changes its size
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        writer.write(image)

    try:
        yield write
    finally:
        writer.release()


def _open_webm(path: Path, fps: float, size: tuple[int, int]) -> cv2.VideoWriter:
    """Open a WebM file in VP8: every browser plays it, and OpenCV's wheels can write it without further codecs."""
    stderr = os.dup(2)
    try:  # FFmpeg warns of the tag "VP80", which has no meaning in WebM, whatever its log level
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), fps, size)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    if not writer.isOpened():
        raise VideoError(f"overlay {path.name}: this OpenCV cannot write VP8; run without --overlay")
    return writer

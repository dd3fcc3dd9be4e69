"""Turn a recording into what the page plays: a video with time 0 at the first image, and the faces in it.

In: a bag or video. Out: a WebM file in which each image is shown at its stamp, so that media time is the recording's
time; and each face's box over time, with the ids of `ast_net evaluate`. Both are cached beside the ratings, since they
show people as the recording does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from tqdm import tqdm

from ast_net_ros.atomic_files import atomic_file, atomic_write
from ast_net_ros.bags.content_hash import recording_sha256
from ast_net_ros.bags.recordings import Recording, open_recording
from ast_net_ros.rating import RatingError
from ast_net_ros.vision.detection import upright

if TYPE_CHECKING:
    from ast_net_ros.pipeline import AffectPipeline

CACHE = ".playback"
"""Folder of the cache, beside the ratings."""

_VERSION = 1
_STORED = {"version", "first_stamp_ns", "duration", "problems", "faces_looked_for", "faces"}
_BOX_INTERVAL = 0.2  # s


@dataclass(frozen=True)
class RatedFace:
    """A face and where it is: K times and boxes, at most five a second."""

    face: str
    times: list[float] = field(default_factory=list)  # seconds from the first image, rising
    boxes: list[list[float]] = field(default_factory=list)  # left, top, width, height as shares of the image


@dataclass(frozen=True)
class Playback:
    """A recording that is ready to be played in a browser."""

    video: Path
    name: str  # of the recording
    sha256: str  # of its images
    topic: str
    first_stamp_ns: int
    duration: float  # seconds from the first image to the last
    faces: tuple[RatedFace, ...]  # the one that is visible longest first; never empty
    problems: tuple[str, ...] = ()  # what could not be read as expected


def prepare_playback(
    path: Path,
    cache: Path,
    topic: str | None = None,
    rotation: int = 0,
    find_faces: bool = True,
    show_progress: bool = True,
) -> Playback:
    """Convert a recording, unless the cache has it already.

    Args:
        path: A bag or video.
        cache: Folder of the converted video.
        topic: Image topic of a bag; None takes the only one.
        rotation: Degrees by which images must be turned clockwise.
        find_faces: Whether to look for faces; without, there is one that is called face_1.
        show_progress: Whether to show a progress bar on a terminal.

    Raises:
        RatingError: The recording's stamps jump.
        RecordingError: It cannot be read.
    """
    digest = recording_sha256(path, topic)
    stem = f"{digest[:16]}-{rotation}"
    video, about = cache / f"{stem}.webm", cache / f"{stem}.json"
    with open_recording(path, topic) as recording:
        stored = _cached(about, find_faces)
        if stored is None or not video.is_file():
            cache.mkdir(parents=True, exist_ok=True)
            cache.chmod(0o700)
            stored = _convert(recording, video, rotation, find_faces, show_progress)
            atomic_write(about, json.dumps(stored))
        return Playback(
            video=video,
            name=recording.name,
            sha256=digest,
            topic=recording.topic,
            first_stamp_ns=stored["first_stamp_ns"],
            duration=stored["duration"],
            faces=tuple(RatedFace(**face) for face in stored["faces"]) or (RatedFace("face_1"),),
            problems=tuple(stored["problems"]),
        )


def _cached(about: Path, find_faces: bool) -> dict[str, Any] | None:
    """Return what an earlier conversion found; None if there was none, or it did not look for faces that are needed."""
    try:
        stored = json.loads(about.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(stored, dict) or not stored.keys() >= _STORED or stored["version"] != _VERSION:
        return None
    return stored if stored["faces_looked_for"] or not find_faces else None


def _convert(recording: Recording, video: Path, rotation: int, find_faces: bool, show_progress: bool) -> dict[str, Any]:
    """Write the video, complete or not at all; return what is stored beside it."""
    pipeline = None
    if find_faces:
        from ast_net_ros.pipeline import AffectPipeline  # loads the networks' libraries

        pipeline = AffectPipeline()
    faces: dict[str, RatedFace] = {}
    first_ns: int | None = None
    seconds = 0.0
    bar = tqdm(
        total=recording.frame_count, unit=" frames", desc=recording.name, disable=None if show_progress else True
    )
    with bar, atomic_file(video) as unfinished, ExitStack() as stack:
        for frame in recording.frames():
            image = upright(frame.image, rotation)
            if first_ns is None:
                first_ns = frame.stamp_ns
                height, width = image.shape[:2]
                write = stack.enter_context(_webm_writer(unfinished, width, height))
            before, seconds = seconds, (frame.stamp_ns - first_ns) / 1e9
            if not 0 <= seconds - before <= 60.0:  # more is a clock that was set rather than a pause
                raise RatingError(
                    f"recording {recording.path}: the stamps of its images jump from {before:.2f} s to {seconds:.2f} "
                    "s, so its times are not unique; split it there (`ros2 bag convert`) and rate the parts"
                )
            write(image, seconds)
            if pipeline:
                _note_faces(faces, pipeline, image, seconds)
            bar.update()
    return {
        "version": _VERSION,
        "first_stamp_ns": first_ns,
        "duration": seconds,
        "problems": recording.problems,
        "faces_looked_for": find_faces,
        "faces": [asdict(face) for face in _longest_first(faces)],
    }


@contextmanager
def _webm_writer(path: Path, width: int, height: int) -> Iterator[Callable[[np.ndarray, float], None]]:
    """Yield a function that adds a frame, H x W x 3 uint8 BGR, at a time in seconds, to a WebM file in VP8.

    All frames are scaled to one size of even numbers, as VP8 stores colour at half the resolution.
    """
    scale = min(1.0, 1280 / max(width, height))
    with av.open(str(path), "w", format="webm") as container:
        # One thread in the fast mode takes a fifth of the time of the defaults; frequent key frames keep jumps fast.
        options = {"deadline": "realtime", "cpu-used": "8", "threads": "1", "g": "60"}
        stream = container.add_stream("libvpx", options=options)
        stream.width, stream.height = (max(int(side * scale) // 2 * 2, 2) for side in (width, height))
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = round(5.2 * stream.width * stream.height)  # no loss that shows in a face
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)  # WebM counts milliseconds
        last: tuple[np.ndarray, int] | None = None

        def encode(image: np.ndarray, time: int) -> None:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
            frame = frame.reformat(width=stream.width, height=stream.height, format=stream.pix_fmt)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))

        def write(image: np.ndarray, seconds: float) -> None:
            nonlocal last
            time = round(1000 * seconds)
            if last is None or time > last[1]:  # two frames within a millisecond: nobody sees the second
                encode(image, time)
                last = image, time

        yield write
        if last is not None:
            encode(last[0], last[1] + 100)  # is shown for 100 ms, so that the video does not end before its time
        container.mux(stream.encode(None))


def _note_faces(faces: dict[str, RatedFace], pipeline: AffectPipeline, image: np.ndarray, seconds: float) -> None:
    height, width = image.shape[:2]
    for found in pipeline.process(image, seconds):
        face = faces.setdefault(found.face_id, RatedFace(found.face_id))
        if not face.times or seconds - face.times[-1] >= _BOX_INTERVAL - 1e-4:
            left, top, wide, high = found.box
            face.times.append(round(seconds, 3))
            face.boxes.append([round(share, 4) for share in (left / width, top / height, wide / width, high / height)])


def _longest_first(faces: dict[str, RatedFace]) -> list[RatedFace]:
    """Return up to 30 faces, without those that are visible for less than a second and cannot be rated."""
    ordered = sorted(faces.values(), key=lambda face: -len(face.times))
    return [face for face in ordered if len(face.times) * _BOX_INTERVAL >= 1.0][:30] or ordered[:1]

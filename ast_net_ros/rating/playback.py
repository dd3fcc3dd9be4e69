"""Turn a recording into what the page plays: a video with time 0 at the first image, and the faces in it.

In: a bag or video. Out: a WebM file in which each image is shown at its stamp, so that media time is the recording's
time; and each face's box over time, with the ids of `ast_net evaluate`. Both are cached beside the ratings, since they
show people as the recording does.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from ast_net_ros.atomic_files import atomic_file, atomic_write
from ast_net_ros.bags.content_hash import recording_sha256
from ast_net_ros.bags.recordings import Recording, open_recording
from ast_net_ros.rating.errors import RatingError
from ast_net_ros.rating.webm import webm_writer
from ast_net_ros.vision.detection import upright

if TYPE_CHECKING:
    from ast_net_ros.pipeline import AffectPipeline

CACHE = ".playback"
"""Folder of the cache, beside the ratings."""

_VERSION = 1
_STORED = {"version", "first_stamp_ns", "duration", "problems", "faces_looked_for", "faces"}
_LONGEST_GAP = 60.0  # s between two images; more is a clock that was set rather than a pause
_BOX_INTERVAL = 0.2  # s
_MOST_FACES = 30
_SHORTEST_VISIT = 1.0  # s; a face that is visible for less cannot be rated


@dataclass(frozen=True)
class RatedFace:
    """A face and where it is: K times and boxes, at most five a second."""

    face: str
    times: list[float] = field(default_factory=list)  # seconds from the first image, rising
    boxes: list[list[float]] = field(default_factory=list)  # left, top, width, height as shares of the image

    @property
    def visible_seconds(self) -> float:
        """For how long it is visible, as far as its times show."""
        return len(self.times) * _BOX_INTERVAL


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
        faces = tuple(RatedFace(**face) for face in stored["faces"]) or (RatedFace("face_1"),)
        return Playback(
            video=video,
            name=recording.name,
            sha256=digest,
            topic=recording.topic,
            first_stamp_ns=stored["first_stamp_ns"],
            duration=stored["duration"],
            faces=faces,
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
    pipeline = _pipeline() if find_faces else None
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
                write = stack.enter_context(webm_writer(unfinished, width, height))
            before, seconds = seconds, (frame.stamp_ns - first_ns) / 1e9
            _check_step(recording, before, seconds)
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


def _pipeline() -> AffectPipeline:
    from ast_net_ros.pipeline import AffectPipeline  # loads the networks' libraries

    return AffectPipeline()


def _check_step(recording: Recording, before: float, now: float) -> None:
    if not 0 <= now - before <= _LONGEST_GAP:
        raise RatingError(
            f"recording {recording.path}: the stamps of its images jump from {before:.2f} s to {now:.2f} s, so it has "
            "no single time line; split it there (`ros2 bag convert`) and rate the parts"
        )


def _note_faces(faces: dict[str, RatedFace], pipeline: AffectPipeline, image: np.ndarray, seconds: float) -> None:
    height, width = image.shape[:2]
    for found in pipeline.process(image, seconds):
        face = faces.setdefault(found.face_id, RatedFace(found.face_id))
        if not face.times or seconds - face.times[-1] >= _BOX_INTERVAL - 1e-4:
            left, top, wide, high = found.box
            face.times.append(round(seconds, 3))
            face.boxes.append([round(share, 4) for share in (left / width, top / height, wide / width, high / height)])


def _longest_first(faces: dict[str, RatedFace]) -> list[RatedFace]:
    ordered = sorted(faces.values(), key=lambda face: -face.visible_seconds)
    return [face for face in ordered if face.visible_seconds >= _SHORTEST_VISIT][:_MOST_FACES] or ordered[:1]

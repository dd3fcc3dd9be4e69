"""Offline evaluation of one recording: every frame once through the pipeline, by its stamp.

In: a bag or video. Out: its results folder (evaluation/recording_result.py), without labels yet. Frames are streamed:
memory does not grow with the recording, apart from a hundred bytes a frame. Every stage computes in one thread, so
that the same recording gives the same bytes wherever and beside whatever it is evaluated.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import cv2

from ast_net_ros.bags.recordings import open_recording
from ast_net_ros.evaluation.options import EstimationSettings, pipeline_maker
from ast_net_ros.evaluation.read_ahead import estimate_ahead
from ast_net_ros.evaluation.recording_result import RecordingWriter
from ast_net_ros.evaluation.workers import RecordingJob, Tell
from ast_net_ros.model.weights import WeightsError
from ast_net_ros.pipeline import AffectPipeline

LIBRARIES = ("ast_net_ros", "numpy", "onnx", "onnxruntime", "opencv-python", "rosbags", "torch")
"""Whose versions go into results and keys: what computes or decodes the frames."""

_TELL_SECONDS = 0.2


def evaluate_recording(job: RecordingJob, tell: Tell | None = None) -> None:
    """Writes the results of one recording; its folder appears whole or not at all.

    Raises RecordingError for what cannot be read, WeightsError, DeviceError, and OSError for what cannot be written.
    """
    began = time.monotonic()
    with one_thread(), open_recording(Path(job.path), job.topic) as recording, ExitStack() as stack:
        pipeline = _pipelines(job.settings)()
        _check_weights(job, pipeline)
        estimated = stack.enter_context(closing(estimate_ahead(pipeline, recording.frames(), job.name)))
        with RecordingWriter(Path(job.folder), job.name, job.path, recording.topic, "offline") as writer:
            told_at, untold = began, 0
            for frame, faces in estimated:
                if not frame.index:
                    writer.about["frame_id"] = frame.frame_id
                writer.add(frame.stamp_ns, faces)
                untold += 1
                if tell and time.monotonic() - told_at > _TELL_SECONDS:
                    tell(untold)
                    told_at, untold = time.monotonic(), 0
            if tell:
                tell(untold)
            writer.about |= {
                "partial": recording.partial,
                "problems": list(recording.problems),
                "processing_seconds": round(time.monotonic() - began, 3),
                "settings": _described(job.settings, pipeline),
                "key": job.key,
            }


def _check_weights(job: RecordingJob, pipeline: AffectPipeline) -> None:
    """Another machine's package may have others, and a file may change while an evaluation runs."""
    found = pipeline.model.weights_hash
    if job.weights_sha256 and found != job.weights_sha256:
        raise WeightsError(
            f"weights '{pipeline.model.weights_path}': SHA-256 {found[:12]}..., the evaluation began with "
            f"{job.weights_sha256[:12]}...; have the same weights on every machine and run the same command again"
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for OpenCV inside the block. ONNX Runtime has its own setting, see `_pipelines`."""
    opencv_before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(opencv_before)


@functools.lru_cache(maxsize=1)
def _pipelines(settings: EstimationSettings) -> Callable[[], AffectPipeline]:
    """A worker meets the same settings again and again; the networks are loaded once."""
    return pipeline_maker(settings, threads=1)


def _described(settings: EstimationSettings, pipeline: AffectPipeline) -> dict:
    """What ran, for recording.json."""
    model = pipeline.model
    return asdict(settings) | {
        "weights": model.weights_path,
        "weights_sha256": model.weights_hash,
        "weights_description": model.description,
        "device": str(model.device),
        "precision": model.precision,
        "runtime": model.runtime,
        "versions": library_versions(),
    }


def library_versions() -> dict[str, str]:
    """Versions of what is installed of LIBRARIES."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # installed by other means than pip
            module = {"opencv-python": "cv2"}.get(name, name)
            if importlib.util.find_spec(module) is not None:
                found[name] = str(getattr(importlib.import_module(module), "__version__", "unknown"))
    return found


def key_of(path: Path, topic: str | None, settings: EstimationSettings, weights_sha256: str, **more: object) -> str:
    """What a recording's results depend on, as 64 hex digits: they are made anew when it changes.

    A recording's files count with their names, sizes and times of change. more: further options, ready for JSON.
    """
    parts = {
        "recording": str(path.resolve()),
        "files": [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in _files_of(path)],
        "topic": topic,
        "settings": asdict(settings) | {"weights": weights_sha256},
        "versions": library_versions(),
        **more,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _files_of(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]

"""Evaluate one recording offline: every frame once through the pipeline, by its stamp.

Frames are streamed; memory use grows by a hundred bytes per frame. Every stage computes in one thread, so a recording
gives identical results wherever it is evaluated.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib import metadata
from pathlib import Path

import cv2

from ast_net_ros.bags.recordings import ReadAhead, RecordedFrame, open_recording
from ast_net_ros.evaluation.options import EstimationSettings, pipeline_maker
from ast_net_ros.evaluation.recording_result import RecordingWriter, seconds_since
from ast_net_ros.evaluation.workers import Progress, RecordingJob
from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.model.weights import WeightsError
from ast_net_ros.pipeline import AffectPipeline, FoundFaces, Frame

LIBRARIES = ("ast_net_ros", "numpy", "onnx", "onnxruntime", "opencv-python", "rosbags", "torch")
"""Libraries that decode or compute; their versions go into results and keys."""


def evaluate_recording(job: RecordingJob, report: Progress = lambda _: None) -> None:
    """Write the results of one recording; its folder appears complete or not at all."""
    began = time.monotonic()
    with _one_thread(), open_recording(Path(job.path), job.topic) as recording, ExitStack() as stack:
        pipeline = _pipelines(job.settings)()
        _check_weights(job, pipeline)
        estimated = stack.enter_context(closing(estimate_ahead(pipeline, recording.frames(), job.name)))
        with RecordingWriter(Path(job.folder), job.name, job.path, recording.topic, "offline") as writer:
            reported_at, unreported = began, 0
            for frame, faces in estimated:
                if not frame.index:
                    writer.about["frame_id"] = frame.frame_id
                writer.add(frame.stamp_ns, faces)
                unreported += 1
                if time.monotonic() - reported_at > 0.2:
                    report(unreported)
                    reported_at, unreported = time.monotonic(), 0
            report(unreported)
            writer.about |= {
                "partial": recording.partial,
                "problems": list(recording.problems),
                "processing_seconds": round(time.monotonic() - began, 3),
                "settings": _describe(job.settings, pipeline),
                "key": job.key,
            }


def _check_weights(job: RecordingJob, pipeline: AffectPipeline) -> None:
    """Raise WeightsError if the weights are not those of the job; another machine may have another version."""
    found = pipeline.model.weights_hash
    if job.weights_sha256 and found != job.weights_sha256:
        raise WeightsError(
            f"weights '{pipeline.model.weights_path}': SHA-256 {found[:12]}..., but the evaluation started with "
            f"{job.weights_sha256[:12]}...; install the same weights on every machine and run the same command again"
        )


def estimate_ahead(
    pipeline: AffectPipeline, frames: Iterator[RecordedFrame], source: str
) -> Generator[tuple[RecordedFrame, list[FaceAffect]], None, None]:
    """Yield each frame with its faces, as `pipeline.process` returns them; time counts from the first frame's stamp.

    The next frames are read and decoded, and their faces found, in a second thread. The pipeline must not have seen
    this source. Close the generator if the frames are not exhausted.
    """
    with ReadAhead(_find(pipeline, frames, source)) as found_ahead:
        for frame, found in found_ahead:
            yield frame, pipeline.estimate([found])[0]


def _find(
    pipeline: AffectPipeline, frames: Iterator[RecordedFrame], source: str
) -> Iterator[tuple[RecordedFrame, FoundFaces]]:
    first_ns = None
    for frame in frames:
        first_ns = frame.stamp_ns if first_ns is None else first_ns
        yield frame, pipeline.find([Frame(frame.image, seconds_since(frame.stamp_ns, first_ns), source)])[0]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit OpenCV to one thread; ONNX Runtime has its own setting, see `_pipelines`."""
    opencv_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(opencv_threads)


@functools.lru_cache(maxsize=1)
def _pipelines(settings: EstimationSettings) -> Callable[[], AffectPipeline]:
    """Load the networks once for the jobs of a worker, which have equal settings."""
    return pipeline_maker(settings, threads=1)


def _describe(settings: EstimationSettings, pipeline: AffectPipeline) -> dict:
    """Describe what ran, for recording.json."""
    model = pipeline.model
    return settings.as_dict() | {
        "weights": model.weights_path,
        "weights_sha256": model.weights_hash,
        "weights_description": model.description,
        "device": str(model.device),
        "precision": model.precision,
        "runtime": model.runtime,
        "versions": library_versions(),
    }


def library_versions() -> dict[str, str]:
    """Return the versions of the installed LIBRARIES."""
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
    """Hash everything that the results of a recording depend on; they are computed again when it changes.

    Files count with their names, sizes and modification times; `more` are further options, ready for JSON.
    """
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    parts = {
        "recording": str(path.resolve()),
        "files": [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files],
        "topic": topic,
        "settings": settings.as_dict() | {"weights": weights_sha256},
        "versions": library_versions(),
        **more,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

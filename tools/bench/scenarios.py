"""The scenarios that need no ROS: the model alone, each stage, the whole pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import cv2
import numpy as np

from ast_net_ros.bags.recordings import RecordedFrame
from ast_net_ros.evaluation.offline import estimate_ahead
from ast_net_ros.model.inference import AffectModel
from ast_net_ros.pipeline import AffectPipeline, PipelineSettings
from ast_net_ros.vision.image_decoding import decode_image
from bench.frames import FACE_COUNTS, SIZES, frames_of
from bench.machine import usable_cores
from bench.timing import Spread, repeated, spread, torch_threads

BATCHES = (1, 2, 4, 8, 16)
PIPELINE_STAGES = ("detect", "align", "track", "encode", "step")
STAGE_SIZE = (640, 360)
Progress = Callable[[str], None]
"""Called with the name of each part of a scenario that is done."""


@dataclass(frozen=True)
class Clip:
    """The video that is measured on.

    Attributes:
        frames: BGR frames.
        rate: Frames per second.
        box: Left, top, width and height of its face, pixels.
    """

    frames: Sequence[np.ndarray]
    rate: float
    box: tuple[float, float, float, float]


def model_alone(load: Callable[[int], AffectModel], repeats: int, progress: Progress, batches: Sequence[int]) -> dict:
    """Measure `encode` and `step`, with one thread and with all.

    Args:
        load: Loads the model for a number of threads.
        repeats: Repeats of each measurement.
        progress: Called for each part.
        batches: Numbers of faces in a batch.

    Returns:
        Milliseconds by threads, batch and call.
    """
    results: dict[str, dict] = {}
    for threads in sorted({1, usable_cores()}):
        rows = results[f"{threads} thread{'s' * (threads > 1)}"] = {}
        with torch_threads(threads):
            model = load(threads)
            for batch in batches:
                rows[str(batch)] = _one_batch(model, batch, repeats)
                progress(f"model, {batch} faces, {threads} threads")
    return results


def _one_batch(model: AffectModel, batch: int, repeats: int) -> dict[str, Spread]:
    side = model.config.chip_side
    chips = np.random.default_rng(0).integers(0, 256, (batch, side, side), dtype=np.uint8)
    attributes, _ = model.encode(chips)
    state = model.initial_state(batch)

    def encode() -> object:
        return model.encode(chips)

    def step() -> object:
        return model.step(attributes, state)

    def both() -> object:
        return model.step(model.encode(chips)[0], state)

    calls = {"encode_ms": encode, "step_ms": step, "both_ms": both}
    metrics = {name: repeated(call, repeats) for name, call in calls.items()}
    return metrics | {"each_face_ms": spread([value / batch for value in metrics["both_ms"].values()])}


def further_face_ms(rows: dict[str, dict]) -> Spread:
    """Return the cost of one more face in a batch, from the difference between the smallest and the largest batch."""
    (low, first), *_, (high, last) = sorted((int(batch), row["both_ms"]) for batch, row in rows.items())
    growth = [(last[key] - first[key]) / (high - low) for key in ("min", "median", "max")]
    return spread(growth)


def stages(model: AffectModel, clip: Clip, repeats: int, progress: Progress) -> dict[str, Spread]:
    """Measure each stage with one face at 640x360, in milliseconds; publishing is measured with the node."""
    frames = frames_of(clip.frames, STAGE_SIZE, 1, clip.box)
    metrics = {}
    for name, message in _messages(frames[0]).items():
        metrics[f"decode {name}"] = repeated(partial(decode_image, message), repeats)
        progress(f"stages, decode {name}")
    runs = [run_pipeline(AffectPipeline(model), frames, clip.rate) for _ in range(repeats)]
    for stage in PIPELINE_STAGES:
        metrics[stage] = spread([run[f"{stage}_ms"] for run in runs])
    progress("stages, pipeline")
    return metrics


def _messages(image: np.ndarray) -> dict[str, SimpleNamespace]:
    """Return an image as in ROS messages, without ROS."""
    height, width = image.shape[:2]
    raw = {"height": height, "width": width, "is_bigendian": 0, "step": 3 * width, "data": image.tobytes()}
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    return {
        "bgr8": SimpleNamespace(encoding="bgr8", **raw),
        "rgb8": SimpleNamespace(encoding="rgb8", **raw),
        "jpeg": SimpleNamespace(format="bgr8; jpeg compressed bgr8", data=jpeg),
    }


def pipeline(model: AffectModel, clip: Clip, repeats: int, progress: Progress) -> dict[str, dict]:
    """Measure the whole pipeline by frame size and number of faces; all of WAYS with one face, else EVERY_FRAME."""
    results = {}
    for size in SIZES:
        for faces in FACE_COUNTS:
            frames = frames_of(clip.frames, size, faces, clip.box)
            for way, run in WAYS.items():
                if faces == 1 or way == EVERY_FRAME:
                    label = f"{size[0]}x{size[1]}, {faces} face{'s' * (faces > 1)}, {way}"
                    results[label] = _repeated_passes(run, model, frames, clip.rate, repeats)
                    progress(f"pipeline, {label}")
    return results


def _repeated_passes(
    run: Callable[..., dict], model: AffectModel, frames: Sequence[np.ndarray], rate: float, repeats: int
) -> dict[str, Spread]:
    whole = AffectPipeline(model)
    passes = [run(whole, frames, rate) for _ in range(repeats)]
    return {key: spread([one[key] for one in passes]) for key in passes[0]}


def pipeline_parts() -> int:
    """Return how often :func:`pipeline` reports progress."""
    return len(SIZES) * (len(FACE_COUNTS) + len(WAYS) - 1)


def run_pipeline(
    whole: AffectPipeline, frames: Sequence[np.ndarray], rate: float, interval: float | None = 0.0
) -> dict[str, float]:
    """Process the frames one after the other; the first one warms up and does not count.

    Args:
        whole: The pipeline.
        frames: BGR frames of one size.
        rate: Frames per second of the video.
        interval: Seconds between detections; None for the default.

    Returns:
        Frames per second, faces per frame, processor time, percentiles of a frame's time, and mean milliseconds of
        every stage.
    """
    whole.settings = PipelineSettings() if interval is None else PipelineSettings(detection_interval=interval)
    stages: dict[str, float] = {}

    def estimated() -> Iterator[int]:
        for index, image in enumerate(frames):
            yield len(whole.process(image, index / rate))
            for stage, seconds in whole.timings.items():
                stages[stage] = stages.get(stage, 0.0) + (seconds if index else 0.0)

    metrics = _timed_pass(whole, estimated())
    return metrics | {f"{stage}_ms": seconds / (len(frames) - 1) * 1e3 for stage, seconds in stages.items()}


def run_ahead(whole: AffectPipeline, frames: Sequence[np.ndarray], rate: float) -> dict[str, float]:
    """Process the frames as the evaluation does: find the faces of each while the previous one is estimated.

    Args and return value are those of run_pipeline, without the stages.
    """
    whole.settings = PipelineSettings()
    recorded = (RecordedFrame(index, round(index / rate * 1e9), image) for index, image in enumerate(frames))
    with closing(estimate_ahead(whole, recorded, "clip")) as estimated:
        return _timed_pass(whole, (len(faces) for _, faces in estimated))


def _timed_pass(whole: AffectPipeline, faces_of_frames: Iterator[int]) -> dict[str, float]:
    whole.reset()
    next(faces_of_frames)
    processor, moments = time.process_time(), [time.perf_counter()]
    faces = []
    for count in faces_of_frames:
        faces.append(count)
        moments.append(time.perf_counter())
    each = [1e3 * (after - before) for before, after in pairwise(moments)]
    return {
        "frames_per_second": len(faces) / (moments[-1] - moments[0]),
        "faces_per_frame": sum(faces) / len(faces),
        "frame_p50_ms": float(np.percentile(each, 50)),
        "frame_p99_ms": float(np.percentile(each, 99)),
        "processor_ms": (time.process_time() - processor) / len(faces) * 1e3,
    }


EVERY_FRAME, AHEAD = "detection in every frame", "detection one frame ahead"
DEFAULTS = f"detection every {PipelineSettings().detection_interval:g} s"
"""The default configuration of the node."""
WAYS: dict[str, Callable[..., dict]] = {
    DEFAULTS: partial(run_pipeline, interval=None),
    EVERY_FRAME: run_pipeline,
    AHEAD: run_ahead,
}

"""How recordings are estimated: one set of options for every command that sends frames through the pipeline.

In: the options of `ast_net annotate` and `ast_net evaluate`, declared here once so that they mean the same and have the
same defaults. Out: :class:`EstimationSettings`, and from them pipelines. Only click is imported here, so that help
comes at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ast_net_ros.pipeline import AffectPipeline

Command = Callable[..., Any]


@dataclass(frozen=True)
class EstimationSettings:
    """What the estimates depend on besides the frames.

    weights: path of a weights file; None for the packaged ones. device: auto, cpu, cuda or cuda:N.
    runtime: what computes the CNN: auto, torch or onnxruntime.
    detector_input_size: pixels of the longer side to which frames are reduced for detection. The others are those of
    pipeline.PipelineSettings, in its units.
    """

    weights: str | None = None
    device: str = "auto"
    runtime: str = "auto"
    max_faces: int = 16
    score_threshold: float = 0.7
    detector_input_size: int = 320
    detection_interval: float = 0.0
    smoothing_time_constant: float = 0.0


_OPTIONS = (
    click.option(
        "--weights", metavar="PATH", type=click.Path(path_type=Path), help="Weights (safetensors).  [default: packaged]"
    ),
    click.option("--device", default="auto", metavar="NAME", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option(
        "--runtime",
        default=EstimationSettings.runtime,
        show_default=True,
        type=click.Choice(["auto", "torch", "onnxruntime"]),
        help="What computes the CNN; auto takes onnxruntime on a CPU where the package onnx is installed.",
    ),
    click.option(
        "--max-faces",
        metavar="N",
        default=EstimationSettings.max_faces,
        show_default=True,
        type=click.IntRange(1, 256),
        help="The largest N faces of a frame are followed.",
    ),
    click.option(
        "--score-threshold",
        metavar="P",
        default=EstimationSettings.score_threshold,
        show_default=True,
        type=click.FloatRange(0.0, 1.0),
        help="Least certainty of a face detection.",
    ),
    click.option(
        "--detector-input-size",
        metavar="N",
        default=EstimationSettings.detector_input_size,
        show_default=True,
        type=click.IntRange(64, 4096),
        help="Pixels of the longer side to which frames are reduced for detection; more finds smaller faces, slower.",
    ),
    click.option(
        "--detection-interval",
        metavar="S",
        default=EstimationSettings.detection_interval,
        show_default=True,
        type=click.FloatRange(0, 10),
        help="Seconds between two detections; faces are followed by motion in between. 0 detects in every frame.",
    ),
    click.option(
        "--smoothing-time-constant",
        metavar="S",
        default=EstimationSettings.smoothing_time_constant,
        show_default=True,
        type=click.FloatRange(0, 60),
        help="Time constant in seconds of a filter over valence and arousal; 0 leaves them as estimated.",
    ),
)


def estimation_options(command: Command) -> Command:
    """Gives a click command the options of EstimationSettings, under the names of its fields."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_from(options: dict[str, Any]) -> EstimationSettings:
    """Takes the values of `estimation_options` out of a command's keyword arguments."""
    values = {name: options.pop(name) for name in EstimationSettings.__dataclass_fields__}
    return EstimationSettings(**values | {"weights": str(values["weights"]) if values["weights"] else None})


def pipeline_maker(settings: EstimationSettings, threads: int = 0) -> Callable[[], AffectPipeline]:
    """Loads the networks once; each call of what is returned gives a pipeline that has seen nothing yet.

    threads: of ONNX Runtime; 0 for what suits the machine. Raises WeightsError and DeviceError.
    """
    from ast_net_ros.model import load_model
    from ast_net_ros.pipeline import AffectPipeline, PipelineSettings
    from ast_net_ros.vision.detection import make_detector

    model = load_model(settings.weights, settings.device, runtime=settings.runtime, threads=threads)
    detector = make_detector(threads)
    behaviour = PipelineSettings(
        max_faces=settings.max_faces,
        score_threshold=settings.score_threshold,
        detector_input_size=settings.detector_input_size,
        detection_interval=settings.detection_interval,
        smoothing_time_constant=settings.smoothing_time_constant,
    )
    return lambda: AffectPipeline(model, detector, behaviour)

"""Options of the commands that run the pipeline, and the pipelines made of them.

Names and defaults are those of ast_net_ros.settings, which the node reads as well. Only click is imported at once, so
that `--help` is fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import click

from ast_net_ros.settings import IMAGE_ROTATIONS, ModelSettings, PipelineSettings

if TYPE_CHECKING:
    from ast_net_ros.pipeline import AffectPipeline

Command = Callable[..., Any]


@dataclass(frozen=True)
class EstimationSettings:
    """What the estimates depend on besides the frames."""

    model: ModelSettings = field(default_factory=ModelSettings)
    pipeline: PipelineSettings = field(default_factory=PipelineSettings)

    def as_dict(self) -> dict[str, Any]:
        """Return all settings by name."""
        return {**asdict(self.model), **asdict(self.pipeline)}


def _rotation(degrees: str | int) -> int:
    if str(degrees) not in map(str, IMAGE_ROTATIONS):
        raise click.BadParameter(f"{degrees} is not one of {', '.join(map(str, IMAGE_ROTATIONS))}.")
    return int(degrees)


# name of the setting: (type, metavar, help)
_OPTIONS: dict[str, tuple[Any, str | None, str]] = {
    "weights": (click.Path(), "PATH", "Weights file (.safetensors).  [default: packaged]"),
    "device": (click.STRING, "NAME", "auto, cpu, cuda or cuda:N."),
    "precision": (
        click.Choice(["auto", "float32", "bfloat16", "float16"]),
        None,
        "Arithmetic of the CNN; float16 requires a GPU.",
    ),
    "runtime": (
        click.Choice(["auto", "torch", "onnxruntime"]),
        None,
        "Library that runs the network; auto: onnxruntime on a CPU, torch on a GPU.",
    ),
    "image_rotation": (
        _rotation,
        "[0|90|180|270]",
        "Clockwise rotation that makes faces upright, in degrees.",
    ),
    "max_faces": (click.IntRange(1, 256), "N", "Process only the N largest faces of a frame."),
    "min_face_pixels": (click.FloatRange(1, 10_000), "N", "Ignore faces narrower than N pixels."),
    "score_threshold": (click.FloatRange(0, 1), "P", "Minimum score of a face detection."),
    "detector_input_size": (
        click.IntRange(64, 4096),
        "N",
        "Scale frames down to N pixels on the longer side for detection; larger values find smaller faces but take "
        "longer.",
    ),
    "detection_interval": (
        click.FloatRange(0, 10),
        "S",
        "Seconds between two detections; optical flow tracks the faces in between. 0 detects in every frame.",
    ),
    "track_timeout": (click.FloatRange(0.05, 60), "S", "End a track when its face has not been seen for S seconds."),
    "max_time_gap": (
        click.FloatRange(0.1, 3600),
        "S",
        "Reset all face states when stamps jump forward by more than S seconds, or backward.",
    ),
    "smoothing_time_constant": (
        click.FloatRange(0, 60),
        "S",
        "Time constant of an exponential filter over valence and arousal; 0 leaves them unfiltered.",
    ),
    "personal_baseline": (
        click.FloatRange(0, 0.5),
        "V",
        "Subtract each person's resting valence, by at most V; 0 disables this.",
    ),
    "engagement_window": (
        click.FloatRange(0.1, 60),
        "S",
        "Compute engagement over the last S seconds: the fraction of them for which a face was turned to the camera.",
    ),
}


def add_options(options: Mapping[tuple[str, ...], tuple[str, dict[str, Any]]]) -> Callable[[Command], Command]:
    """Return a decorator that adds options, given by their names: (help, further arguments of click.option)."""

    def decorate(command: Command) -> Command:
        for names, (text, more) in reversed(list(options.items())):
            shown = more.get("default") is not None
            command = click.option(*names, help=text, show_default=shown, **more)(command)
        return command

    return decorate


def estimation_options(command: Command) -> Command:
    """Add an option for every setting of EstimationSettings to a click command."""
    defaults = EstimationSettings().as_dict()
    options: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {
        (f"--{name.replace('_', '-')}",): (text, {"type": kind, "metavar": metavar, "default": defaults[name]})
        for name, (kind, metavar, text) in _OPTIONS.items()
    }
    return add_options(options)(command)


def settings_from(options: dict[str, Any]) -> EstimationSettings:
    """Remove the values of `estimation_options` from a command's keyword arguments and return them as settings."""
    model = ModelSettings(**{setting.name: options.pop(setting.name) for setting in fields(ModelSettings)})
    pipeline = PipelineSettings(**{setting.name: options.pop(setting.name) for setting in fields(PipelineSettings)})
    return EstimationSettings(model, pipeline)


def pipeline_maker(settings: EstimationSettings, threads: int = 0) -> Callable[[], AffectPipeline]:
    """Load the networks and return a function that makes pipelines without history.

    `threads` are those of ONNX Runtime; 0 chooses for this machine.
    """
    from ast_net_ros.model import load_model
    from ast_net_ros.pipeline import AffectPipeline
    from ast_net_ros.vision.detection import make_detector

    chosen = settings.model
    model = load_model(chosen.weights, chosen.device, chosen.precision, runtime=chosen.runtime, threads=threads)
    detector = make_detector(threads)
    return lambda: AffectPipeline(model, detector, settings.pipeline)

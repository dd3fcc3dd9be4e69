"""Options of the commands that run the pipeline, and the pipelines made of them.

Names and defaults are those of ast_net_ros.settings, which the node reads as well. Only click is imported at once, so
that `--help` is fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import click

from ast_net_ros.settings import CHOICES, IMAGE_ROTATIONS, LIMITS, ModelSettings, PipelineSettings, from_values

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


# name of the setting: (metavar, help)
_OPTIONS: dict[str, tuple[str | None, str]] = {
    "weights": ("PATH", "Weights file (.safetensors).  [default: packaged]"),
    "device": ("NAME", "auto, cpu, cuda or cuda:N."),
    "precision": (None, "Arithmetic of the CNN; float16 requires a GPU."),
    "runtime": (None, "Library that runs the network; auto: onnxruntime on a CPU, torch on a GPU."),
    "image_rotation": ("[0|90|180|270]", "Clockwise rotation that makes faces upright, in degrees."),
    "max_faces": ("N", "Process only the N largest faces of a frame."),
    "min_face_pixels": ("N", "Ignore faces narrower than N pixels."),
    "score_threshold": ("P", "Minimum score of a face detection."),
    "detector_input_size": (
        "N",
        "Scale frames down to N pixels on the longer side for detection; larger values find smaller faces but take "
        "longer.",
    ),
    "detection_interval": (
        "S",
        "Seconds between two detections; optical flow tracks the faces in between. 0 detects in every frame.",
    ),
    "track_timeout": ("S", "End a track when its face has not been seen for S seconds."),
    "max_time_gap": ("S", "Reset all face states when stamps jump forward by more than S seconds, or backward."),
    "smoothing_time_constant": (
        "S",
        "Time constant of an exponential filter over valence and arousal; 0 leaves them unfiltered.",
    ),
    "personal_baseline": ("V", "Subtract each person's resting valence, by at most V; 0 disables this."),
    "engagement_window": (
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
        (f"--{name.replace('_', '-')}",): (
            text,
            {"type": _option_type(name, defaults[name]), "metavar": metavar, "default": defaults[name]},
        )
        for name, (metavar, text) in _OPTIONS.items()
    }
    return add_options(options)(command)


def _option_type(name: str, default: object) -> Any:
    if name == "image_rotation":
        return _rotation
    if name in LIMITS:
        kind: Any = click.IntRange if isinstance(default, int) else click.FloatRange
        return kind(*LIMITS[name])
    return click.Choice([str(choice) for choice in CHOICES[name]]) if name in CHOICES else str


def settings_from(options: Mapping[str, Any]) -> EstimationSettings:
    """Return the values of `estimation_options` among a command's keyword arguments as settings."""
    return EstimationSettings(from_values(ModelSettings, options), from_values(PipelineSettings, options))


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

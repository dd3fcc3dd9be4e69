"""The parameters of `ast_net_node`: names, defaults, ranges, descriptions. Everything else is generated from this."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Union

from ast_net_ros.settings import IMAGE_ROTATIONS, ModelSettings, PipelineSettings

Value = Union[bool, int, float, str, "list[str]"]

RENAMED = {
    "time_jump": "max_time_gap",
    "silence_warning": "no_image_timeout",
    "failure_limit": "max_consecutive_failures",
    "smoothing": "smoothing_time_constant",
    "detection_size": "detector_input_size",
}
"""Former names of parameters; accepted with a warning until the next release."""


class Change(Enum):
    """When a new value is accepted."""

    LIVE = "at any time"
    UNCONFIGURED = "while unconfigured"
    START = "at start (read-only)"


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter.

    Attributes:
        name: Its name.
        default: Default value; determines the type.
        description: What it does, for users.
        change: When a new value is accepted.
        unit: Unit of the value.
        low: Smallest value, inclusive.
        high: Largest value, inclusive.
        choices: The allowed values.
        check: Returns what is wrong with a value of the right type, or None.
    """

    name: str
    default: Value
    description: str
    change: Change
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str | int, ...] = ()
    check: Callable[[Any], str | None] | None = None

    @property
    def type_name(self) -> str:
        """The ROS name of the type."""
        names = {bool: "bool", int: "integer", float: "double", str: "string", list: "string array"}
        return names[type(self.default)]

    @property
    def allowed(self) -> str:
        """The allowed values, for users; empty when every value of the type is allowed."""
        if self.low is not None and self.high is not None:
            return f"{_number(self.low)} to {_number(self.high)}"
        return ", ".join(map(str, self.choices))


def _check_device(value: str) -> str | None:
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        return None
    return "use auto, cpu, cuda or cuda:N"


_TOPIC_PATTERN = r"(~/|/)?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*"


def _check_topics(value: list[str]) -> str | None:
    for index, topic in enumerate(value):
        if topic and not re.fullmatch(_TOPIC_PATTERN, topic):
            return f"entry {index} '{topic}' is not a topic name; use letters, digits, _ and /, as in /front/image_raw"
    return None


def _number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)


_PIPELINE, _MODEL = PipelineSettings(), ModelSettings()

PARAMETERS: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        "autostart",
        True,
        "Configure and activate the node at start; set it to false when a lifecycle manager does that.",
        Change.START,
    ),
    ParameterSpec(
        "weights",
        _MODEL.weights or "",
        "Path of a weights file (.safetensors); empty for the packaged weights.",
        Change.UNCONFIGURED,
    ),
    ParameterSpec(
        "device",
        _MODEL.device,
        "Device of the network: auto (the first GPU, else the CPU), cpu, cuda or cuda:N.",
        Change.UNCONFIGURED,
        check=_check_device,
    ),
    ParameterSpec(
        "precision",
        _MODEL.precision,
        "Arithmetic of the CNN: auto (float32), float32, bfloat16, or float16 (GPU only). The LSTM uses float32.",
        Change.UNCONFIGURED,
        choices=("auto", "float32", "bfloat16", "float16"),
    ),
    ParameterSpec(
        "runtime",
        _MODEL.runtime,
        "Library that runs the network: auto (onnxruntime on a CPU, torch on a GPU), onnxruntime or torch.",
        Change.UNCONFIGURED,
        choices=("auto", "torch", "onnxruntime"),
    ),
    ParameterSpec(
        "image_topics",
        [""],
        "Image topics in addition to `image`, raw or compressed. Empty entries are ignored.",
        Change.UNCONFIGURED,
        check=_check_topics,
    ),
    ParameterSpec(
        "image_rotation",
        _PIPELINE.image_rotation,
        "Angle by which images must be turned clockwise so that faces stand upright, for a camera that is mounted on "
        "its side or upside down. Messages keep the coordinates of the image as it is.",
        Change.LIVE,
        unit="degrees",
        choices=IMAGE_ROTATIONS,
    ),
    ParameterSpec(
        "face_source",
        "detector",
        "Where faces come from: detector (found in the image topics), or hri (the cropped faces of another ROS4HRI "
        "face detector, with its ids; the image topics are not used).",
        Change.UNCONFIGURED,
        choices=("detector", "hri"),
    ),
    ParameterSpec(
        "hri",
        False,
        "Publish the faces under `/humans/faces` as specified by REP-155 (ROS4HRI). Requires the package hri_msgs.",
        Change.UNCONFIGURED,
    ),
    ParameterSpec(
        "publish_tf",
        False,
        "Publish the TF frames `face_<id>` and `gaze_<id>` of every face (REP-155), from the `camera_info` beside each "
        "image topic. Requires the package tf2_msgs.",
        Change.UNCONFIGURED,
    ),
    ParameterSpec(
        "eye_distance",
        0.063,
        "Assumed distance between a person's pupils, to which the distance of a face on TF is proportional. 0.063 is "
        "the mean of adults, with a standard deviation of 6 %.",
        Change.LIVE,
        unit="m",
        low=0.03,
        high=0.1,
    ),
    ParameterSpec(
        "persons",
        False,
        "Give faces a `person_id` that survives leaving and returning and joins cameras: by appearance, kept in memory "
        "only, or from `/humans/candidate_matches` if hri_msgs is installed and another node identifies people.",
        Change.UNCONFIGURED,
    ),
    ParameterSpec(
        "person_timeout",
        300.0,
        "With `persons`: forget a person who has not been in view for longer than this.",
        Change.LIVE,
        unit="s",
        low=1.0,
        high=3600.0,
    ),
    ParameterSpec(
        "qos_reliability",
        "best_effort",
        "Requested reliability of image topics; best_effort is compatible with every publisher.",
        Change.UNCONFIGURED,
        choices=("best_effort", "reliable"),
    ),
    ParameterSpec(
        "qos_depth",
        1,
        "Queue size of the image subscriptions; more than 1 only adds latency.",
        Change.UNCONFIGURED,
        unit="images",
        low=1,
        high=100,
    ),
    ParameterSpec(
        "detector_input_size",
        _PIPELINE.detector_input_size,
        "Scale images down until their longer side has this many pixels before face detection. More finds smaller "
        "faces; the cost grows with the square.",
        Change.LIVE,
        unit="pixels",
        low=64,
        high=4096,
    ),
    ParameterSpec(
        "score_threshold",
        _PIPELINE.score_threshold,
        "Minimum score of a face detection.",
        Change.LIVE,
        low=0.0,
        high=1.0,
    ),
    ParameterSpec(
        "max_faces",
        _PIPELINE.max_faces,
        "Maximum number of faces processed in an image; the largest ones.",
        Change.LIVE,
        unit="faces",
        low=1,
        high=256,
    ),
    ParameterSpec(
        "min_face_pixels",
        _PIPELINE.min_face_pixels,
        "Ignore faces narrower than this in the image.",
        Change.LIVE,
        unit="pixels",
        low=1.0,
        high=10000.0,
    ),
    ParameterSpec(
        "max_image_pixels",
        64_000_000,
        "Drop images with more pixels (width x height) than this, before memory is allocated for them.",
        Change.LIVE,
        unit="pixels",
        low=1,
        high=1_000_000_000,
    ),
    ParameterSpec(
        "track_timeout",
        _PIPELINE.track_timeout,
        "Delete a face's track and state when it has not been seen for longer than this.",
        Change.LIVE,
        unit="s",
        low=0.05,
        high=60.0,
    ),
    ParameterSpec(
        "max_time_gap",
        _PIPELINE.max_time_gap,
        "Reset the camera's face states when timestamps jump forward by more than this, or backward.",
        Change.LIVE,
        unit="s",
        low=0.1,
        high=3600.0,
    ),
    ParameterSpec(
        "detection_interval",
        _PIPELINE.detection_interval,
        "Time between two face detections; optical flow tracks the faces in between. 0 detects in every image.",
        Change.LIVE,
        unit="s",
        low=0.0,
        high=10.0,
    ),
    ParameterSpec(
        "smoothing_time_constant",
        _PIPELINE.smoothing_time_constant,
        "Time constant of an exponential filter over valence and arousal; 0 publishes the estimates unfiltered.",
        Change.LIVE,
        unit="s",
        low=0.0,
        high=60.0,
    ),
    ParameterSpec(
        "personal_baseline",
        _PIPELINE.personal_baseline,
        "Largest correction of a person's resting valence, which is learned while the face is at rest; 0 is off.",
        Change.LIVE,
        low=0.0,
        high=0.5,
    ),
    ParameterSpec(
        "engagement_window",
        _PIPELINE.engagement_window,
        "Engagement is the share of this time for which a face was turned to the camera.",
        Change.LIVE,
        unit="s",
        low=0.1,
        high=60.0,
    ),
    ParameterSpec(
        "debug_image", True, "Publish `~/debug_image` and its compressed form while they have subscribers.", Change.LIVE
    ),
    ParameterSpec(
        "annotations",
        False,
        "Publish boxes, landmarks and values for Foxglove's image panel on `~/annotations` while it has subscribers. "
        "Requires the package foxglove_msgs.",
        Change.UNCONFIGURED,
    ),
    ParameterSpec(
        "no_image_timeout",
        5.0,
        "Report a camera that has had no publisher or no image for longer than this.",
        Change.LIVE,
        unit="s",
        low=0.5,
        high=3600.0,
    ),
    ParameterSpec(
        "latency_warning",
        0.2,
        "Diagnostics report WARN when the 95th percentile of the latency from receipt to publishing exceeds this.",
        Change.LIVE,
        unit="s",
        low=0.001,
        high=60.0,
    ),
    ParameterSpec(
        "latency_error",
        1.0,
        "Diagnostics report ERROR when the 95th percentile of the latency from receipt to publishing exceeds this.",
        Change.LIVE,
        unit="s",
        low=0.001,
        high=60.0,
    ),
    ParameterSpec(
        "dropped_warning",
        0.5,
        "Diagnostics report WARN when more than this fraction of a camera's images is dropped for newer ones.",
        Change.LIVE,
        low=0.0,
        high=1.0,
    ),
    ParameterSpec(
        "max_consecutive_failures",
        30,
        "Stop after this many failed batches in a row: diagnostics report ERROR and the node becomes unconfigured, "
        "from where it can be configured again. 0 never stops.",
        Change.LIVE,
        unit="batches",
        low=0,
        high=100000,
    ),
)

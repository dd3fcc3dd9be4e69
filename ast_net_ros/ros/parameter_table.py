"""The parameters of `ast_net_node`: names, defaults, ranges, descriptions. Everything else is generated from this."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Union

from ast_net_ros.settings import CHOICES, LIMITS, ModelSettings, PipelineSettings

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


LIVE, UNCONFIGURED, START = Change


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter."""

    name: str
    default: Value  # determines the type
    change: Change
    description: str
    unit: str = ""
    low: float | None = None  # smallest and largest value, inclusive; both or none
    high: float | None = None
    choices: tuple[str | int, ...] = ()
    check: Callable[[Any], str | None] | None = None  # returns what is wrong with a value of the right type

    @property
    def type_name(self) -> str:
        """The ROS name of the type."""
        names = {bool: "bool", int: "integer", float: "double", str: "string", list: "string array"}
        return names[type(self.default)]

    @property
    def allowed(self) -> str:
        """The allowed values, for users; empty when every value of the type is allowed."""
        if self.low is not None and self.high is not None:
            return " to ".join(str(int(v)) if v == int(v) else repr(v) for v in (self.low, self.high))
        return ", ".join(map(str, self.choices))


def _check_device(value: str) -> str | None:
    return None if re.fullmatch(r"auto|cpu|cuda(:\d+)?", value) else "use auto, cpu, cuda or cuda:N"


def _check_topics(value: list[str]) -> str | None:
    for index, topic in enumerate(value):
        if topic and not re.fullmatch(r"(~/|/)?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*", topic):
            return f"entry {index} '{topic}' is not a topic name; use letters, digits, _ and /, as in /front/image_raw"
    return None


_SETTINGS = {**asdict(ModelSettings()), **asdict(PipelineSettings())}


def _setting(name: str, change: Change, **more: Any) -> ParameterSpec:
    """Return the parameter of a setting, whose default and allowed values are those of settings.py."""
    low, high = LIMITS.get(name, (None, None))
    default = "" if _SETTINGS[name] is None else _SETTINGS[name]
    return ParameterSpec(name, default, change, low=low, high=high, choices=CHOICES.get(name, ()), **more)


# fmt: off
PARAMETERS: tuple[ParameterSpec, ...] = (
    ParameterSpec("autostart", True, START,
        description="Configure and activate the node at start. Set it to false if a lifecycle manager does that."),
    _setting("weights", UNCONFIGURED,
        description="Path of a weights file (.safetensors); empty for the packaged weights."),
    _setting("device", UNCONFIGURED, check=_check_device,
        description="Device of the network: auto (the first GPU, else the CPU), cpu, cuda or cuda:N."),
    _setting("precision", UNCONFIGURED,
        description="Arithmetic of the CNN: auto (float32), float32, bfloat16, or float16 (GPU only). The LSTM uses "
        "float32."),
    _setting("runtime", UNCONFIGURED,
        description="Library that runs the network: auto (onnxruntime on a CPU, torch on a GPU), onnxruntime or "
        "torch."),
    ParameterSpec("image_topics", [""], UNCONFIGURED, check=_check_topics,
        description="Image topics in addition to `image`, raw or compressed. Empty entries are ignored."),
    _setting("image_rotation", LIVE, unit="degrees",
        description="Clockwise rotation that makes faces upright, for a camera that is mounted sideways or upside "
        "down. Messages keep the coordinates of the unrotated image."),
    ParameterSpec("face_source", "detector", UNCONFIGURED, choices=("detector", "hri"),
        description="Where faces come from: detector (found in the image topics) or hri (crops and ids from another "
        "ROS4HRI face detector; the image topics are not used)."),
    ParameterSpec("hri", False, UNCONFIGURED,
        description="Publish the faces under `/humans/faces` as specified by REP-155 (ROS4HRI). Requires the package "
        "hri_msgs."),
    ParameterSpec("publish_tf", False, UNCONFIGURED,
        description="Publish the TF frames `face_<id>` and `gaze_<id>` (REP-155) of every face, using the "
        "`camera_info` beside each image topic. Requires the package tf2_msgs."),
    ParameterSpec("eye_distance", 0.063, LIVE, unit="m", low=0.03, high=0.1,
        description="Assumed distance between a person's pupils; the distance of a face on TF is proportional to it. "
        "The default is the mean of adults, whose standard deviation is 6 %."),
    ParameterSpec("persons", False, UNCONFIGURED,
        description="Give faces a `person_id` that persists when a person leaves and returns or moves to another "
        "camera. It comes from appearance, kept in memory only, or from `/humans/candidate_matches` if hri_msgs is "
        "installed and another node identifies people."),
    ParameterSpec("person_timeout", 300.0, LIVE, unit="s", low=1.0, high=3600.0,
        description="With `persons`: forget a person who has not been in view for longer than this."),
    ParameterSpec("qos_reliability", "best_effort", UNCONFIGURED, choices=("best_effort", "reliable"),
        description="Requested reliability of image topics; best_effort is compatible with every publisher."),
    ParameterSpec("qos_depth", 1, UNCONFIGURED, unit="images", low=1, high=100,
        description="Queue size of the image subscriptions. More than 1 only adds latency."),
    _setting("detector_input_size", LIVE, unit="pixels",
        description="Images are scaled down to this many pixels on the longer side for face detection. Larger values "
        "find smaller faces; the cost grows quadratically."),
    _setting("score_threshold", LIVE,
        description="Minimum score of a face detection."),
    _setting("max_faces", LIVE, unit="faces",
        description="Maximum number of faces processed per image; the largest ones are kept."),
    _setting("min_face_pixels", LIVE, unit="pixels",
        description="Ignore faces narrower than this."),
    ParameterSpec("max_image_pixels", 64_000_000, LIVE, unit="pixels", low=1, high=1_000_000_000,
        description="Drop images with more pixels (width x height) than this before memory is allocated for them."),
    _setting("track_timeout", LIVE, unit="s",
        description="Delete a face's track and state when the face has not been seen for longer than this."),
    _setting("max_time_gap", LIVE, unit="s",
        description="Reset a camera's face states when its stamps jump forward by more than this, or backward."),
    _setting("detection_interval", LIVE, unit="s",
        description="Time between two face detections; optical flow tracks the faces in between. 0 detects faces in "
        "every image."),
    _setting("smoothing_time_constant", LIVE, unit="s",
        description="Time constant of an exponential filter over valence and arousal; 0 publishes the estimates "
        "unfiltered."),
    _setting("personal_baseline", LIVE,
        description="Maximum correction for a person's resting valence, which is learned while the face is at rest. 0 "
        "disables the correction."),
    _setting("engagement_window", LIVE, unit="s",
        description="Length of the time window for `engagement`, the fraction of the window during which a face was "
        "turned to the camera."),
    ParameterSpec("debug_image", True, LIVE,
        description="Publish `~/debug_image` and its compressed form while they have subscribers."),
    ParameterSpec("annotations", False, UNCONFIGURED,
        description="Publish boxes, landmarks and values for Foxglove's image panel on `~/annotations` while it has "
        "subscribers. Requires the package foxglove_msgs."),
    ParameterSpec("no_image_timeout", 5.0, LIVE, unit="s", low=0.5, high=3600.0,
        description="Report a camera that has had no publisher or no image for longer than this."),
    ParameterSpec("latency_warning", 0.2, LIVE, unit="s", low=0.001, high=60.0,
        description="Diagnostics report WARN when the 95th percentile of the latency from receipt to publication "
        "exceeds this."),
    ParameterSpec("latency_error", 1.0, LIVE, unit="s", low=0.001, high=60.0,
        description="Diagnostics report ERROR when the 95th percentile of the latency from receipt to publication "
        "exceeds this."),
    ParameterSpec("dropped_warning", 0.5, LIVE, low=0.0, high=1.0,
        description="Diagnostics report WARN when more than this fraction of a camera's images is dropped because "
        "newer ones arrived."),
    ParameterSpec("max_consecutive_failures", 30, LIVE, unit="batches", low=0, high=100000,
        description="Stop after this many failed batches in a row: diagnostics report ERROR, and the node becomes "
        "unconfigured and can be configured again. 0 disables this limit."),
)
# fmt: on

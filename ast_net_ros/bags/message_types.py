"""Parse and define the message types that bags are read from and written with, without ROS.

The types are those of ROS 2 and of this package. A bag whose embedded definition differs is refused, because its bytes
would be misread.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE)
AFFECT = "ast_net_ros/msg/ValenceArousal"
AFFECT_ARRAY = "ast_net_ros/msg/ValenceArousalArray"
AFFECT_TYPES = (AFFECT, AFFECT_ARRAY)

_LONGEST_DEFINITION = 200_000  # characters; the longest of ROS itself, with its parts, has about 30 000
_SEPARATOR = "=" * 80 + "\n"

DEFINITIONS = {
    AFFECT: """\
std_msgs/Header header
string face_id
sensor_msgs/RegionOfInterest roi
float32 valence
float32 arousal
float32 confidence
float32[8] emotions
uint8 NEUTRAL=0
uint8 HAPPINESS=1
uint8 SURPRISE=2
uint8 SADNESS=3
uint8 ANGER=4
uint8 DISGUST=5
uint8 FEAR=6
uint8 CONTEMPT=7
float32 state_age
float32 valence_sigma
float32 arousal_sigma
float32 quality
float32 baseline
string source
float32 detection_score
float32[10] landmarks
float32 head_roll
float32 head_pitch
float32 head_yaw
float32[3] head_pose_sigma
float32 engagement
string person_id
""",
    AFFECT_ARRAY: """\
std_msgs/Header header
string source
ValenceArousal[] faces
uint32 image_width
uint32 image_height
""",
}
"""The fields of msg/*.msg, which a pip installation does not have."""


class MessageError(ValueError):
    """A message or a definition that cannot be read; the message names the type and the reason."""


@cache
def typestore() -> Any:
    """Return the rosbags typestore with the types of this package and of ROS 2, unchanged since Humble."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    for name, text in DEFINITIONS.items():
        store.register(get_types_from_msg(text, name))
    return store


def parse_message(data: bytes, name: str) -> Any:
    """Deserialize a CDR message of type `name`."""
    try:
        # A memoryview, so that an image is not copied.
        return typestore().deserialize_cdr(memoryview(data), name)
    except SerdeError as error:
        raise MessageError(str(error)) from error


def definition_fault(name: str, text: str) -> str:
    """Compare the definition of type `name` that a bag embeds with ours.

    Returns what is wrong with it although the messages can be read, empty if nothing. Raises MessageError if it defines
    other fields, so that the bytes would be misread.
    """
    if not text:
        return ""
    try:
        embedded = _parse_definition(name, text)
    except Exception as error:  # damaged text makes the parser raise more than its own errors
        return f"the embedded definition of {name} cannot be read ({type(error).__name__}); the known one is used"
    known = typestore().fielddefs
    for part, (_, fields) in embedded.items():
        if part in known and _plain(fields) != _plain(known[part][1]):
            raise MessageError(
                f"the bag defines {part} with the fields {_listed(fields)}, but {_listed(known[part][1])} were "
                "expected; it was written with another version of this message and must be converted"
            )
    return "" if name in embedded else f"the embedded definition of {name} belongs to another type; ours is used"


def full_definition(name: str) -> str:
    """Return the definition of `name` and of all types in it, as ROS 2 embeds it in bags."""
    generated, _ = typestore().generate_msgdef(name, ros_version=2)
    head, *parts = generated.split(_SEPARATOR)
    texts = [DEFINITIONS.get(name, head)]
    for part in parts:
        title, _, text = part.partition("\n")
        package, _, kind = title.removeprefix("MSG: ").partition("/")
        texts.append(f"{title}\n{DEFINITIONS.get(f'{package}/msg/{kind}', text)}")
    return _SEPARATOR.join(texts)


def _parse_definition(name: str, text: str) -> dict[str, Any]:
    if len(text) > _LONGEST_DEFINITION:
        raise ValueError("too long")
    if not text.lstrip().startswith((_SEPARATOR + "IDL: ", "module")) and "\nmodule " not in text:
        return dict(get_types_from_msg(text, name))
    types: dict[str, Any] = {}
    for section in text.split(_SEPARATOR):
        body = section.partition("\n")[2] if section.startswith("IDL: ") else section
        if body.strip():
            types.update(get_types_from_idl(body))
    return types


def _plain(fields: Any) -> list[tuple[str, Any]]:
    # An octet in IDL is a byte or uint8 in a .msg file; all have one byte.
    return [(name.lower(), _octets(kind)) for name, kind in fields]


def _octets(kind: Any) -> Any:
    if isinstance(kind, tuple):
        return tuple(_octets(part) for part in kind)
    return "uint8" if kind in ("byte", "octet", "char") else kind


def _listed(fields: Any) -> str:
    names = [name for name, _ in fields]
    return ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")

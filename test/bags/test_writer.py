"""Estimates written as a bag are read by other libraries and by the generated message class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from ast_net_ros.bags.affect_messages import read_affect_labels
from ast_net_ros.bags.message_types import AFFECT, AFFECT_ARRAY, DEFINITIONS, full_definition, typestore
from ast_net_ros.bags.recordings import open_recording
from ast_net_ros.bags.writer import FACES_TOPIC, BagWritingError, affect_bag
from ast_net_ros.face_affect import FaceAffect

MESSAGES = Path(__file__).parents[2] / "msg"
EMOTIONS = (0.1, 0.2, 0.05, 0.05, 0.3, 0.1, 0.15, 0.05)
LEFT = FaceAffect("face_1", (10.4, 20.6, 100.2, 50.5), -0.25, 0.5, 0.75, EMOTIONS, 1.5)
RIGHT = FaceAffect("face_2", (300.0, 1.0, 20.0, 30.0), 1.0, -1.0, 0.125, EMOTIONS, 0.0)
STAMPS = [1_760_000_000_123_456_789 + k * 40_000_000 for k in range(3)]


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "out" / "estimates.mcap"
    with affect_bag(path) as bag:
        for stamp_ns, faces in zip(STAMPS, ([LEFT, RIGHT], [], [LEFT])):
            bag.write(stamp_ns, "camera_optical", "/camera/image_raw", faces)
    return path


def decoded(path):
    with path.open("rb") as file:
        return list(make_reader(file, decoder_factories=[DecoderFactory()]).iter_decoded_messages())


def test_another_library_reads_the_written_messages(written):
    messages = decoded(written)
    assert [(schema.name, schema.encoding, channel.topic) for schema, channel, *_ in messages] == [
        (AFFECT_ARRAY, "ros2msg", FACES_TOPIC)
    ] * 3
    assert [message.log_time for _, _, message, _ in messages] == STAMPS
    for stamp_ns, (*_, array) in zip(STAMPS, messages):
        assert array.header.stamp.sec * 10**9 + array.header.stamp.nanosec == stamp_ns
        assert (array.header.frame_id, array.source) == ("camera_optical", "/camera/image_raw")
    faces = [array.faces for *_, array in messages]
    assert [len(one) for one in faces] == [2, 0, 1]
    face = faces[0][0]
    assert (face.face_id, face.valence, face.arousal, face.confidence, face.state_age) == (
        "face_1",
        -0.25,
        0.5,
        0.75,
        1.5,
    )
    assert list(face.emotions) == [np.float32(value) for value in EMOTIONS]
    assert (face.roi.x_offset, face.roi.y_offset, face.roi.width, face.roi.height) == (10, 21, 101, 50)
    assert face.header.stamp.nanosec == STAMPS[0] % 10**9 and face.header.frame_id == "camera_optical"
    assert (faces[0][1].valence, faces[0][1].arousal) == (1.0, -1.0)


def test_the_real_message_class_reads_what_was_written(written):
    serialization = pytest.importorskip("rclpy.serialization")
    from ast_net_ros.msg import ValenceArousalArray

    with written.open("rb") as file:
        _, _, first = next(make_reader(file).iter_messages())
    array = serialization.deserialize_message(first.data, ValenceArousalArray)
    assert array.source == "/camera/image_raw" and [face.face_id for face in array.faces] == ["face_1", "face_2"]
    assert (array.header.stamp.sec, array.header.stamp.nanosec) == divmod(STAMPS[0], 10**9)
    assert (array.faces[1].valence, array.faces[1].roi.x_offset, array.faces[1].roi.height) == (1.0, 300, 30)


def test_the_node_rounds_boxes_the_same_way(written):
    messages = pytest.importorskip("ast_net_ros.ros.conversions")
    *_, array = decoded(written)[0]
    for face, estimate in zip(array.faces, (LEFT, RIGHT)):
        roi = messages.region_of_interest(estimate.box, (640, 360))
        assert (face.roi.x_offset, face.roi.y_offset, face.roi.width, face.roi.height) == (
            roi.x_offset, roi.y_offset, roi.width, roi.height,
        )  # fmt: skip


def test_a_written_bag_can_serve_as_ground_truth(written):
    labels = read_affect_labels(written)
    assert labels.stamps_ns.tolist() == [STAMPS[0], STAMPS[0], STAMPS[2]] and labels.problems == []
    assert labels.face_ids == ["face_1", "face_2", "face_1"]
    assert labels.values.tolist() == [[-0.25, 0.5], [1.0, -1.0], [-0.25, 0.5]]


@pytest.mark.parametrize("name", [AFFECT, AFFECT_ARRAY])
def test_the_embedded_definitions_are_those_of_the_package(name):
    lines = (MESSAGES / f"{name.split('/')[-1]}.msg").read_text(encoding="utf-8").splitlines()
    assert DEFINITIONS[name].splitlines() == [line for line in lines if line.strip() and not line.startswith("#")]


def test_the_type_hash_is_the_one_that_ros_computes():
    packages = pytest.importorskip("ament_index_python.packages")
    share = Path(packages.get_package_share_directory("ast_net_ros")) / "msg" / "ValenceArousalArray.json"
    hashes = {one["type_name"]: one["hash_string"] for one in json.loads(share.read_text())["type_hashes"]}
    assert typestore().hash_rihs01(AFFECT_ARRAY) == hashes[AFFECT_ARRAY]


def test_the_full_definition_holds_all_parts_once():
    titles = [line for line in full_definition(AFFECT_ARRAY).splitlines() if line.startswith("MSG: ")]
    assert sorted(titles) == [
        "MSG: ast_net_ros/ValenceArousal",
        "MSG: builtin_interfaces/Time",
        "MSG: sensor_msgs/RegionOfInterest",
        "MSG: std_msgs/Header",
    ]


def test_a_failed_run_leaves_the_earlier_bag(written):
    before = written.read_bytes()
    with pytest.raises(RuntimeError), affect_bag(written) as bag:
        bag.write(STAMPS[0], "", "", [RIGHT])
        raise RuntimeError("stopped")
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == ["estimates.mcap"]
    with affect_bag(written) as bag:
        bag.write(STAMPS[0], "", "", [RIGHT])
    assert len(decoded(written)) == 1 and len(list(written.parent.iterdir())) == 1


@pytest.mark.parametrize("name", ["estimates.bag", "...mcap", "folder"])
def test_a_name_that_is_no_mcap_file_is_refused(tmp_path, name):
    (tmp_path / "inner" / "folder").mkdir(parents=True)
    with pytest.raises(BagWritingError, match="must end in"), affect_bag(tmp_path / "inner" / name):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]


@pytest.mark.parametrize(
    ("stamp_ns", "valence", "what"), [(-1, 0.0, "stamp -1"), (2**63, 0.0, "stamp"), (0, float("nan"), "not finite")]
)
def test_values_that_no_message_can_hold_are_refused(tmp_path, stamp_ns, valence, what):
    face = FaceAffect("face_1", (0.0, 0.0, 1.0, 1.0), valence, 0.0, 0.5, EMOTIONS, 0.0)
    with pytest.raises(BagWritingError, match=what), affect_bag(tmp_path / "x.mcap") as bag:
        bag.write(stamp_ns, "", "", [face])
    assert list(tmp_path.iterdir()) == []


def test_a_bag_of_estimates_has_no_image_topic(written):
    with pytest.raises(ValueError, match="no image topic"):
        open_recording(written)

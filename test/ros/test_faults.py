"""Robustness, with real processes: signals during startup, errors inside, stepped clocks, suspension, full disks.

Most tests share one node; `working_node` restores it before each of them.
"""

from __future__ import annotations

import resource
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from ament_index_python.packages import get_package_prefix
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ast_net_ros.msg import ValenceArousal, ValenceArousalArray
from ast_net_ros.ros import diagnostics_keys as keys
from ast_net_ros.ros.conversions import image_message, nanoseconds, time_message
from ast_net_ros.ros.runtime.transports import BUILTIN_TRANSPORTS, PROFILE_VARIABLES

HERE = Path(__file__).parent
ESTIMATION = keys.estimation_status("ast_net")
FAILURE_LIMIT = 6
RESUMES_WITHIN = 30.0  # seconds from the start of a new process to its first estimate, on a machine under load
MOST_STALE = 3  # images that may be answered late after a standstill: in work, in the slot, in the middleware


@pytest.fixture(scope="module")
def fault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fault") / "fault"


@pytest.fixture(scope="module")
def node(client: Any, start_for_module: Any, fault: Path) -> Any:
    """A node with an error inside on demand."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AST_NET_TEST_FAULT", str(fault))
        parameters = ("-p", f"max_consecutive_failures:={FAILURE_LIMIT}", "-p", "device:=cpu")
        executable = start_for_module(str(HERE / "faulty_node.py"), "--ros-args", *parameters)
    executable.said("waiting for images")
    return executable


@pytest.fixture(autouse=True)
def working_node(request: pytest.FixtureRequest, fault: Path) -> None:
    """Repair the shared node, whatever the test before has left."""
    fault.unlink(missing_ok=True)
    if "node" not in request.fixturenames:
        return
    client = request.getfixturevalue("client")
    reconfigure(client, "best_effort")


def reconfigure(client: Any, reliability: str) -> None:
    """Make the node active with this qos_reliability."""
    if client.state() == "active":
        assert client.transition(Transition.TRANSITION_DEACTIVATE)
    if client.state() == "inactive":
        assert client.transition(Transition.TRANSITION_CLEANUP)
    assert client.set_parameter("qos_reliability", reliability).successful
    assert client.transition(Transition.TRANSITION_CONFIGURE) and client.transition(Transition.TRANSITION_ACTIVATE)


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A file with the step of a process's wall clock in nanoseconds, and the environment that makes it effective."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler, to give the node a clock of its own")
    step, library, profile = tmp_path / "step", tmp_path / "clock_step.so", tmp_path / "udp.xml"
    step.write_bytes(struct.pack("q", 0))
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, HERE / "clock_step.c", "-ldl"], check=True)
    # Both sides of a shared memory transport compare wall clocks, and real processes of one machine have one clock.
    profile.write_text('<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"></profiles>')
    environment = {
        "CLOCK_STEP_FILE": str(step),
        "LD_PRELOAD": str(library),
        BUILTIN_TRANSPORTS: "UDPv4?sockets_size=8MB",
        **dict.fromkeys(PROFILE_VARIABLES, str(profile)),
    }
    yield step, environment


@pytest.fixture
def sender(client: Any, face_frames: list[np.ndarray]) -> Iterator[Any]:
    """A camera in this process: `sender(20.0)` publishes images at this rate, stamped with the time, until the end."""
    stopped = threading.Event()
    threads = []
    publishers = []

    def send(rate: float, publisher: Any) -> None:
        frame = 0
        while not stopped.wait(1 / rate):
            frame += 1
            header = Header(stamp=time_message(time.time_ns()), frame_id="camera")
            publisher.publish(image_message(header, face_frames[frame % len(face_frames)]))

    def begin(rate: float, topic: str = "image") -> None:
        publishers.append(client.create_publisher(Image, topic, 1))
        threads.append(threading.Thread(target=send, args=(rate, publishers[-1])))
        threads[-1].start()

    yield begin
    stopped.set()
    for thread in threads:
        thread.join()
    for publisher in publishers:
        client.destroy_publisher(publisher)


def _status(client: Any, wait_until: Any) -> tuple[Any, str, dict[str, str]]:
    """Level, sentence, and values of the estimation's next diagnostics."""
    client.diagnostics.pop(ESTIMATION, None)
    wait_until(lambda: client.diagnostics.get(ESTIMATION), "diagnostics of the estimation")
    return client.levels[ESTIMATION], client.sentences[ESTIMATION], client.diagnostics[ESTIMATION]


def _publish_until(client: Any, image: np.ndarray, condition: Any, what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"not {what}"
        client.images.publish(image_message(Header(stamp=time_message(client.next_stamp())), image))
        time.sleep(0.1)


def _fates(counts: dict[str, str]) -> int:
    keys = ("processed", "dropped, newer image arrived", "dropped, bad image", "dropped, estimation failed")
    return sum(int(counts[key]) for key in keys)


# Errors inside


def test_a_failed_batch_is_counted_and_the_next_processed(
    client: Any, node: Any, fault: Path, face_frames: list[np.ndarray], wait_until: Any
) -> None:
    known = client.show(face_frames[0]).faces[0]
    fault.write_text("raise")
    for _ in range(FAILURE_LIMIT - 2):
        before = int(client.camera()["dropped, estimation failed"])
        client.images.publish(image_message(Header(stamp=time_message(client.next_stamp())), face_frames[1]))
        if int(client.camera()["dropped, estimation failed"]) > before:
            break
    level, sentence, _ = _status(client, wait_until)
    assert level == DiagnosticStatus.ERROR and "RuntimeError: the injected fault" in sentence
    fault.unlink()
    again = client.show(face_frames[2]).faces[0]
    assert again.face_id == known.face_id, "one lost image ends no track"
    assert client.state() == "active"
    assert _status(client, wait_until)[0] != DiagnosticStatus.ERROR
    counts = client.camera()
    assert int(counts["dropped, estimation failed"]) >= 1
    assert int(counts["received"]) == _fates(counts), "every image has one fate"


def test_an_estimate_that_is_not_finite_resets_the_state(
    client: Any, node: Any, fault: Path, face_frames: list[np.ndarray]
) -> None:
    client.show(face_frames[0])
    fault.write_text("nan")
    assert client.show(face_frames[1]).faces == []
    fault.unlink()
    face = client.show(face_frames[2]).faces[0]
    assert face.state_age == 0 and np.isfinite([face.valence, face.arousal]).all()


def test_a_batch_too_large_for_the_device_is_split(
    client: Any, node: Any, fault: Path, media: Path, wait_until: Any
) -> None:
    import cv2

    group = cv2.imread(str(media / "multi_face.jpg"))
    faces = client.show(group, step=100.0).faces
    assert len(faces) >= 3
    fault.write_text("memory")
    again = client.show(group).faces
    assert [face.face_id for face in again] == [face.face_id for face in faces]
    assert np.allclose([f.valence for f in again], [f.valence for f in faces], atol=0.05)
    _, _, values = _status(client, wait_until)
    assert int(values["batches split for lack of memory"]) >= 2
    assert "has no memory for a batch" in node.log


def test_many_failures_in_a_row_unconfigure_the_node(
    client: Any, node: Any, fault: Path, face_frames: list[np.ndarray], wait_until: Any
) -> None:
    client.show(face_frames[0], step=100.0)
    fault.write_text("raise")
    _publish_until(client, face_frames[1], lambda: "gave up after" in node.log, "given up")
    wait_until(lambda: client.state() == "unconfigured", "unconfigured")
    level, sentence, values = _status(client, wait_until)
    assert level == DiagnosticStatus.ERROR and values["state"] == "unconfigured"
    assert f"gave up after {FAILURE_LIMIT} failed batches in a row: RuntimeError: the injected fault" in sentence
    wait_until(lambda: client.count_subscribers("image") == 0, "images refused")
    assert not client.transition(Transition.TRANSITION_CONFIGURE), "the fault is still there"
    assert client.state() == "unconfigured"
    fault.unlink()
    assert client.transition(Transition.TRANSITION_CONFIGURE) and client.transition(Transition.TRANSITION_ACTIVATE)
    assert len(client.show(face_frames[2]).faces) == 1
    assert _status(client, wait_until)[0] != DiagnosticStatus.ERROR
    assert node.process.poll() is None and "Traceback" not in node.log


def test_overload_queues_no_images_and_counts_all(
    client: Any, node: Any, fault: Path, face_frames: list[np.ndarray], wait_until: Any
) -> None:
    client.show(face_frames[0])
    fault.write_text("slow")  # 20 images per second at most
    before, first = client.camera(), len(client.faces)
    messages = [image_message(Header(stamp=time_message(client.next_stamp())), face_frames[i % 30]) for i in range(100)]
    for message in messages:
        client.images.publish(message)
        time.sleep(0.01)
    at_end = len(client.faces)
    newest = nanoseconds(messages[-10].header.stamp)
    wait_until(lambda: nanoseconds(client.faces[-1].header.stamp) >= newest, "the newest images processed")
    after = client.camera()
    stamps = [nanoseconds(answer.header.stamp) for answer in client.faces[first:]]
    started_at = {key: int(value) if value.isdigit() else 0 for key, value in before.items()}
    counts = {key: int(value) - started_at[key] for key, value in after.items() if value.isdigit()}
    assert stamps == sorted(stamps), "an old image was processed after a newer one"
    # One in work, one in the slot, one in the middleware, and those on their way to this test.
    assert len(client.faces) - at_end <= 6, "images queued up"
    assert 0 < counts[keys.PROCESSED] < len(messages)
    assert counts[keys.RECEIVED] == counts[keys.PROCESSED] + counts[keys.DROPPED_LATE]
    assert counts[keys.RECEIVED] + counts.get(keys.LOST, 0) <= len(messages)


# The environment


def test_wall_clock_steps_affect_neither_states_nor_timers(
    client: Any, start: Any, clock: Any, face_frames: list[np.ndarray], wait_until: Any, monkeypatch: Any
) -> None:
    step, environment = clock
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    executable = start("ast_net_node", "--ros-args", "-r", "__node:=stepped", "-r", "image:=stepped")
    executable.said("waiting for images")
    answers: list[Any] = []
    subscription = client.create_subscription(ValenceArousalArray, "stepped/faces", answers.append, 10)
    publisher = client.create_publisher(Image, "stepped", 1)

    def show(image: np.ndarray) -> Any:
        header = Header(stamp=time_message(client.next_stamp(0.2)))
        message, seen = image_message(header, image), len(answers)

        def answered() -> bool:
            publisher.publish(message)
            time.sleep(0.1)
            return len(answers) > seen

        wait_until(answered, "an answer")
        return answers[-1].faces[0]

    first = show(face_frames[0])
    for hours in (3, -5):
        step.write_bytes(struct.pack("q", hours * 3600 * 10**9))
        client.diagnostics.pop("stepped: estimation", None)
        face = show(face_frames[1])
        wait_until(lambda: client.diagnostics.get("stepped: estimation"), "diagnostics after the step", 8.0)
        assert face.face_id == first.face_id, "only the images' stamps advance the state"
    assert face.state_age == pytest.approx(0.4, abs=0.01)
    assert client.diagnostics["stepped: camera /stepped"][keys.STAMPS_BACK] == "0"
    client.destroy_subscription(subscription)
    client.destroy_publisher(publisher)


def _assert_no_burst_after_suspension(client: Any, process: subprocess.Popen[str]) -> None:
    """Suspend a process for two seconds: apart from a few images, only new ones are answered, each once."""
    process.send_signal(signal.SIGSTOP)
    time.sleep(2.0)
    begin, resumed = len(client.faces), time.time_ns()
    process.send_signal(signal.SIGCONT)
    time.sleep(1.5)
    stamps = [nanoseconds(answer.header.stamp) for answer in client.faces[begin:]]
    stale = [stamp for stamp in stamps if stamp < resumed - 250_000_000]
    assert len(stale) <= MOST_STALE, f"{len(stale)} of {len(stamps)} answers were stale"
    assert stamps[-1] > resumed and stamps == sorted(set(stamps))


def test_a_suspended_node_answers_no_stale_images(client: Any, node: Any, sender: Any) -> None:
    sender(25.0)
    time.sleep(1.0)
    _assert_no_burst_after_suspension(client, node.process)


def test_a_suspended_camera_sends_no_stale_images(
    client: Any, node: Any, start: Any, media: Path, wait_until: Any
) -> None:
    begin = len(client.faces)
    camera = start("replay", str(media / "single_face.mp4"), "--loop", "--wait-for-subscriber")
    wait_until(lambda: len(client.faces) > begin + 5, "answers")
    _assert_no_burst_after_suspension(client, camera.process)


def test_a_suspended_subscriber_delays_nobody(client: Any, node: Any, start: Any, sender: Any, wait_until: Any) -> None:
    """A reliable subscriber whose participant is lost without a word."""
    consumer = start("behavior_example")
    wait_until(lambda: client.count_subscribers("ast_net/faces") >= 2, "the second consumer")
    sender(15.0)
    time.sleep(0.5)
    begin = len(client.faces)
    began = time.monotonic()
    moments: list[float] = []
    consumer.process.send_signal(signal.SIGSTOP)
    while time.monotonic() - began < 3.0:
        if len(client.faces) > begin:
            begin = len(client.faces)
            moments.append(time.monotonic())
        if time.monotonic() - began > 1.5:
            consumer.process.kill()
        time.sleep(0.005)
    assert len(moments) > 5 and np.diff(moments).max() < 1.0


def test_a_publisher_with_incompatible_qos_is_reported(
    client: Any, node: Any, face_frames: list[np.ndarray], wait_until: Any
) -> None:
    """The node wants reliable images; a camera that offers best effort comes in the place of one that offered more."""
    reconfigure(client, "reliable")
    assert len(client.show(face_frames[0], step=100.0).faces) == 1
    weak = client.create_publisher(Image, "image", QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT))
    camera = "ast_net: camera /image"
    wait_until(lambda: "offers best effort, requested reliable" in client.sentences.get(camera, ""), "reported")
    assert client.levels[camera] == DiagnosticStatus.WARN
    assert len(client.show(face_frames[1]).faces) == 1, "the fitting publisher is still heard"
    client.destroy_publisher(weak)
    wait_until(lambda: "offers best effort" not in client.sentences[camera], "no longer reported")


def test_a_full_disk_ends_replay_with_the_reason(start: Any, media: Path) -> None:
    replay = start("replay", str(media / "single_face.mp4"), "--frames", "3", "--stamps", "/dev/full")
    assert replay.process.wait(60) == 1
    assert "error: " in replay.log and "No space left on device" in replay.log
    assert "Traceback" not in replay.log and "Exception" not in replay.log


def test_a_full_disk_leaves_no_partial_result(media: Path, tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))

    command = ["ast_net", "annotate", str(media / "single_face.mp4"), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, preexec_fn=small_files, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "error" in done.stderr.lower() and "File too large" in done.stderr and "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*")), "the folder stays as it was"


# Startup and end


def _own_segments(process_id: int) -> set[str]:
    """Shared memory that a process has open, without the ports of the middleware, which are everybody's."""
    lines = Path(f"/proc/{process_id}/maps").read_text().splitlines()
    names = {line.split("/dev/shm/")[1].split()[0] for line in lines if "/dev/shm/" in line}
    return {name for name in names if name.startswith("fastrtps_") and "port" not in name}


def test_a_killed_node_is_replaced_within_seconds(client: Any, start: Any, sender: Any, wait_until: Any) -> None:
    """Also where its log has no space; and the new one leaves nothing behind when it ends."""
    primary: list[Any] = []
    subscription = client.create_subscription(ValenceArousal, "kill/ast_net/valence_arousal", primary.append, 100)
    arguments = ("--ros-args", "-r", "__ns:=/kill")
    killed = start("ast_net_node", *arguments)
    sender(10.0, "kill/image")
    wait_until(lambda: primary, "an estimate before the kill")
    killed.process.kill()
    killed.process.wait()
    old = primary[-1].face_id.rsplit("_", 1)[0]
    path = Path(get_package_prefix("ast_net_ros")) / "lib" / "ast_net_ros" / "ast_net_node"
    before = {path.name for path in Path("/dev/shm").iterdir()}
    started = time.monotonic()
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen([sys.executable, str(path), *arguments], stdout=full, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: primary[-1].face_id.rsplit("_", 1)[0] != old, "estimates of the new node")
        took = time.monotonic() - started
        print(f"resumed {took:.2f} s after its start")
        assert took < RESUMES_WITHIN
        segments = _own_segments(process.pid) - before  # it reads those of its neighbours too
        children = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        left = {name for name in segments if (Path("/dev/shm") / name).exists()}
        assert not children and not left, f"left behind: {left}"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        client.destroy_subscription(subscription)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_startup_ends_the_node_in_order(start: Any, number: int) -> None:
    node = start("ast_net_node")
    maps = Path(f"/proc/{node.process.pid}/maps")
    deadline = time.monotonic() + 30
    while "libtorch" not in maps.read_text() and "_multiarray" not in maps.read_text():  # it imports its libraries
        assert time.monotonic() < deadline and node.process.poll() is None
        time.sleep(0.01)
    assert node.end(number) == 0
    assert "Traceback" not in node.log

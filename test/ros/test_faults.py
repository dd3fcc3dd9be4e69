"""What the node withstands, with real processes: signals at bad moments, errors inside, clocks that step, full disks.

The tests of this file share one node and run in order: the last of them kills it and starts another.
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
import pytest
from ament_index_python.packages import get_package_prefix
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ast_net_ros.ros.conversions import image_message, nanoseconds, time_message

HERE = Path(__file__).parent
ESTIMATION = "ast_net: estimation"
FAILURE_LIMIT = 6
RESUMES_WITHIN = 30.0  # seconds from the start of a new process to its first estimate, on a machine under load
MOST_STALE = 3  # images that may be answered late after a standstill: in work, in the slot, in the middleware


@pytest.fixture(scope="module")
def fault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fault") / "fault"


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with the step of the node's wall clock, in nanoseconds."""
    path = tmp_path_factory.mktemp("clock") / "step"
    path.write_bytes(struct.pack("q", 0))
    return path


@pytest.fixture(scope="module")
def node(client: Any, start_for_module: Any, fault: Path, clock: Path) -> Any:
    """The node with an error inside at will, and a wall clock of its own where a C compiler is at hand."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AST_NET_TEST_FAULT", str(fault))
        library = _clock_library(clock.parent)
        if library is not None:
            environment.setenv("CLOCK_STEP_FILE", str(clock))
            environment.setenv("LD_PRELOAD", str(library))
            # Shared memory bears moments of the wall clock that both sides compare; one kernel has but one clock.
            environment.setenv("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4?sockets_size=8MB")
        parameters = ("-p", f"max_consecutive_failures:={FAILURE_LIMIT}", "-p", "autostart:=true", "-p", "device:=cpu")
        executable = start_for_module(str(HERE / "faulty_node.py"), "--ros-args", *parameters)
    executable.said("waiting for images")
    return executable


def _clock_library(folder: Path) -> Path | None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = folder / "clock_step.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, HERE / "clock_step.c", "-ldl"], check=True)
    return library


@pytest.fixture(autouse=True)
def sound(fault: Path) -> Iterator[None]:
    yield
    fault.unlink(missing_ok=True)


@pytest.fixture
def sender(client: Any, face_frames: list[np.ndarray]) -> Iterator[Any]:
    """A camera in this process: `sender(20.0)` sends so many images a second, stamped with the time, until the end."""
    stopped = threading.Event()
    threads = []

    def send(rate: float) -> None:
        frame = 0
        while not stopped.wait(1 / rate):
            frame += 1
            header = Header(stamp=time_message(time.time_ns()), frame_id="camera")
            client.images.publish(image_message(header, face_frames[frame % len(face_frames)]))

    def begin(rate: float) -> None:
        threads.append(threading.Thread(target=send, args=(rate,)))
        threads[-1].start()

    yield begin
    stopped.set()
    for thread in threads:
        thread.join()


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


def test_a_batch_that_fails_is_counted_and_the_next_goes_on(
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
    assert _status(client, wait_until)[0] == DiagnosticStatus.OK
    counts = client.camera()
    assert int(counts["dropped, estimation failed"]) >= 1
    assert int(counts["received"]) == _fates(counts), "every image has one fate"


def test_an_estimate_that_is_no_number_leaves_nothing_behind(
    client: Any, node: Any, fault: Path, face_frames: list[np.ndarray]
) -> None:
    client.show(face_frames[0])
    fault.write_text("nan")
    assert client.show(face_frames[1]).faces == []
    fault.unlink()
    face = client.show(face_frames[2]).faces[0]
    assert face.state_age == 0 and np.isfinite([face.valence, face.arousal]).all()


def test_a_device_without_room_for_all_faces_gets_them_in_halves(
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


def test_after_many_failures_in_a_row_the_node_gives_up_and_can_be_configured_again(
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
    level, sentence, _ = _status(client, wait_until)
    assert (level, sentence) == (DiagnosticStatus.OK, "active")
    assert node.process.poll() is None and "Traceback" not in node.log


# The world outside


def test_steps_of_the_wall_clock_disturb_neither_states_nor_diagnostics(
    client: Any, node: Any, clock: Path, face_frames: list[np.ndarray], wait_until: Any
) -> None:
    if "LD_PRELOAD" not in Path(f"/proc/{node.process.pid}/environ").read_text():
        pytest.skip("needs a C compiler, to give the node a clock of its own")
    first = client.show(face_frames[0], step=100.0).faces[0]
    for hours in (3, -5):
        clock.write_bytes(struct.pack("q", hours * 3600 * 10**9))
        began = time.monotonic()
        face = client.show(face_frames[1], step=0.2).faces[0]
        _status(client, wait_until)
        assert face.face_id == first.face_id, "only the images' stamps drive the state"
        assert time.monotonic() - began < 8.0, "timers must not wait for a wall clock"
        assert client.camera()["stamps that went back"] == "0"
    assert face.state_age == pytest.approx(0.4, abs=0.01)
    clock.write_bytes(struct.pack("q", 0))


def _assert_no_burst_after_standing_still(client: Any, process: subprocess.Popen[str]) -> None:
    """Let a process stand still for two seconds: what is answered then is new but for a few images, each once."""
    process.send_signal(signal.SIGSTOP)
    time.sleep(2.0)
    begin, resumed = len(client.faces), time.time_ns()
    process.send_signal(signal.SIGCONT)
    time.sleep(1.5)
    stamps = [nanoseconds(answer.header.stamp) for answer in client.faces[begin:]]
    stale = [stamp for stamp in stamps if stamp < resumed - 250_000_000]
    assert len(stale) <= MOST_STALE, f"{len(stale)} of {len(stamps)} answers were stale"
    assert stamps[-1] > resumed and stamps == sorted(set(stamps))


def test_a_node_that_stood_still_answers_no_burst_of_stale_images(client: Any, node: Any, sender: Any) -> None:
    sender(25.0)
    time.sleep(1.0)
    _assert_no_burst_after_standing_still(client, node.process)


def test_a_camera_that_stood_still_is_answered_without_a_burst(
    client: Any, node: Any, start: Any, media: Path, wait_until: Any
) -> None:
    begin = len(client.faces)
    camera = start("replay", str(media / "single_face.mp4"), "--loop", "--wait-for-subscriber")
    wait_until(lambda: len(client.faces) > begin + 5, "answers")
    _assert_no_burst_after_standing_still(client, camera.process)


def test_a_consumer_that_stands_still_and_dies_holds_up_nobody(
    client: Any, node: Any, start: Any, sender: Any, wait_until: Any
) -> None:
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


def test_a_publisher_that_returns_with_another_qos_is_named_and_forgiven(
    client: Any, node: Any, face_frames: list[np.ndarray], wait_until: Any
) -> None:
    """The node wants reliable images; a camera that offers best effort comes in the place of one that offered more."""
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
        assert client.transition(transition)
    assert client.set_parameter("qos_reliability", "reliable").successful
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert client.transition(transition)
    assert len(client.show(face_frames[0], step=100.0).faces) == 1
    weak = client.create_publisher(Image, "image", QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT))
    camera = "ast_net: camera /image"
    wait_until(lambda: "offers best effort, requested reliable" in client.sentences.get(camera, ""), "named")
    assert client.levels[camera] == DiagnosticStatus.WARN
    assert len(client.show(face_frames[1]).faces) == 1, "the fitting publisher is still heard"
    client.destroy_publisher(weak)
    wait_until(lambda: "offers best effort" not in client.sentences[camera], "forgiven")


def test_a_full_disk_ends_a_recording_with_its_reason(start: Any, media: Path) -> None:
    replay = start("replay", str(media / "single_face.mp4"), "--frames", "3", "--stamps", "/dev/full")
    assert replay.process.wait(60) == 1
    assert "error: " in replay.log and "No space left on device" in replay.log
    assert "Traceback" not in replay.log and "Exception" not in replay.log


def test_estimates_that_no_longer_fit_on_the_disk_leave_no_half_result(media: Path, tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))

    command = ["ast_net", "annotate", str(media / "single_face.mp4"), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, preexec_fn=small_files, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "error" in done.stderr.lower() and "File too large" in done.stderr and "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*")), "the folder stays as it was"


# Ends and beginnings


def _own_segments(process_id: int) -> set[str]:
    """Shared memory that a process has open, without the ports of the middleware, which are everybody's."""
    lines = Path(f"/proc/{process_id}/maps").read_text().splitlines()
    names = {line.split("/dev/shm/")[1].split()[0] for line in lines if "/dev/shm/" in line}
    return {name for name in names if name.startswith("fastrtps_") and "port" not in name}


def test_a_killed_node_is_replaced_within_seconds_also_where_its_log_has_no_room(
    client: Any, node: Any, sender: Any, wait_until: Any
) -> None:
    """And the one in its place leaves nothing behind when it is asked to end."""
    sender(10.0)
    seen = len(client.primary)
    wait_until(lambda: len(client.primary) > seen, "an estimate before the kill")
    node.process.kill()
    node.process.wait()
    old = client.primary[-1].face_id.rsplit("_", 1)[0]
    path = Path(get_package_prefix("ast_net_ros")) / "lib" / "ast_net_ros" / "ast_net_node"
    before = {path.name for path in Path("/dev/shm").iterdir()}
    began = time.monotonic()
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen([sys.executable, str(path)], stdout=full, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: client.primary[-1].face_id.rsplit("_", 1)[0] != old, "estimates of the new node")
        took = time.monotonic() - began
        print(f"resumed {took:.2f} s after its start")
        assert took < RESUMES_WITHIN
        segments = _own_segments(process.pid) - before  # it reads those of its neighbours too
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        left = {name for name in segments if (Path("/dev/shm") / name).exists()}
        assert children == "" and not left, f"left behind: {left}"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_the_start_ends_it_in_order(start: Any, number: int) -> None:
    node = start("ast_net_node")
    maps = Path(f"/proc/{node.process.pid}/maps")
    deadline = time.monotonic() + 30
    while "libtorch" not in maps.read_text() and "_multiarray" not in maps.read_text():  # it imports its libraries
        assert time.monotonic() < deadline and node.process.poll() is None
        time.sleep(0.01)
    assert node.end(number) == 0
    assert "Traceback" not in node.log

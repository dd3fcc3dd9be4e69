"""Live mode: a recording played in real time to a real node, with real processes over DDS."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ast_net_ros.evaluation.estimates import read_estimates
from ast_net_ros.evaluation.live import LiveError, LiveOptions, node_parameters, record_live
from ast_net_ros.evaluation.recording_result import NOT_PROCESSED, read_recording
from ast_net_ros.ros.conversions import NANOSECONDS
from ast_net_ros.ros.replay.live_metrics import SentImage, live_metrics
from ast_net_ros.ros.replay.live_playback import MAX_STAMP_STEP, RunStamps

MILLISECOND = 1_000_000


def sent_images(moments_ms: list[float], loop: int = 0) -> list[SentImage]:
    first = 1000 * (loop + 1)
    return [SentImage(loop, n, first + n, round(m * MILLISECOND), False) for n, m in enumerate(moments_ms)]


def test_metrics_equal_those_computed_by_hand() -> None:
    sent = sent_images([0, 100, 200, 300, 400])
    received = {1000: 10, 1001: 130, 1002: 220, 1004: 460}
    metrics = live_metrics(sent, {stamp: moment * MILLISECOND for stamp, moment in received.items()})
    assert (metrics["frames_sent"], metrics["frames_answered"]) == (5, 4)
    assert metrics["frames_dropped"] == 1 and metrics["dropped_share"] == 0.2
    assert metrics["input_rate"] == 10.0
    assert metrics["output_rate"] == pytest.approx(3 / 0.45, abs=1e-3)
    latency = metrics["latency_ms"]
    assert (latency["first"], latency["last"], latency["min"], latency["max"]) == (10, 60, 10, 60)
    assert latency["median"] == 25 and latency["mean"] == 30
    assert latency["p95"] == pytest.approx(np.percentile([10, 30, 20, 60], 95))
    # Between the answers lie 120, 90 and 240 ms, which differ by 30 and 150.
    assert metrics["jitter_ms"] == {"mean": 90, "max": 150, "min": 30, "std": 60}
    assert metrics["first_sent_to_first_received_ms"] == 10 and metrics["last_sent_to_last_received_ms"] == 60


def test_a_run_without_answers_drops_everything() -> None:
    metrics = live_metrics(sent_images([0, 100, 200]), {})
    assert metrics["frames_dropped"] == 3 and metrics["dropped_share"] == 1.0
    assert metrics["output_rate"] is None and set(metrics["latency_ms"].values()) == {None}
    json.dumps(metrics, allow_nan=False)


def test_every_loop_is_accounted_for() -> None:
    sent = sent_images([0, 100]) + sent_images([200, 300], loop=1)
    metrics = live_metrics(sent, {1000: 20 * MILLISECOND, 1001: 140 * MILLISECOND, 2001: 350 * MILLISECOND})
    assert metrics["each_loop"] == [
        {"sent": 2, "answered": 2, "dropped": 0, "latency_median_ms": 30},
        {"sent": 2, "answered": 1, "dropped": 1, "latency_median_ms": 50},
    ]


def test_stamps_are_unique_and_keep_their_intervals() -> None:
    recorded = [5, 5, 105, 55, 205]  # twice the same, and one out of order
    stamps = RunStamps(base_ns=10_000)
    runs = []
    for _ in range(3):
        stamps.begin_loop()
        runs.append([stamps.next(stamp) for stamp in recorded])
    assert runs[0] == [10_000, 10_001, 10_100, 10_050, 10_200]
    assert len({stamp for run in runs for stamp in run}) == 15
    assert np.abs(np.array(runs) - runs[0]).max() < 10, "nanoseconds"
    assert runs[1][0] < runs[0][-1], "a loop begins by going back, so that the node resets its states"


def test_stamps_of_a_camera_whose_clock_was_set_stay_in_range() -> None:
    today, base = 1_800_000_000 * NANOSECONDS, 1_800_000_500 * NANOSECONDS
    stamps = RunStamps(base)
    given = [stamps.next(stamp) for stamp in (0, NANOSECONDS, today, 5, today)]
    assert np.diff(given).tolist() == [NANOSECONDS, MAX_STAMP_STEP, 1 - MAX_STAMP_STEP, MAX_STAMP_STEP]
    assert all(0 < stamp < 2**31 * NANOSECONDS for stamp in given)


def test_text_parameters_stay_text() -> None:
    assert node_parameters({"max_faces": 2, "debug_image": False, "weights": "1"}) == (
        "-p", "max_faces:=2", "-p", "debug_image:=false", "-p", 'weights:="1"',
    )  # fmt: skip


@pytest.fixture(scope="module")
def face_bag(bags: Any, media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of a face, 30 per second."""
    bag: Path = bags.video_bag(tmp_path_factory.mktemp("bag") / "face", media / "single_face.mp4", frames=12)
    return bag


@pytest.fixture(scope="module")
def unhurried(face_bag: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that any machine can handle: 6 images per second, played twice."""
    folder = tmp_path_factory.mktemp("unhurried") / "face"
    record_live(face_bag, folder, LiveOptions(rate=0.2, loops=2, name="face", key="k"))
    return folder


def test_a_fast_enough_machine_drops_nothing(unhurried: Path) -> None:
    live = read_recording(unhurried).about["live"]
    assert (live["frames_sent"], live["frames_answered"], live["frames_dropped"]) == (24, 24, 0)
    assert [loop["dropped"] for loop in live["each_loop"]] == [0, 0]
    assert live["input_rate"] == pytest.approx(6, rel=0.2) and live["output_rate"] == pytest.approx(6, rel=0.2)
    latency = live["latency_ms"]
    assert 0 < latency["min"] <= latency["median"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    node = live["node"]
    assert (node["received"], node["processed"], node["dropped, newer image arrived"]) == (24, 24, 0)
    assert len(node["weights SHA-256"]) == 64


def test_dropped_images_are_counted(face_bag: Path, tmp_path: Path) -> None:
    about = record_live(face_bag, tmp_path / "face", LiveOptions(rate=50.0, node_arguments=("-p", "max_faces:=1")))
    live, result = about["live"], read_recording(tmp_path / "face")
    assert live["frames_sent"] == 12 and live["frames_dropped"] > 3
    assert live["frames_answered"] + live["frames_dropped"] == 12
    assert (result.faces == NOT_PROCESSED).sum() == live["frames_dropped"]
    node = live["node"]
    assert node["processed"] == live["frames_answered"]
    assert about["settings"]["node_arguments"] == ["-p", "max_faces:=1"]


def test_live_rows_equal_offline_rows_without_drops(unhurried: Path, face_bag: Path) -> None:
    from ast_net_ros.bags.recordings import open_recording
    from ast_net_ros.pipeline import AffectPipeline, primary_face

    result, pipeline = read_recording(unhurried), AffectPipeline()
    assert (result.name, result.mode, result.topic, result.about["key"]) == ("face", "live", "/camera/image_raw", "k")
    with open_recording(face_bag) as recording:
        frames = list(recording.frames())
    assert result.stamps_ns.tolist() == [frame.stamp_ns for frame in frames], "the recording's own"
    faces = [pipeline.process(f.image, (f.stamp_ns - frames[0].stamp_ns) / NANOSECONDS) for f in frames]
    assert result.faces.tolist() == [len(found) for found in faces] and result.faces.max() == 1
    offline = np.array([[face.valence, face.arousal] for found in faces if (face := primary_face(found))])
    assert result.predicted == pytest.approx(offline, abs=1e-4)
    rows = read_estimates(unhurried / "estimates.csv")
    assert [row.frame for row in rows] == list(range(12)) and {row.face.face_id for row in rows} == {"face_1"}
    assert rows[-1].time == pytest.approx((frames[-1].stamp_ns - frames[0].stamp_ns) / NANOSECONDS, abs=1e-6)


def test_a_node_that_fails_to_start_leaves_no_results(face_bag: Path, tmp_path: Path) -> None:
    options = LiveOptions(node_arguments=node_parameters({"device": "abacus"}))
    with pytest.raises(LiveError, match="ast_net_node exited with code 1 during startup; its log ends:") as error:
        record_live(face_bag, tmp_path / "face", options)
    assert "abacus" in str(error.value) and "Traceback" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_node_ends_with_the_run_whatever_ends_it(
    face_bag: Path, tmp_path: Path, number: int, wait_until: Any
) -> None:
    program = (
        "from pathlib import Path; from ast_net_ros.evaluation.live import *; "
        f"record_live(Path({str(face_bag)!r}), Path({str(tmp_path / 'face')!r}), LiveOptions(rate=0.01))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.DEVNULL)
    family = wait_until(lambda: len(found := descendants(process.pid)) == 2 and found, "a player and its node")
    time.sleep(0.5)
    process.send_signal(number)
    process.wait(60)
    wait_until(lambda: not any(map(alive, family)), "the end of player and node")
    assert not (tmp_path / "face").exists()


def descendants(pid: int) -> list[int]:
    """The processes that `pid` started, and those that they started."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    children = [int(child) for child in path.read_text().split()] if path.exists() else []
    return children + [grandchild for child in children for grandchild in descendants(child)]


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False

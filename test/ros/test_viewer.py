"""`viewer` as a process: its recording contains what a real node publishes about a real video."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.ros.conversions import nanoseconds
from ast_net_ros.ros.viewer.rerun_log import TIMELINE, RerunLog, load_rerun
from ast_net_ros.ros.viewer.rerun_process import ViewerError, rerun_executable
from ast_net_ros.ros.viewer.viewer import main, scaled_down

pytest.importorskip("rerun", reason="rerun-sdk is not installed: tools/setup/setup.sh viewer")

Rows = dict[str, dict[str, list[tuple[int, Any]]]]


def read(path: Path) -> Rows:
    """What a recording holds: entity -> component -> (stamp in nanoseconds, value) in order."""
    from rerun.chunk import RrdReader

    found: Rows = defaultdict(lambda: defaultdict(list))
    for chunk in RrdReader(path).stream():
        table = chunk.to_record_batch()
        stamps = table.column(TIMELINE).cast("int64").to_pylist() if TIMELINE in table.schema.names else []
        batch = {name: table.column(name).to_pylist() for name in table.schema.names if ":" in name}
        for component, values in batch.items():
            found[chunk.entity_path][component] += list(zip(stamps or [0] * len(values), values))
    for components in found.values():
        for rows in components.values():
            rows.sort(key=lambda row: row[0])
    return found


def face(face_id: str, valence: float) -> FaceAffect:
    return FaceAffect(face_id, (10.0, 20.0, 40.0, 50.0), valence, -0.25, 0.5, (0.125,) * 8, 1.0)


def test_a_session_is_recorded_with_all_views(
    client: Any, start: Any, media: Path, tmp_path: Path, wait_until: Any
) -> None:
    recording = tmp_path / "session.rrd"
    start("ast_net_node").said("waiting for images")
    viewer = start("viewer", "--record", str(recording), "--longest-side", "160")
    viewer.said(f"showing /ast_net/faces in {recording}")
    without = start("viewer", "--record", str(tmp_path / "without.rrd"), "--no-images")
    without.said("showing")
    wait_until(lambda: client.count_subscribers("/ast_net/faces") >= 3, "both viewers at the node's topic")
    seen = len(client.faces)
    replay = ("--wait-for-subscriber", "--size", "320x180", "--frames", "60")
    assert start("replay", str(media / "single_face.mp4"), *replay).process.wait(60) == 0
    client.camera()  # diagnostics that count them have come
    assert viewer.end() == 0, viewer.log
    assert without.end(signal.SIGTERM) == 0, without.log
    assert "Traceback" not in viewer.log

    rows = read(recording)
    images = [value for _, value in rows["/cameras/image"]["EncodedImage:blob"]]
    assert len(images) >= 5
    shown = cv2.imdecode(np.frombuffer(bytes(images[0][0]), np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None and shown.shape == (90, 160, 3)

    published = {nanoseconds(m.header.stamp): m.faces[0] for m in client.faces[seen:] if m.faces}
    (face_id,) = {f.face_id for f in published.values()}
    curve = dict(rows[f"/people/valence/{face_id}"]["Scalars:scalars"])
    # Seconds as floating point numbers hold a stamp to a quarter of a microsecond.
    met = [(value[0], published[near]) for s, value in curve.items() for near in published if abs(near - s) < 1000]
    assert len(met) >= 0.8 * len(published) > 20
    assert all(value == pytest.approx(f.valence, abs=1e-6) for value, f in met)

    boxes = rows["/cameras/image/faces"]
    assert any(label[0].startswith(face_id) for _, label in boxes["Boxes2D:labels"] if label)
    stamp, (half,) = [row for row in boxes["Boxes2D:half_sizes"] if row[1]][-1]
    roi = next(f.roi for near, f in published.items() if abs(near - stamp) < 1000)
    assert 2 * half[0] == pytest.approx(roi.width / 2, abs=1.0), "boxes belong into the scaled image"
    assert rows[f"/plane/people/{face_id}/trail"] and rows[f"/plane/people/{face_id}/now"]
    assert rows["/rates/image/received"]["Scalars:scalars"]

    blind = read(tmp_path / "without.rrd")
    assert blind[f"/people/valence/{face_id}"]["Scalars:scalars"]
    assert not [path for path, components in blind.items() if "EncodedImage:blob" in components]


def test_a_face_leaves_the_plane_when_it_is_not_seen(tmp_path: Path) -> None:
    log = RerunLog(tmp_path / "plane.rrd")
    for stamp, faces in (
        (10.0, [face("face_1", 0.5)]),
        (10.5, []),
        (11.2, []),
        (12.0, [face("face_2", 0.1)]),
        (3.0, []),
    ):
        log.faces("/image", stamp, faces, 1.0)
    log.close()
    rows = read(tmp_path / "plane.rrd")
    cleared = {i: [s for s, _ in rows[f"/plane/people/{i}"]["Clear:is_recursive"]] for i in ("face_1", "face_2")}
    assert cleared == {"face_1": [11_200_000_000], "face_2": [3_000_000_000]}
    ((_, (where,)),) = rows["/plane/people/face_1/now"]["Points2D:positions"]
    assert where == pytest.approx([0.5, 0.25]), "arousal goes upward, which is negative here"


def listening_addresses(process_id: int) -> set[str]:
    """Addresses on which a process and its children listen."""
    process = psutil.Process(process_id)
    family = [process, *process.children(recursive=True)]
    sockets = [connection for one in family for connection in one.net_connections("tcp")]
    return {connection.laddr.ip for connection in sockets if connection.status == psutil.CONN_LISTEN}


def test_the_page_is_served_on_loopback_only(start: Any, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    viewer = start("viewer", "--serve", "--port", str(port))
    viewer.said(f"in http://127.0.0.1:{port}")
    assert listening_addresses(viewer.process.pid) == {"127.0.0.1"}
    children = psutil.Process(viewer.process.pid).children(recursive=True)
    assert viewer.end() == 0 and "Traceback" not in viewer.log
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_usage_analytics_are_off_and_the_users_settings_kept(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    RerunLog(tmp_path / "plane.rrd").close()
    command = [str(rerun_executable()), "analytics", "config"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(shown[shown.index("{") :])["analytics_enabled"] is False
    assert not (tmp_path / "config").exists()


def test_the_library_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(ViewerError, match='pip install "rerun-sdk'):
        load_rerun()


def test_images_are_scaled_down_but_never_up() -> None:
    image, scale = scaled_down(np.zeros((480, 640, 3), np.uint8), 320)
    assert image.shape == (240, 320, 3) and scale == 0.5
    small = np.zeros((48, 64, 3), np.uint8)
    assert scaled_down(small, 320) == (small, 1.0)


@pytest.mark.parametrize("wrong", [("--rate", "0"), ("--longest-side", "3"), ("--serve", "--record", "x.rrd")])
def test_invalid_options_are_rejected(wrong: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2

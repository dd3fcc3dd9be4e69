"""Log images, faces and rates to Rerun; the only module that imports `rerun`, which is optional.

Works with rerun-sdk 0.22 (the last for NumPy 1) to 0.41, in which a few names differ.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np

from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.ros.viewer import rerun_process
from ast_net_ros.ros.viewer.rerun_process import INSTALL, LOOPBACK, RerunProcess, ViewerError, disable_analytics
from ast_net_ros.vision.drawing import face_color

TIMELINE = "stamp"
TRAIL_SECONDS = 5.0


def load_rerun() -> ModuleType:
    """Import the library. ViewerError: it is not installed."""
    try:
        import rerun
        import rerun.blueprint
    except ImportError as error:
        raise ViewerError(f"viewer: the library rerun cannot be imported ({error}); {INSTALL}") from error
    return rerun


class RerunLog:
    """One recording. Not thread-safe.

    Args:
        destination: "window"; "serve" for a page in the browser; or the path of the .rrd file to write.
        port: Port of the page.
        bind: Address that the page and its data are served on.

    Attributes:
        address: Where the recording can be seen.

    Raises:
        ViewerError: Rerun is missing or does not start.
    """

    def __init__(self, destination: str | Path, port: int = 9090, bind: str = LOOPBACK):
        self._rr = load_rerun()
        disable_analytics()
        self._process: RerunProcess | None = None
        self._cameras: list[str] = []
        self._trails: dict[str, deque[tuple[float, float, float]]] = {}
        self._curves: set[str] = set()
        self._seen: dict[str, tuple[str, float]] = {}  # face_id -> its camera and last stamp
        self._rr.init("ast_net_ros")
        self.address = self._open(destination, port, bind)
        self._draw_plane()
        self._arrange()

    def image(self, topic: str, stamp: float, image_bgr: np.ndarray) -> None:
        """Log an image (H x W x 3 uint8) of the camera on `topic`, with its stamp in seconds."""
        self._enter(topic, stamp)
        _, jpeg = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])
        self._rr.log(_camera(topic), self._rr.EncodedImage(contents=jpeg.tobytes(), media_type="image/jpeg"))

    def faces(self, topic: str, stamp: float, faces: Sequence[FaceAffect], scale: float) -> None:
        """Log the faces of one image; `scale` is the size of the logged image relative to the camera's."""
        self._enter(topic, stamp)
        rr = self._rr
        boxes = [[value * scale for value in face.box] for face in faces]
        labels = [f"{f.face_id}  {f.valence:+.2f} {f.arousal:+.2f}  {f.confidence:.0%}" for f in faces]
        shown = rr.Boxes2D(
            array=np.array(boxes, np.float32).reshape(-1, 4),
            array_format=rr.Box2DFormat.XYWH,
            labels=labels,
            colors=[_rgb(face.face_id) for face in faces],
        )
        rr.log(f"{_camera(topic)}/faces", shown if faces else rr.Clear(recursive=False))
        for face in faces:
            self._seen[face.face_id] = (topic, stamp)
            self._curve(f"people/valence/{face.face_id}", face.face_id, face.valence)
            self._curve(f"people/arousal/{face.face_id}", face.face_id, face.arousal)
            self._move_in_plane(face, stamp)
        self._forget(topic, stamp)

    def rate(self, topic: str, stamp: float, received: float, processed: float) -> None:
        """Log how many images per second of a camera are received and processed; `stamp` is in seconds."""
        self._set_time(stamp)
        path = f"rates{_name(topic)}"
        self._scalar(f"{path}/received", received)
        self._scalar(f"{path}/processed", processed)

    def close(self) -> None:
        """Flush the recording and end the web server."""
        self._rr.disconnect()
        if self._process is not None and self._process.child is not None:
            self._process.child.end()

    # Into the recording

    def _enter(self, topic: str, stamp: float) -> None:
        self._set_time(stamp)
        if topic not in self._cameras:
            self._cameras.append(topic)
            self._arrange()

    def _curve(self, path: str, face_id: str, value: float) -> None:
        if path not in self._curves:
            self._curves.add(path)
            self._rr.log(path, self._series_style(face_id), static=True)
        self._scalar(path, value)

    def _move_in_plane(self, face: FaceAffect, stamp: float) -> None:
        """Log the present value as a dot with a trail; the y axis of Rerun points down."""
        trail = self._trails.setdefault(face.face_id, deque())
        if trail and stamp < trail[-1][0]:
            trail.clear()
        trail.append((stamp, face.valence, -face.arousal))
        while stamp - trail[0][0] > TRAIL_SECONDS:
            trail.popleft()
        color, points = _rgb(face.face_id), [point[1:] for point in trail]
        path = f"plane/people/{face.face_id}"
        dot = self._rr.Points2D([points[-1]], radii=0.035, colors=[color], labels=[face.face_id])
        self._rr.log(f"{path}/now", dot)
        if len(points) > 1:
            self._rr.log(f"{path}/trail", self._rr.LineStrips2D([points], radii=0.008, colors=[color]))

    def _forget(self, topic: str, stamp: float) -> None:
        """Remove faces that their camera has not shown for a second, or whose stamps lie in its future."""
        gone = [i for i, (of, seen) in self._seen.items() if of == topic and not 0 <= stamp - seen <= 1.0]
        for face_id in gone:
            del self._seen[face_id]
            self._trails.pop(face_id, None)
            self._rr.log(f"plane/people/{face_id}", self._rr.Clear(recursive=True))

    def _draw_plane(self) -> None:
        rr, grey = self._rr, [150, 150, 150]
        axes = [[(-1, 0), (1, 0)], [(0, -1), (0, 1)], [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]]
        rr.log("plane/axes", rr.LineStrips2D(axes, radii=0.004, colors=[grey] * 3), static=True)
        corners = [(-0.98, -0.06), (0.98, -0.06), (0, -1.06), (0, 1.06)]
        labels = ["unpleasant", "pleasant", "excited", "calm"]
        corner_labels = rr.Points2D(corners, radii=0.001, labels=labels, colors=[grey] * 4, show_labels=True)
        rr.log("plane/labels", corner_labels, static=True)

    def _arrange(self) -> None:
        """Arrange the views: images on the left; curves, plane and rates on the right."""
        rrb: Any = self._rr.blueprint
        images = [rrb.Spatial2DView(origin=_camera(topic), name=topic) for topic in self._cameras]
        curves = [rrb.TimeSeriesView(origin=f"people/{n}", name=n.capitalize()) for n in ("valence", "arousal")]
        below = rrb.Horizontal(
            rrb.Spatial2DView(origin="plane", name="Valence-arousal plane"),
            rrb.TimeSeriesView(origin="rates", name="Images per second"),
        )
        left = rrb.Grid(*images) if images else rrb.Spatial2DView(origin="cameras", name="Cameras")
        whole = rrb.Horizontal(left, rrb.Vertical(*curves, below), column_shares=[1, 1])
        self._rr.send_blueprint(rrb.Blueprint(whole, collapse_panels=True))

    # What differs between versions

    def _open(self, destination: str | Path, port: int, bind: str) -> str:
        """Open the destination; return where it can be seen."""
        rr = self._rr
        if isinstance(destination, Path):
            destination.parent.mkdir(parents=True, exist_ok=True)
            rr.save(str(destination))
            return str(destination)
        self._process = rerun_process.start(destination == "window", bind, port)
        if hasattr(rr, "connect_tcp"):  # 0.22
            rr.connect_tcp(self._process.url.removeprefix("rerun+http://").removesuffix("/proxy"))
        else:
            rr.connect_grpc(self._process.url)
        if destination == "window":
            return "a window"
        return f"http://{bind}:{port}?url={quote(self._process.url, safe='')}"

    def _set_time(self, stamp: float) -> None:
        if hasattr(self._rr, "set_time"):
            self._rr.set_time(TIMELINE, timestamp=stamp)
        else:
            self._rr.set_time_seconds(TIMELINE, stamp)

    def _scalar(self, path: str, value: float) -> None:
        rr = self._rr
        rr.log(path, rr.Scalars([value]) if hasattr(rr, "Scalars") else rr.Scalar(value))

    def _series_style(self, face_id: str) -> Any:
        rr, color = self._rr, _rgb(face_id)
        if hasattr(rr, "SeriesLines"):
            return rr.SeriesLines(colors=[color], names=[face_id])
        return rr.SeriesLine(color=color, name=face_id)


def _name(topic: str) -> str:
    return "/" + topic.strip("/")


def _camera(topic: str) -> str:
    return f"cameras{_name(topic)}"


def _rgb(face_id: str) -> list[int]:
    return list(face_color(face_id)[::-1])

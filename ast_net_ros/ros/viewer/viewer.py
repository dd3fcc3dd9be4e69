"""`viewer`: show the node's images and estimates live in Rerun.

Subscribes: `faces` (remapped to `ast_net/faces` by default), the image topics that its messages name, /diagnostics.
Shows images, boxes, curves, the valence-arousal plane and rates in a window or in the browser, or writes an .rrd file.
Requires rerun-sdk.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from ast_net_ros.msg import ValenceArousalArray
from ast_net_ros.ros import diagnostics_keys as keys
from ast_net_ros.ros.camera import Camera, ImageMessage, image_qos
from ast_net_ros.ros.conversions import face_affect, seconds
from ast_net_ros.ros.image_bridge import decode_message
from ast_net_ros.ros.runtime.launching import positive_number
from ast_net_ros.ros.runtime.spinning import StartError, run_node
from ast_net_ros.ros.viewer.rerun_log import RerunLog
from ast_net_ros.ros.viewer.rerun_process import LOOPBACK, ViewerError
from ast_net_ros.vision.image_decoding import ImageError


class Viewer(Node):
    """Forwards messages to Rerun, as the options of the command line say.

    Raises:
        StartError: Rerun is missing or does not start.
    """

    def __init__(self, options: argparse.Namespace):
        super().__init__("viewer", start_parameter_services=False)
        try:
            destination = options.record or ("serve" if options.serve else "window")
            self.log = RerunLog(destination, options.port, options.bind)
        except (ViewerError, RuntimeError, OSError) as error:
            raise StartError(str(error)) from error
        self._options = options
        self._cameras: dict[str, Camera] = {}
        self._scales: dict[str, float] = {}  # of the logged image, relative to the camera's
        self._shown_at: dict[str, float] = {}
        faces = self.create_subscription(ValenceArousalArray, "faces", self._on_faces, 100)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.create_timer(1.0, self._on_tick)
        self.get_logger().info(f"showing {faces.topic_name} in {self.log.address}")

    def _on_faces(self, message: ValenceArousalArray) -> None:
        topic = message.source
        if topic not in self._cameras and not self._options.no_images:
            self._cameras[topic] = Camera(topic)
            self._subscribe(self._cameras[topic])
        faces = [face_affect(face) for face in message.faces]
        self.log.faces(topic, seconds(message.header.stamp), faces, self._scales.get(topic, 1.0))

    def _on_image(self, camera: Camera, message: ImageMessage) -> None:
        now = time.monotonic()
        if now - self._shown_at.get(camera.topic, 0.0) < 1 / self._options.rate:
            return
        self._shown_at[camera.topic] = now
        try:
            image = decode_message(message)
        except ImageError as error:
            camera.warn_dropped(f"cannot be shown: {error}", self.get_logger())
            return
        image, self._scales[camera.topic] = scaled_down(image, self._options.longest_side)
        self.log.image(camera.topic, seconds(message.header.stamp), image)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            topic = keys.camera_topic(status.name)
            values = {pair.key: pair.value for pair in status.values}
            rates = [values.get(key, "") for key in (keys.INPUT_RATE, keys.OUTPUT_RATE)]
            if topic is not None and all(rates):
                self.log.rate(topic, seconds(message.header.stamp), *map(float, rates))

    def _on_tick(self) -> None:
        """Subscribe again if a publisher that was discovered later sends the other type of image."""
        for camera in self._cameras.values():
            if camera.needs_other_type(self):
                camera.unsubscribe(self)
                self._subscribe(camera)

    def _subscribe(self, camera: Camera) -> None:
        camera.subscribe(self, image_qos("best_effort", 1), self._on_image, lambda _: None)

    def end(self) -> None:
        """Write everything and end the web server."""
        self.log.close()


def scaled_down(image_bgr: np.ndarray, longest_side: int) -> tuple[np.ndarray, float]:
    """Scale an image down to at most `longest_side` pixels; return it and its size relative to the original."""
    height, width = image_bgr.shape[:2]
    scale = min(1.0, longest_side / max(height, width))
    if scale == 1.0:
        return image_bgr, scale
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image_bgr, size, interpolation=cv2.INTER_AREA), scale


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the executable `viewer`; return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parse(remove_ros_args(["viewer", *given])[1:])
    # The first of several remapping rules for a name applies, so the user's own takes precedence.
    ros_arguments = [*given, "--ros-args", "-r", "faces:=ast_net/faces"]
    return run_node(lambda: Viewer(options), Viewer.end, ros_arguments)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="viewer", description="Show ast_net_node live in Rerun.")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--serve", action="store_true", help="serve a web page instead of opening a window")
    where.add_argument("--record", type=Path, metavar="FILE.rrd", help="write a recording instead of opening a window")
    parser.add_argument("--port", type=int, default=9090, help="port of the page (default: %(default)s)")
    parser.add_argument(
        "--bind",
        default=LOOPBACK,
        metavar="ADDRESS",
        help="address to listen on; any other makes the faces visible on the network (default: %(default)s)",
    )
    parser.add_argument(
        "--rate", type=positive_number, default=10.0, help="maximum images per second (default: %(default)s)"
    )
    parser.add_argument(
        "--longest-side",
        type=int,
        default=640,
        help="longer side, in pixels, to which images are scaled down (default: %(default)s)",
    )
    parser.add_argument("--no-images", "--no-pictures", action="store_true", help="show everything but the images")
    options = parser.parse_args(arguments)
    if options.longest_side < 16:
        parser.error(f"--longest-side {options.longest_side}: use 16 or more")
    return options


if __name__ == "__main__":
    sys.exit(main())

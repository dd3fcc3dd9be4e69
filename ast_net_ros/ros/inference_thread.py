"""The thread in which images become estimates, off the subscription callbacks.

In: the newest image of every camera. Out: a call of `publish` for each processed image, in this thread.
Whatever one image or one batch does wrong is counted and said, and the next goes on; when too many batches in a row
have failed, the thread gives up and says so once.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from std_msgs.msg import Header

from ast_net_ros.pipeline import AffectPipeline, FaceAffect, Frame
from ast_net_ros.ros.camera import Camera
from ast_net_ros.ros.conversions import NANOSECONDS, is_finite, nanoseconds, seconds
from ast_net_ros.ros.latest_images import Arrival, LatestImages
from ast_net_ros.ros.rolling_stats import RecentValues
from ast_net_ros.vision.image_decoding import MAX_PIXELS, ImageError, decode_image


@dataclass(frozen=True)
class Estimate:
    """One processed image: the camera it came from, its header as it came, its stamp in seconds (the time of
    receipt where the header has none), its pixels (may be read-only), its faces."""

    camera: Camera
    header: Header
    stamp: float
    image_bgr: np.ndarray
    faces: list[FaceAffect]


@dataclass(frozen=True)
class _Picture:
    """A decoded image on its way into the pipeline."""

    camera: Camera
    arrival: Arrival
    frame: Frame


class InferenceThread:
    """Takes the newest images, estimates, publishes, until stopped or until too much has failed.

    clock_ns: the present ROS time in nanoseconds. logger: an rclpy logger. max_consecutive_failures: failed batches in a row after
    which the thread calls `on_give_up` as its last act; 0 for never. gave_up: the reason, empty while it works.
    max_pixels: of an image that is accepted.
    """

    def __init__(
        self,
        pipeline: AffectPipeline,
        images: LatestImages,
        publish: Callable[[Estimate], None],
        clock_ns: Callable[[], int],
        logger: Any,
        max_consecutive_failures: Callable[[], int],
        on_give_up: Callable[[], None],
        max_pixels: Callable[[], int] = lambda: MAX_PIXELS,
    ):
        self._max_pixels = max_pixels
        self.gave_up = ""
        self.tracks: dict[str, int] = {}  # faces followed, by topic
        self.failures = 0
        self.failures_in_row = 0
        self.last_failure = ""
        self.latency = RecentValues()
        self.age = RecentValues()
        self.stages: defaultdict[str, RecentValues] = defaultdict(RecentValues)
        self._pipeline = pipeline
        self._images = images
        self._publish = publish
        self._clock_ns = clock_ns
        self._logger = logger
        self._max_consecutive_failures = max_consecutive_failures
        self._on_give_up = on_give_up
        self._unanswered: set[Camera] = set()  # whose image of the present batch has no fate yet
        self._busy = threading.Lock()  # the pipeline is no place for two threads
        self._thread = threading.Thread(target=self._run, name="estimation", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when the batch in hand is done; images that still wait are left."""
        self._images.close()
        self._thread.join()

    def reset(self, topic: str | None = None) -> int:
        """Forget the state of every face, or of every face of one topic; returns how many were followed."""
        with self._busy:
            forgotten = self._pipeline.track_count(topic)
            self._pipeline.reset(topic)
            for name in list(self.tracks) if topic is None else [topic]:
                self.tracks.pop(name, None)
        return forgotten

    def _run(self) -> None:
        while arrivals := self._images.take_all():
            self._unanswered = set(arrivals)
            try:
                with self._busy:
                    estimated = self._process(arrivals)
                if estimated:
                    self.failures_in_row = 0
            except Exception as error:
                self._note_failure(error)
                if 0 < self._max_consecutive_failures() <= self.failures_in_row:
                    self.gave_up = f"gave up after {self.failures_in_row} failed batches in a row: {self.last_failure}"
                    self._images.close()
                    self._on_give_up()
                    return

    def _process(self, arrivals: dict[Camera, Arrival]) -> bool:
        """Estimate and publish; whether there was an image that could be decoded."""
        began = time.perf_counter()
        pictures = [p for camera, arrival in arrivals.items() if (p := self._decode(camera, arrival)) is not None]
        self.stages["decode"].append(time.perf_counter() - began)
        if not pictures:
            return False
        results = self._pipeline.process_batch([picture.frame for picture in pictures])
        for stage, duration in self._pipeline.timings.items():
            self.stages[stage].append(duration)
        began = time.perf_counter()
        for picture, faces in zip(pictures, results):
            self._hand_over(picture, faces)
        self.stages["publish"].append(time.perf_counter() - began)
        return True

    def _decode(self, camera: Camera, arrival: Arrival) -> _Picture | None:
        message = arrival.message
        try:
            image = decode_image(message, self._max_pixels())
        except ImageError as error:
            camera.counts.bad += 1
            self._unanswered.discard(camera)
            camera.warn_throttled(f"dropped an image: {error}", self._logger)
            return None
        stamp = seconds(message.header.stamp)
        if stamp == 0.0:
            stamp = arrival.received_ros_ns / NANOSECONDS
            if not camera.zero_stamp_warned:
                camera.zero_stamp_warned = True
                self._logger.warning(
                    f"camera {camera.topic}: images have the stamp 0; their time of receipt drives the state, and the "
                    "estimates carry the 0 on; make the camera driver set header.stamp"
                )
        camera.counts.stamps_back += stamp < camera.last_stamp
        camera.last_stamp = stamp
        return _Picture(camera, arrival, Frame(image, stamp, camera.topic))

    def _hand_over(self, picture: _Picture, faces: list[FaceAffect]) -> None:
        camera, header = picture.camera, picture.arrival.message.header
        sound = [face for face in faces if is_finite(face)]
        if len(sound) < len(faces):
            camera.warn_throttled(
                "an estimate was not finite: left out, and the camera's states begin anew", self._logger
            )
            self._pipeline.reset(camera.topic)
        self._publish(Estimate(camera, header, picture.frame.stamp, picture.frame.image, sound))
        self.tracks[camera.topic] = self._pipeline.track_count(camera.topic)
        camera.counts.processed += 1
        self._unanswered.discard(camera)
        camera.counts.faces += len(sound)
        self.latency.append(time.monotonic() - picture.arrival.received)
        if nanoseconds(header.stamp):
            self.age.append((self._clock_ns() - nanoseconds(header.stamp)) / NANOSECONDS)

    def _note_failure(self, error: Exception) -> None:
        self.failures += 1
        self.failures_in_row += 1
        self.last_failure = f"{type(error).__name__}: {error}"
        for camera in self._unanswered:
            camera.counts.failed += 1
            camera.warn_throttled(f"dropped an image: the estimation failed: {self.last_failure}", self._logger)

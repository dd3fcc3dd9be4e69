"""The thread that turns images into estimates, so that subscription callbacks return at once."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from std_msgs.msg import Header

from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.pipeline import AffectPipeline, Frame
from ast_net_ros.ros.camera import Camera
from ast_net_ros.ros.conversions import NANOSECONDS, nanoseconds, seconds
from ast_net_ros.ros.image_bridge import decode_message
from ast_net_ros.ros.latest_images import LatestImages, QueuedImage
from ast_net_ros.ros.rolling_stats import RecentValues
from ast_net_ros.vision.image_decoding import ImageError


@dataclass(frozen=True)
class Estimate:
    """The faces of one processed image."""

    camera: Camera
    header: Header  # of the image, unchanged
    stamp: float  # of the header in seconds; the time of receipt if that is zero
    image_bgr: np.ndarray  # H x W x 3 uint8; may be read-only
    faces: list[FaceAffect]  # all values are finite


@dataclass(frozen=True)
class _DecodedImage:
    camera: Camera
    queued: QueuedImage
    frame: Frame


class InferenceThread:
    """Takes the latest images, estimates and publishes, until stopped or until too many batches have failed.

    An error in one image or batch is counted and logged, and the next one is processed.

    Args:
        pipeline: Used by this thread only, apart from `settings`.
        images: Where the images wait.
        publish: Called in this thread with the estimates of each image.
        clock_ns: Returns the ROS time in nanoseconds.
        logger: An rclpy logger.
        values: The node's parameters; `max_consecutive_failures` and `max_image_pixels` are read at every use.
    """

    def __init__(
        self,
        pipeline: AffectPipeline,
        images: LatestImages,
        publish: Callable[[Estimate], None],
        clock_ns: Callable[[], int],
        logger: Any,
        values: Mapping[str, Any],
    ):
        self.gave_up = ""  # why the thread gave up; empty while it works
        self.tracks: dict[str, int] = {}  # number of tracked faces by topic
        self.failures = 0  # number of failed batches
        self.failures_in_row = 0
        self.last_failure = ""
        self.latency = RecentValues()  # seconds from receipt to publishing
        self.age = RecentValues()  # seconds from an image's stamp to publishing
        self.stages: defaultdict[str, RecentValues] = defaultdict(RecentValues)  # seconds in each stage
        self._pipeline, self._images, self._publish = pipeline, images, publish
        self._clock_ns, self._logger, self._values = clock_ns, logger, values
        self._pending: set[Camera] = set()  # cameras whose image of the present batch is not accounted for yet
        self._resets: set[str] = set()  # topics to reset before the next batch
        self._resets_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when the present batch is done; waiting images are dropped."""
        self._images.close()
        self._thread.join()

    def reset(self, topic: str | None = None) -> int:
        """Request that the face states of a camera, or of all, are reset before the next batch, and return at once.

        The estimates of a batch in progress are still published with the old states.

        Returns:
            How many faces were tracked after the last batch.
        """
        with self._resets_lock:
            topics = list(self.tracks) if topic is None else [topic]
            count = sum(self.tracks.pop(name, 0) for name in topics)
            self._resets |= set(topics)
        self._images.wake()
        return count

    def _run(self) -> None:
        while (queued := self._images.take_all()) is not None:
            self._apply_resets()
            self._pending = set(queued)
            try:
                if queued and self._process(queued):
                    self.failures_in_row = 0
            except Exception as error:
                self._note_failure(error)
                if 0 < self._values["max_consecutive_failures"] <= self.failures_in_row:
                    self.gave_up = f"gave up after {self.failures_in_row} failed batches in a row: {self.last_failure}"
                    self._images.close()
                    return

    def _apply_resets(self) -> None:
        with self._resets_lock:
            for topic in self._resets:
                self._pipeline.reset(topic)
                self.tracks.pop(topic, None)
            self._resets.clear()

    def _process(self, queued: dict[Camera, QueuedImage]) -> bool:
        """Estimate and publish; return whether any image could be decoded."""
        start = time.perf_counter()
        decoded = [image for camera, one in queued.items() if (image := self._decode(camera, one)) is not None]
        self.stages["decode"].append(time.perf_counter() - start)
        if not decoded:
            return False
        results = self._pipeline.process_batch([image.frame for image in decoded])
        for stage, duration in self._pipeline.timings.items():
            self.stages[stage].append(duration)
        start = time.perf_counter()
        for image, faces in zip(decoded, results):
            self._finish(image, faces)
        self.stages["publish"].append(time.perf_counter() - start)
        return True

    def _decode(self, camera: Camera, queued: QueuedImage) -> _DecodedImage | None:
        message = queued.message
        try:
            image = decode_message(message, self._values["max_image_pixels"])
        except ImageError as error:
            camera.counts.bad += 1
            self._pending.discard(camera)
            camera.warn_dropped(f"dropped an image: {error}", self._logger)
            return None
        stamp = seconds(message.header.stamp)
        if stamp == 0.0:
            stamp = queued.received_ros_ns / NANOSECONDS
            if not camera.zero_stamp_warned:
                camera.zero_stamp_warned = True
                self._logger.warning(
                    f"camera {camera.topic}: images have a stamp of 0, so the time of receipt is used for the face "
                    "states and estimates are published with stamp 0; make the camera driver set header.stamp"
                )
        camera.counts.stamps_back += stamp < camera.last_stamp
        camera.last_stamp = stamp
        return _DecodedImage(camera, queued, Frame(image, stamp, camera.topic))

    def _finish(self, image: _DecodedImage, faces: list[FaceAffect]) -> None:
        """Publish the estimates of one image and count it."""
        camera, header = image.camera, image.queued.message.header
        finite = [face for face in faces if face.is_finite]
        if len(finite) < len(faces):
            camera.warn_dropped(
                "dropped an estimate that is not finite and reset the camera's face states", self._logger
            )
            self._pipeline.reset(camera.topic)
        self._publish(Estimate(camera, header, image.frame.stamp, image.frame.image, finite))
        with self._resets_lock:
            if camera.topic not in self._resets:
                self.tracks[camera.topic] = self._pipeline.track_count(camera.topic)
        camera.counts.processed += 1
        self._pending.discard(camera)
        camera.counts.faces += len(finite)
        self.latency.append(time.monotonic() - image.queued.received)
        if nanoseconds(header.stamp):
            self.age.append((self._clock_ns() - nanoseconds(header.stamp)) / NANOSECONDS)

    def _note_failure(self, error: Exception) -> None:
        self.failures += 1
        self.failures_in_row += 1
        self.last_failure = f"{type(error).__name__}: {error}"
        for camera in self._pending:
            camera.counts.failed += 1
            camera.warn_dropped(f"dropped an image: inference failed: {self.last_failure}", self._logger)

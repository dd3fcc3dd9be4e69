"""What a soak run observes: everything the node publishes, and the resources of its process, sampled every second."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import psutil
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy

from ast_net_ros.msg import ValenceArousal, ValenceArousalArray
from ast_net_ros.ros import diagnostics_keys as dk
from ast_net_ros.ros.conversions import NANOSECONDS, nanoseconds

_BYTES_IN_MIB = 1 << 20
_EXAMPLES = 20  # issues that are kept as text; all are counted


@dataclass(frozen=True)
class Sample:
    """The node at one moment.

    Attributes:
        seconds: Since the soak started.
        memory: Resident memory, MiB.
        threads: Number of threads.
        files: Number of open file descriptors.
        processor: Processor time since the process started, seconds.
        latency: The node's 95th percentile from receipt to publication over ten seconds, ms; NaN without a value.
        responses: Messages received from the node so far, for all cameras.
    """

    seconds: float
    memory: float
    threads: int
    files: int
    processor: float
    latency: float
    responses: int


@dataclass
class SeenFace:
    """One face id.

    Attributes:
        cameras: The cameras whose messages contained it.
        first: Stamp of the first message, ns.
        last: Stamp of the latest message, ns.
        longest_gap: The longest time between two messages, ns.
    """

    cameras: set[str]
    first: int
    last: int
    longest_gap: int = 0


@dataclass
class Issues:
    """Invalid content of messages: counts by kind, and some examples."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def add(self, kind: str, example: str) -> None:
        """Count an issue."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{kind}: {example}")


class Observer(Node):
    """Receives what the node publishes.

    Attributes:
        responses: Stamps in ns by camera topic, in order of receipt.
        received_at: Time of receipt of each response, on the monotonic clock.
        response_count: Number of responses from all cameras.
        faces: Face ids seen so far.
        issues: Invalid content of messages.
        diagnostics: The latest keys and values by status name.
        diagnostics_at: Time of the latest diagnostics, on the monotonic clock.
    """

    def __init__(self) -> None:
        super().__init__("ast_net_soak", start_parameter_services=False)
        self.responses: dict[str, list[int]] = {}
        self.received_at: dict[str, list[float]] = {}
        self.response_count = 0
        self.faces: dict[str, SeenFace] = {}
        self.issues = Issues()
        self.diagnostics: dict[str, dict[str, str]] = {}
        self.diagnostics_at = 0.0
        reliable = QoSProfile(depth=1000, reliability=QoSReliabilityPolicy.RELIABLE)
        self.create_subscription(ValenceArousalArray, "ast_net/faces", self._on_faces, reliable)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def value(self, status: str, key: str) -> float:
        """Return a number of the latest diagnostics; NaN if there is none."""
        try:
            return float(self.diagnostics[status][key])
        except (KeyError, ValueError):
            return math.nan

    def _on_faces(self, message: ValenceArousalArray) -> None:
        stamp = nanoseconds(message.header.stamp)
        self.responses.setdefault(message.source, []).append(stamp)
        self.received_at.setdefault(message.source, []).append(time.monotonic())
        self.response_count += 1
        ids = [face.face_id for face in message.faces]
        if len(set(ids)) < len(ids):
            self.issues.add("an id twice in one image", f"{ids} at {stamp}")
        for face in message.faces:
            self._check(face, stamp)
            seen = self.faces.setdefault(face.face_id, SeenFace({message.source}, stamp, stamp))
            seen.cameras.add(message.source)
            seen.longest_gap = max(seen.longest_gap, stamp - seen.last)
            seen.last = stamp

    def _check(self, face: ValenceArousal, stamp: int) -> None:
        numbers = [face.valence, face.arousal, face.confidence, face.state_age, *map(float, face.emotions)]
        if not all(map(math.isfinite, numbers)):
            self.issues.add("not a number", f"{face.face_id} at {stamp}: {numbers}")
        elif max(abs(face.valence), abs(face.arousal)) > 1 or not 0 <= face.confidence <= 1 or face.state_age < 0:
            self.issues.add("out of range", f"{face.face_id} at {stamp}: {numbers}")
        if nanoseconds(face.header.stamp) != stamp:
            self.issues.add("a face with another stamp than its image", f"{face.face_id} at {stamp}")
        seen = self.faces.get(face.face_id)
        if seen is not None and face.state_age > (stamp - seen.first) / NANOSECONDS + 1e-3:
            self.issues.add("a state older than its face", f"{face.face_id} at {stamp}: {face.state_age} s")

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.diagnostics[status.name] = {pair.key: pair.value for pair in status.values}
        self.diagnostics_at = time.monotonic()


def sample(process: psutil.Process, seconds: float, observer: Observer) -> Sample:
    """Sample the node's process.

    Args:
        process: The process of the node.
        seconds: Time since the soak started.
        observer: Receives what the node publishes.

    Returns:
        The node at this moment.

    Raises:
        psutil.NoSuchProcess: The process has ended.
    """
    with process.oneshot():
        times = process.cpu_times()
        return Sample(
            seconds=round(seconds, 2),
            memory=round(process.memory_info().rss / _BYTES_IN_MIB, 2),
            threads=process.num_threads(),
            files=process.num_fds(),
            processor=times.user + times.system,
            latency=observer.value(dk.estimation_status("ast_net"), dk.p95_ms(dk.RECEIPT_TO_PUBLISH)),
            responses=observer.response_count,
        )


def describe(service_result: Any) -> str:
    """Return a service's result as text."""
    return getattr(service_result, "reason", "") or getattr(service_result, "message", "") or str(service_result)

"""What a soak sees of the node: everything it publishes, and what its process takes of the machine.

In: `ast_net/faces`, /diagnostics, /proc of the node's process (Linux). Out: an :class:`Observer` with the answers and
what was wrong with them, and a :class:`Sample` for each second.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy

from ast_net_ros.msg import ValenceArousal, ValenceArousalArray
from ast_net_ros.ros.conversions import NANOSECONDS, nanoseconds

_BYTES_IN_MIB = 1 << 20
_EXAMPLES = 20  # complaints that are kept; the rest is only counted


@dataclass(frozen=True)
class Sample:
    """The node at one moment. seconds: since the soak began. memory: resident, in MiB. processor: seconds of CPU
    time since the process began. latency: the node's own 95th percentile from receipt to publication over ten
    seconds, in ms; NaN while it tells none. answers: received so far, from all cameras."""

    seconds: float
    memory: float
    threads: int
    files: int
    processor: float
    latency: float
    answers: int


@dataclass
class SeenFace:
    """One face id: the cameras that it was seen in, when first and last (stamps, ns), and the longest time between."""

    cameras: set[str]
    first: int
    last: int
    longest_gap: int = 0


@dataclass
class Complaints:
    """What must not be, by kind: how often it was, and some examples."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def note(self, kind: str, what: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{kind}: {what}")


class Observer(Node):
    """answers: stamps in ns by camera topic, in order of receipt. diagnostics: the latest keys and values by status."""

    def __init__(self) -> None:
        super().__init__("ast_net_soak", start_parameter_services=False)
        self.answers: dict[str, list[int]] = {}
        self.received_at: dict[str, list[float]] = {}  # beside the stamps, on the monotonic clock
        self.faces: dict[str, SeenFace] = {}
        self.complaints = Complaints()
        self.diagnostics: dict[str, dict[str, str]] = {}
        self.diagnostics_at = 0.0
        self.answered = 0
        lasting = QoSProfile(depth=1000, reliability=QoSReliabilityPolicy.RELIABLE)
        self.create_subscription(ValenceArousalArray, "ast_net/faces", self._on_faces, lasting)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def figure(self, status: str, key: str) -> float:
        """A number of the latest diagnostics; NaN where there is none."""
        try:
            return float(self.diagnostics[status][key])
        except (KeyError, ValueError):
            return math.nan

    def _on_faces(self, message: ValenceArousalArray) -> None:
        stamp = nanoseconds(message.header.stamp)
        self.answers.setdefault(message.source, []).append(stamp)
        self.received_at.setdefault(message.source, []).append(time.monotonic())
        self.answered += 1
        ids = [face.face_id for face in message.faces]
        if len(set(ids)) < len(ids):
            self.complaints.note("an id twice in one image", f"{ids} at {stamp}")
        for face in message.faces:
            self._check(face, stamp)
            seen = self.faces.setdefault(face.face_id, SeenFace({message.source}, stamp, stamp))
            seen.cameras.add(message.source)
            seen.longest_gap = max(seen.longest_gap, stamp - seen.last)
            seen.last = stamp

    def _check(self, face: ValenceArousal, stamp: int) -> None:
        numbers = [face.valence, face.arousal, face.confidence, face.state_age, *map(float, face.emotions)]
        if not all(map(math.isfinite, numbers)):
            self.complaints.note("not a number", f"{face.face_id} at {stamp}: {numbers}")
        elif max(abs(face.valence), abs(face.arousal)) > 1 or not 0 <= face.confidence <= 1 or face.state_age < 0:
            self.complaints.note("out of range", f"{face.face_id} at {stamp}: {numbers}")
        if nanoseconds(face.header.stamp) != stamp:
            self.complaints.note("a face with another stamp than its image", f"{face.face_id} at {stamp}")
        begun = self.faces.get(face.face_id)
        if begun is not None and face.state_age > (stamp - begun.first) / NANOSECONDS + 1e-3:
            self.complaints.note("a state older than its face", f"{face.face_id} at {stamp}: {face.state_age} s")

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.diagnostics[status.name] = {pair.key: pair.value for pair in status.values}
        self.diagnostics_at = time.monotonic()


def sample(process_id: int, seconds: float, observer: Observer) -> Sample:
    """The node's process now. Raises OSError when there is none."""
    process = Path("/proc") / str(process_id)
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    pages = int((process / "statm").read_text().split()[1])
    return Sample(
        seconds=round(seconds, 2),
        memory=round(pages * os.sysconf("SC_PAGE_SIZE") / _BYTES_IN_MIB, 2),
        threads=int(fields[17]),
        files=sum(1 for _ in (process / "fd").iterdir()),
        processor=ticks / os.sysconf("SC_CLK_TCK"),
        latency=observer.figure("ast_net: estimation", "receipt to publish, p95 (ms)"),
        answers=observer.answered,
    )


def describe(service_result: Any) -> str:
    """A service's answer for a complaint."""
    return getattr(service_result, "reason", "") or getattr(service_result, "message", "") or str(service_result)

"""The result of a soak run: metrics, checks with their limits, and a plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ast_net_ros.ros import diagnostics_keys as dk
from ast_net_ros.ros.conversions import NANOSECONDS
from soak.watch import Observer, Sample

LEASE = 21.0  # seconds after a kill in which two publishers seem to exist, and losses cannot be counted
IN_FLIGHT = 2  # images that may be on their way when a camera ends
LONGEST_SILENCE = 6.0  # seconds without a response to a camera that publishes
SLOWEST_SERVICE = 20.0  # seconds
WARM_UP_SHARE = 0.2  # of the run, in which memory may still grow
SHORT_MINUTES = 10.0  # below this everything still warms up: only the total rise is checked, not the slope


@dataclass(frozen=True)
class Growth:
    """Limits of a quantity that must not grow.

    Attributes:
        name: Field of `Sample`.
        unit: Its unit; empty for a count.
        per_minute: Limit of the slope, per minute.
        noise: A rise up to this is not regarded as growth.
        short_run: Limit of the rise in a short run.
    """

    name: str
    unit: str
    per_minute: float
    noise: float
    short_run: float


GROWTHS = (
    Growth("memory", "MiB", 0.3, 6.0, 150.0),
    Growth("threads", "", 0.02, 1.0, 10.0),
    Growth("files", "", 0.05, 3.0, 10.0),
    Growth("latency", "ms", 2.0, 40.0, 2000.0),
)


@dataclass
class CameraRun:
    """One process of a camera. All times are seconds since the soak started.

    Attributes:
        topic: Its image topic.
        video: The file that it played.
        start: When it was started.
        end: When it ended.
        killed: When it was killed; None if it was ended in order.
        sent: Stamps of the published images, ns.
        pauses: Times between which it was suspended.
    """

    topic: str
    video: str
    start: float
    end: float = math.inf
    killed: float | None = None
    sent: list[int] = field(default_factory=list)
    pauses: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Check:
    """A requirement, whether it was met, and the measured value as text."""

    name: str
    passed: bool
    value: str


@dataclass(frozen=True)
class SoakRun:
    """Everything that was observed.

    Attributes:
        minutes: Length of the run.
        start: Start on the monotonic clock, seconds.
        start_ns: Start on the system clock, ns.
        samples: The node's process over time.
        camera_runs: Every process of a camera.
        observer: What the node published.
        events: Seconds since the start, kind and details of everything that was done to the node.
        slowest_service: Longest service call, seconds.
        longest_timeout: Largest `track_timeout` that was set, seconds.
        exit_code: Of the node.
        log: Of the node.
    """

    minutes: float
    start: float
    start_ns: int
    samples: Sequence[Sample]
    camera_runs: Sequence[CameraRun]
    observer: Observer
    events: Sequence[tuple[float, str, str]]
    slowest_service: float
    longest_timeout: float
    exit_code: int
    log: str


def report(run: SoakRun) -> dict[str, Any]:
    """Return the metrics and the checks, ready for JSON; `passed` is true when every check passed."""
    cameras = {topic: _account(run, topic) for topic in sorted({one.topic for one in run.camera_runs})}
    growths = {growth.name: _growth(run.samples, growth) for growth in GROWTHS}
    checks = [
        *(_growth_check(growth, growths[growth.name], run.minutes) for growth in GROWTHS),
        *(check for topic, account in cameras.items() for check in _account_checks(topic, account)),
        *_observer_checks(run),
        *_process_checks(run),
    ]
    events: dict[str, int] = {}
    for _, kind, _ in run.events:
        events[kind] = events.get(kind, 0) + 1
    return {
        "schema": 2,
        "minutes": round(run.minutes, 2),
        "passed": all(check.passed for check in checks),
        "checks": [asdict(check) for check in checks],
        "cameras": cameras,
        "growth": growths,
        "events": events,
        "faces": len(run.observer.faces),
        "responses": run.observer.response_count,
        "processor_share": _processor_share(run.samples),
        "issues": run.observer.issues.examples,
        "series": {name: [asdict(s)[name] for s in _thinned(run.samples)] for name in asdict(run.samples[0])},
    }


def _account(run: SoakRun, topic: str) -> dict[str, Any]:
    """Return what became of every image of one camera topic."""
    status = dk.camera_status("ast_net", topic)
    values = {
        name: run.observer.value(status, key)
        for name, key in (
            ("received", dk.RECEIVED),
            ("processed", dk.PROCESSED),
            ("late", dk.DROPPED_LATE),
            ("bad", dk.DROPPED_BAD),
            ("failed", dk.DROPPED_FAILED),
            ("lost", dk.LOST),
        )
    }
    counts = {name: 0 if math.isnan(value) else int(value) for name, value in values.items()}
    camera_runs = [one for one in run.camera_runs if one.topic == topic]
    sent = [stamp for one in camera_runs for stamp in one.sent]
    responses = run.observer.responses.get(topic, [])
    known = set(sent)
    return {
        **counts,
        "sent": len(sent),
        "runs": len(camera_runs),
        "killed": sum(one.killed is not None for one in camera_runs),
        "responses": len(responses),
        "duplicates": len(responses) - len(set(responses)),
        "responses_to_unknown_images": len(set(responses) - known),
        "out_of_order": int(np.sum(np.diff(np.array(responses, np.int64)) <= 0)),
        "unaccounted": len(sent) - counts["received"] - counts["lost"],
        "unaccounted_after_kill": _after_kill(run, camera_runs, set(responses)),
        "longest_silence_s": round(_longest_silence(run, camera_runs, topic), 2),
    }


def _after_kill(run: SoakRun, camera_runs: Sequence[CameraRun], answered: set[int]) -> int:
    """Count images without a response that were sent while the middleware still believed in a killed predecessor."""
    windows = [(one.killed, one.killed + LEASE) for one in camera_runs if one.killed is not None]
    moments = [(s - run.start_ns) / NANOSECONDS for one in camera_runs for s in one.sent if s not in answered]
    return sum(any(low <= moment <= high for low, high in windows) for moment in moments)


def _longest_silence(run: SoakRun, camera_runs: Sequence[CameraRun], topic: str) -> float:
    """Return the longest time between two responses within one run of a camera, without its pauses."""
    moments = [moment - run.start for moment in run.observer.received_at.get(topic, [])]
    longest = 0.0
    for one in camera_runs:
        inside = [moment for moment in moments if one.start <= moment <= one.end]
        for before, after in zip(inside, inside[1:]):
            paused = sum(max(0.0, min(after, end) - max(before, start)) for start, end in one.pauses)
            longest = max(longest, after - before - paused)
    return longest


def _growth(samples: Sequence[Sample], growth: Growth) -> dict[str, float]:
    """Compare the first and the last fifth after the warm-up, by medians (latency: 10th percentiles)."""
    kept = [(s.seconds, getattr(s, growth.name)) for s in samples]
    kept = [(t, v) for t, v in kept if t >= WARM_UP_SHARE * samples[-1].seconds and math.isfinite(v)]
    if len(kept) < 5:
        return {"first": math.nan, "last": math.nan, "per_minute": math.nan}
    values = np.array(kept)
    fifth = max(1, len(values) // 5)
    # An image with many faces takes longer at any time: latency has grown when its 10th percentile has.
    quantile = 0.1 if growth.name == "latency" else 0.5
    t0, t1 = np.median(values[:fifth, 0]), np.median(values[-fifth:, 0])
    v0, v1 = np.quantile(values[:fifth, 1], quantile), np.quantile(values[-fifth:, 1], quantile)
    return {
        "first": round(float(v0), 3),
        "last": round(float(v1), 3),
        "highest": round(float(values[:, 1].max()), 3),
        "per_minute": round(float((v1 - v0) / (t1 - t0) * 60), 4),
    }


def _growth_check(growth: Growth, found: Mapping[str, float], minutes: float) -> Check:
    rise, unit = found["last"] - found["first"], f" {growth.unit}" if growth.unit else ""
    value = f"{found['first']:g} to {found['last']:g}{unit}, {found['per_minute']:+g} per minute"
    if minutes < SHORT_MINUTES:
        name = f"{growth.name}: rises by at most {growth.short_run:g}{unit} in a short run"
        return Check(name, bool(rise <= growth.short_run), value)
    name = f"{growth.name}: grows by at most {growth.per_minute:g}{unit} per minute"
    return Check(name, bool(rise <= growth.noise or found["per_minute"] <= growth.per_minute), value)


def _account_checks(topic: str, account: Mapping[str, Any]) -> list[Check]:
    fates = account["processed"] + account["late"] + account["bad"] + account["failed"]
    allowed = IN_FLIGHT * account["runs"] + account["unaccounted_after_kill"]
    return [
        Check(
            f"{topic}: every received image gets a response or is counted as dropped",
            account["received"] == fates and account["processed"] == account["responses"] and account["responses"] > 0,
            f"{account['received']} received; {account['processed']} processed, {account['late']} dropped for a newer "
            f"one, {account['bad']} bad, {account['failed']} failed; {account['responses']} responses",
        ),
        Check(
            f"{topic}: every sent image is received or counted as lost",
            -IN_FLIGHT * account["runs"] <= account["unaccounted"] <= allowed,
            f"{account['sent']} sent in {account['runs']} runs; {account['lost']} counted as lost; "
            f"{account['unaccounted']} neither, {allowed} allowed",
        ),
        Check(
            f"{topic}: responses arrive once, in order, and for images that were sent",
            account["duplicates"] == 0
            and account["out_of_order"] == 0
            and account["responses_to_unknown_images"] <= account["killed"],
            f"{account['duplicates']} duplicates, {account['out_of_order']} out of order, "
            f"{account['responses_to_unknown_images']} to unknown images ({account['killed']} kills may each hide one)",
        ),
        Check(
            f"{topic}: a running camera is never without a response for {LONGEST_SILENCE:g} s",
            account["longest_silence_s"] <= LONGEST_SILENCE,
            f"at most {account['longest_silence_s']} s",
        ),
        Check(
            f"{topic}: no image was bad and no batch failed",
            account["bad"] == account["failed"] == 0,
            f"{account['bad']} bad, {account['failed']} failed",
        ),
    ]


def _observer_checks(run: SoakRun) -> list[Check]:
    counts, faces = run.observer.issues.counts, run.observer.faces
    shared = [name for name, seen in faces.items() if len(seen.cameras) > 1]
    gap = max((seen.longest_gap for seen in faces.values()), default=0) / NANOSECONDS
    return [
        Check("every value is a number within its range", not counts, str(counts or "no issue")),
        Check("no face id appears in two cameras", not shared, f"{len(faces)} ids, {len(shared)} of them shared"),
        Check(
            "no face id returns after its track has ended",
            gap <= run.longest_timeout + 1e-3,
            f"longest gap of an id {gap:.2f} s; track_timeout at most {run.longest_timeout:g} s",
        ),
    ]


def _process_checks(run: SoakRun) -> list[Check]:
    lines = run.log.splitlines()
    bad = [line for line in lines if any(word in line for word in ("Traceback", "[ERROR]", "[FATAL]", "Exception"))]
    unexpected = [what for _, kind, what in run.events if kind == "unexpected result"]
    return [
        Check("the log has no error and no exception", not bad, f"{len(lines)} lines; {bad[:3] or 'none of these'}"),
        Check("every service returns the expected result", not unexpected, str(unexpected[:3] or "all did")),
        Check(
            f"every service responds within {SLOWEST_SERVICE:g} s",
            run.slowest_service <= SLOWEST_SERVICE,
            f"slowest {run.slowest_service:.2f} s",
        ),
        Check("the node exits with code 0 on SIGINT", run.exit_code == 0, f"code {run.exit_code}"),
    ]


def _processor_share(samples: Sequence[Sample]) -> float:
    """Return the mean number of cores that the node kept busy."""
    spent = samples[-1].processor - samples[0].processor
    return round(spent / max(samples[-1].seconds - samples[0].seconds, 1e-9), 3)


def _thinned(samples: Sequence[Sample]) -> Sequence[Sample]:
    return samples[:: max(1, len(samples) // 400)]

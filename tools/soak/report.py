"""The verdict of a soak: figures, checks with their limits, a page of curves.

In: what soak.watch saw, and what the cameras sent. Out: a dictionary that is written as JSON, with a
list of checks that hold or do not, and a picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ast_net_ros.ros.conversions import NANOSECONDS
from soak.watch import Observer, Sample

LEASE = 21.0  # seconds after a kill in which two publishers seem to be there, and losses cannot be counted
IN_FLIGHT = 2  # images that may be on their way when a camera ends
LONGEST_SILENCE = 6.0  # seconds without an answer to a camera that sends
SLOWEST_SERVICE = 20.0  # seconds
WARM_UP_SHARE = 0.2  # of the run, in which memory may still find its level
SHORT_MINUTES = 10.0  # below this everything still finds its level: slopes say nothing, only a rise is judged


@dataclass(frozen=True)
class Growth:
    """What may grow, by how much a minute at most, the difference that is no growth yet, and the one in a short run."""

    name: str
    unit: str
    a_minute: float
    noise: float
    short_run: float


GROWTHS = (
    Growth("memory", "MiB", 0.3, 6.0, 150.0),
    Growth("threads", "", 0.02, 1.0, 10.0),
    Growth("files", "", 0.05, 3.0, 10.0),
    Growth("latency", "ms", 2.0, 40.0, 2000.0),
)


@dataclass
class CameraLife:
    """One process of a camera. sent: stamps in ns. killed: when (seconds since the soak began), None when it ended in
    order. interruptions: (from, to) in seconds, when it was stopped for a while."""

    topic: str
    video: str
    began: float
    ended: float = math.inf
    killed: float | None = None
    sent: list[int] = field(default_factory=list)
    interruptions: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Check:
    """One promise. holds: whether it was kept. value: what was measured, in words."""

    name: str
    holds: bool
    value: str


@dataclass(frozen=True)
class SoakRun:
    """All that was seen. events: (seconds, kind, what). began, began_ns: the monotonic and the wall clock at 0."""

    minutes: float
    began: float
    began_ns: int
    samples: Sequence[Sample]
    lives: Sequence[CameraLife]
    observer: Observer
    events: Sequence[tuple[float, str, str]]
    slowest_service: float
    longest_timeout: float
    exit_code: int
    log: str


def report(run: SoakRun) -> dict[str, Any]:
    """The figures and the checks, ready for JSON. `holds` tells whether every check does."""
    cameras = {topic: _account(run, topic) for topic in sorted({life.topic for life in run.lives})}
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
        "schema": 1,
        "minutes": round(run.minutes, 2),
        "holds": all(check.holds for check in checks),
        "checks": [asdict(check) for check in checks],
        "cameras": cameras,
        "growth": growths,
        "events": events,
        "faces": len(run.observer.faces),
        "answers": run.observer.answered,
        "processor_share": _processor_share(run.samples),
        "complaints": run.observer.complaints.examples,
        "series": {name: [asdict(s)[name] for s in _thinned(run.samples)] for name in asdict(run.samples[0])},
    }


def _account(run: SoakRun, topic: str) -> dict[str, Any]:
    """What became of every image of one camera topic."""
    status = f"ast_net: camera {topic}"
    count = {
        name: run.observer.figure(status, key)
        for name, key in (
            ("received", "received"),
            ("processed", "processed"),
            ("late", "dropped, newer came"),
            ("bad", "dropped, bad image"),
            ("failed", "dropped, estimation failed"),
            ("lost", "lost before receipt"),
        )
    }
    counts = {name: 0 if math.isnan(value) else int(value) for name, value in count.items()}
    lives = [life for life in run.lives if life.topic == topic]
    sent = [stamp for life in lives for stamp in life.sent]
    answers = run.observer.answers.get(topic, [])
    answered, known = set(answers), set(sent)
    unexplained = len(sent) - counts["received"] - counts["lost"]
    return {
        **counts,
        "sent": len(sent),
        "lives": len(lives),
        "killed": sum(life.killed is not None for life in lives),
        "answers": len(answers),
        "answered twice": len(answers) - len(answered),
        "answered, never sent": len(answered - known),
        "out of order": int(np.sum(np.diff(np.array(answers, np.int64)) <= 0)),
        "neither received nor counted as lost": unexplained,
        "of these in a dead camera's lease": _in_lease(run, lives, answered),
        "longest silence (s)": round(_longest_silence(run, lives, topic), 2),
    }


def _in_lease(run: SoakRun, lives: Sequence[CameraLife], answered: set[int]) -> int:
    """Unanswered images that were sent while the middleware still believed in a killed predecessor."""
    windows = [(life.killed, life.killed + LEASE) for life in lives if life.killed is not None]
    moments = [(s - run.began_ns) / NANOSECONDS for life in lives for s in life.sent if s not in answered]
    return sum(any(low <= moment <= high for low, high in windows) for moment in moments)


def _longest_silence(run: SoakRun, lives: Sequence[CameraLife], topic: str) -> float:
    """The longest time between two answers within one life of a camera, less the times in which it was stopped."""
    moments = [moment - run.began for moment in run.observer.received_at.get(topic, [])]
    longest = 0.0
    for life in lives:
        inside = [moment for moment in moments if life.began <= moment <= life.ended]
        for before, after in zip(inside, inside[1:]):
            stopped = sum(max(0.0, min(after, end) - max(before, start)) for start, end in life.interruptions)
            longest = max(longest, after - before - stopped)
    return longest


def _growth(samples: Sequence[Sample], growth: Growth) -> dict[str, float]:
    """From the first fifth after the warm-up to the last: medians (latency: best tenths) and the rise by the minute."""
    kept = [(s.seconds, getattr(s, growth.name)) for s in samples]
    kept = [(t, v) for t, v in kept if t >= WARM_UP_SHARE * samples[-1].seconds and math.isfinite(v)]
    if len(kept) < 5:
        return {"first": math.nan, "last": math.nan, "a minute": math.nan}
    values = np.array(kept)
    fifth = max(1, len(values) // 5)
    # A picture of many faces takes longer at any time: latency has grown when its best tenth has.
    quantile = 0.1 if growth.name == "latency" else 0.5
    t0, t1 = np.median(values[:fifth, 0]), np.median(values[-fifth:, 0])
    v0, v1 = np.quantile(values[:fifth, 1], quantile), np.quantile(values[-fifth:, 1], quantile)
    return {
        "first": round(float(v0), 3),
        "last": round(float(v1), 3),
        "highest": round(float(values[:, 1].max()), 3),
        "a minute": round(float((v1 - v0) / (t1 - t0) * 60), 4),
    }


def _growth_check(growth: Growth, found: Mapping[str, float], minutes: float) -> Check:
    rise, unit = found["last"] - found["first"], f" {growth.unit}" if growth.unit else ""
    value = f"{found['first']:g} to {found['last']:g}{unit}, {found['a minute']:+g} a minute"
    if minutes < SHORT_MINUTES:
        name = f"{growth.name}: rises by no more than {growth.short_run:g}{unit} in a short run"
        return Check(name, bool(rise <= growth.short_run), value)
    name = f"{growth.name}: grows by no more than {growth.a_minute:g}{unit} a minute"
    return Check(name, bool(rise <= growth.noise or found["a minute"] <= growth.a_minute), value)


def _account_checks(topic: str, account: Mapping[str, Any]) -> list[Check]:
    fates = account["processed"] + account["late"] + account["bad"] + account["failed"]
    unexplained = account["neither received nor counted as lost"]
    allowed = IN_FLIGHT * account["lives"] + account["of these in a dead camera's lease"]
    return [
        Check(
            f"{topic}: every received image is answered or counted as dropped",
            account["received"] == fates and account["processed"] == account["answers"] and account["answers"] > 0,
            f"{account['received']} received; {account['processed']} processed, {account['late']} dropped as a newer "
            f"came, {account['bad']} bad, {account['failed']} failed; {account['answers']} answers",
        ),
        Check(
            f"{topic}: every sent image is received or counted as lost",
            -IN_FLIGHT * account["lives"] <= unexplained <= allowed,
            f"{account['sent']} sent in {account['lives']} lives; {account['lost']} counted as lost; {unexplained} "
            f"neither, of {allowed} allowed",
        ),
        Check(
            f"{topic}: answers come once, in order, and for images that were sent",
            account["answered twice"] == 0
            and account["out of order"] == 0
            and account["answered, never sent"] <= account["killed"],
            f"{account['answered twice']} twice, {account['out of order']} out of order, "
            f"{account['answered, never sent']} unknown ({account['killed']} kills may each hide one)",
        ),
        Check(
            f"{topic}: a living camera is never without an answer for {LONGEST_SILENCE:g} s",
            account["longest silence (s)"] <= LONGEST_SILENCE,
            f"{account['longest silence (s)']} s at most",
        ),
        Check(
            f"{topic}: no image was bad and no batch failed",
            account["bad"] == account["failed"] == 0,
            f"{account['bad']} bad, {account['failed']} failed",
        ),
    ]


def _observer_checks(run: SoakRun) -> list[Check]:
    counts, faces = run.observer.complaints.counts, run.observer.faces
    shared = [name for name, seen in faces.items() if len(seen.cameras) > 1]
    gap = max((seen.longest_gap for seen in faces.values()), default=0) / NANOSECONDS
    return [
        Check("no value is out of range or not a number", not counts, str(counts or "none")),
        Check("no face id is seen in two cameras", not shared, f"{len(faces)} ids, {len(shared)} of them shared"),
        Check(
            "no face id returns after its track has ended",
            gap <= run.longest_timeout + 1e-3,
            f"longest time between two sights of an id {gap:.2f} s; track_timeout at most {run.longest_timeout:g} s",
        ),
    ]


def _process_checks(run: SoakRun) -> list[Check]:
    lines = run.log.splitlines()
    bad = [line for line in lines if any(word in line for word in ("Traceback", "[ERROR]", "[FATAL]", "Exception"))]
    refused = [what for _, kind, what in run.events if kind == "unexpected answer"]
    return [
        Check("no error and no exception is in the log", not bad, f"{len(lines)} lines; {bad[:3] or 'none of these'}"),
        Check("every service answers as it should", not refused, str(refused[:3] or "all did")),
        Check(
            f"every service answers within {SLOWEST_SERVICE:g} s",
            run.slowest_service <= SLOWEST_SERVICE,
            f"slowest {run.slowest_service:.2f} s",
        ),
        Check("the node ends with code 0 on SIGINT", run.exit_code == 0, f"code {run.exit_code}"),
    ]


def _processor_share(samples: Sequence[Sample]) -> float:
    """Cores that the node kept busy, in the mean."""
    spent = samples[-1].processor - samples[0].processor
    return round(spent / max(samples[-1].seconds - samples[0].seconds, 1e-9), 3)


def _thinned(samples: Sequence[Sample]) -> Sequence[Sample]:
    return samples[:: max(1, len(samples) // 400)]


def plot(run: SoakRun, path: Path) -> None:
    """Memory, threads and files, latency, answers a second, over minutes; a line where something was done to it."""
    minutes = np.array([s.seconds for s in run.samples]) / 60
    figure = Figure(figsize=(12, 9), dpi=100, layout="constrained")
    axes = figure.subplots(5, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2, 3, 3, 2]})
    axes[0].plot(minutes, [s.memory for s in run.samples], color="#2b6cb0")
    axes[0].set_ylabel("memory (MiB)")
    axes[0].set_ylim(bottom=0)
    axes[1].plot(minutes, [s.threads for s in run.samples], color="#2f855a", label="threads")
    axes[1].plot(minutes, [s.files for s in run.samples], color="#c05621", label="file descriptors")
    axes[1].set_ylim(bottom=0)
    axes[1].legend(loc="lower right", ncols=2)
    axes[2].plot(minutes, [s.latency for s in run.samples], color="#6b46c1")
    axes[2].set_ylabel("receipt to answer,\np95 (ms)")
    axes[2].set_ylim(bottom=0)
    answers = np.array([s.answers for s in run.samples], float)
    seconds = np.maximum(np.diff(minutes * 60), 1e-3)
    axes[3].plot(minutes[1:], np.diff(answers) / seconds, color="#718096", linewidth=0.7)
    axes[3].set_ylabel("answers\na second")
    kinds = sorted({kind for _, kind, _ in run.events})
    for row, kind in enumerate(kinds):
        moments = [seconds / 60 for seconds, k, _ in run.events if k == kind]
        axes[4].plot(moments, [row] * len(moments), "|", color="#2d3748", markersize=9)
    axes[4].set_yticks(range(len(kinds)), kinds)
    axes[4].set_ylim(-0.7, len(kinds) - 0.3)
    axes[4].set_xlabel("minutes")
    for ax in axes:
        ax.grid(color="#e2e8f0")
    figure.suptitle(f"ast_net_node over {run.minutes:.1f} minutes: {run.observer.answered} answers")
    FigureCanvasAgg(figure).print_png(path)

"""What the node says of itself on /diagnostics, in the conventions of the standard aggregator.

In: figures that the node gathers. Out: one DiagnosticStatus for the estimation and one for each camera,
with a level, a sentence, and every figure as a key and a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from ast_net_ros.ros.camera import Camera, CameraCounts
from ast_net_ros.ros.rolling_stats import CountHistory, RecentValues

if TYPE_CHECKING:
    from ast_net_ros.pipeline import AffectPipeline
    from ast_net_ros.ros.inference_thread import InferenceThread

STAMPS_BACK_ALLOWED = 2  # in a window; a looped recording or a restarted camera does so once


@dataclass(frozen=True)
class EstimationFigures:
    """What the estimation's status is made of. stopped_by: what took the node out of its work, empty when nothing did.
    oom_splits: batches that were too large for the device's memory and went in halves."""

    state: str
    stopped_by: str
    about: Mapping[str, str]
    latency: RecentValues
    age: RecentValues
    stages: Mapping[str, RecentValues]
    failures_in_row: int
    failures: int
    last_failure: str
    tracks: int
    oom_splits: int


def estimation_figures(
    state: str, stopped_by: str, pipeline: AffectPipeline | None, estimation: InferenceThread | None
) -> EstimationFigures:
    """The figures of now. pipeline: None while unconfigured. estimation: None while not active."""
    about: dict[str, str] = {}
    if pipeline is not None:
        model = pipeline.model
        about = {"device": str(model.device), "precision": model.precision, "runtime": model.runtime}
        about |= {
            "weights": model.weights_path,
            "weights SHA-256": model.weights_hash,
            "weights description": model.description,
        }
    return EstimationFigures(
        state=state,
        stopped_by=stopped_by,
        about=about,
        latency=estimation.latency if estimation else RecentValues(),
        age=estimation.age if estimation else RecentValues(),
        stages=dict(estimation.stages) if estimation else {},
        failures_in_row=estimation.failures_in_row if estimation else 0,
        failures=estimation.failures if estimation else 0,
        last_failure=estimation.last_failure if estimation else "",
        tracks=sum(list(estimation.tracks.values())) if estimation else 0,
        oom_splits=pipeline.model.oom_splits if pipeline else 0,
    )


def estimation_status(name: str, figures: EstimationFigures, values: Mapping[str, Any]) -> DiagnosticStatus:
    """The status of the network and the pipeline. values: the node's parameters, which hold the thresholds."""
    status = DiagnosticStatus(name=name, hardware_id=figures.about.get("device", ""))
    latency = figures.latency.summary()
    status.level, status.message = DiagnosticStatus.OK, figures.state
    if figures.stopped_by:
        status.level = DiagnosticStatus.ERROR
        status.message = f"{figures.state}: {figures.stopped_by}; configure and activate the node to go on"
    elif figures.failures_in_row:
        status.level = DiagnosticStatus.ERROR
        status.message = f"estimation fails: {figures.last_failure}"
    elif latency is not None and latency[1] > values["latency_error"]:
        status.level = DiagnosticStatus.ERROR
        status.message = f"latency of {latency[1]:.3f} s exceeds {values['latency_error']} s"
    elif latency is not None and latency[1] > values["latency_warning"]:
        status.level = DiagnosticStatus.WARN
        status.message = f"latency of {latency[1]:.3f} s exceeds {values['latency_warning']} s"
    pairs: dict[str, object] = {"state": figures.state, **figures.about}
    pairs |= {"tracks": figures.tracks, "failed batches": figures.failures, "last failure": figures.last_failure}
    pairs |= {"batches halved for want of memory": figures.oom_splits}
    pairs |= _milliseconds("receipt to publish", figures.latency)
    pairs |= _milliseconds("stamp to publish", figures.age)
    for stage, recent in figures.stages.items():
        pairs |= _milliseconds(f"stage {stage}", recent)
    status.values = _key_values(pairs)
    return status


def camera_status(
    name: str, camera: Camera, history: CountHistory, trouble: str, tracks: int, values: Mapping[str, Any]
) -> DiagnosticStatus:
    """The status of one camera. trouble: why nothing can arrive, empty when nothing is in the way."""
    status = DiagnosticStatus(name=name, hardware_id=camera.topic)
    span, growth = history.tick(camera.counts)
    input_rate, output_rate = (count / span if span > 0 else 0.0 for count in (growth.received, growth.processed))
    complaints = _complaints(camera, growth, span, trouble, values["dropped_warning"])
    status.level = DiagnosticStatus.WARN if complaints else DiagnosticStatus.OK
    status.message = "; ".join(complaints) or f"{output_rate:.1f} images/s processed"
    counts = camera.counts
    status.values = _key_values(
        {
            "topic": camera.topic,
            "type": camera.message_type,
            "publishers": camera.publishers,
            "input rate (1/s)": f"{input_rate:.2f}",
            "output rate (1/s)": f"{output_rate:.2f}",
            "received": counts.received,
            "processed": counts.processed,
            "dropped, newer came": counts.late,
            "dropped, bad image": counts.bad,
            "dropped, estimation failed": counts.failed,
            "lost before receipt": "unknown" if counts.lost is None else counts.lost,
            "stamps that went back": counts.stamps_back,
            "last problem": camera.last_problem,
            "faces": counts.faces,
            "tracks": tracks,
        }
    )
    return status


def _complaints(camera: Camera, growth: CameraCounts, span: float, trouble: str, dropped_warning: float) -> list[str]:
    """All that is wrong with a camera, by what its counts grew by within `span` seconds."""
    complaints = [trouble] if trouble else []
    if growth.bad or growth.failed:
        complaints.append(camera.last_problem)
    if growth.stamps_back > STAMPS_BACK_ALLOWED:
        complaints.append(
            f"stamps went back {growth.stamps_back} times in {span:.0f} s, which begins the states anew each time; "
            f"{camera.publishers} publishers share the topic: give each its own"
        )
    dropped = growth.late / growth.received if growth.received else 0.0
    if dropped > dropped_warning:
        complaints.append(f"{dropped:.0%} of the images come faster than they can be processed")
    return complaints


def _milliseconds(name: str, recent: RecentValues) -> dict[str, object]:
    summary = recent.summary()
    if summary is None:
        return {}
    return {f"{name}, mean (ms)": f"{1e3 * summary[0]:.2f}", f"{name}, p95 (ms)": f"{1e3 * summary[1]:.2f}"}


def _key_values(pairs: Mapping[str, object]) -> list[KeyValue]:
    return [KeyValue(key=key, value=str(value)) for key, value in pairs.items()]

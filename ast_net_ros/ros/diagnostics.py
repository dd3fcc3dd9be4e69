"""The node's statuses on /diagnostics, in the conventions of the standard aggregator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.ros import diagnostics_keys as keys
from ast_net_ros.ros.camera import Camera
from ast_net_ros.ros.inference_thread import InferenceThread
from ast_net_ros.ros.rolling_stats import CameraCounts, RecentValues

STAMPS_BACK_ALLOWED = 2  # within WINDOW; a looped recording or a restarted camera does so once
LOSS_WARNING = 0.05  # share of the images; a single one may be lost while a subscription is set up
_LOSS_MINIMUM = 3  # images within WINDOW


def estimation_status(
    node_name: str,
    state: str,
    stop_reason: str,
    pipeline: AffectPipeline | None,
    inference: InferenceThread | None,
    paused: bool,
    values: Mapping[str, Any],
) -> DiagnosticStatus:
    """Return the status of network and pipeline.

    Args:
        node_name: Name of the node.
        state: Its lifecycle state.
        stop_reason: Which error stopped the node; empty when none did.
        pipeline: None while unconfigured.
        inference: None while not active.
        paused: Whether the node takes no images for the time being.
        values: The node's parameters, which hold the thresholds.
    """
    model = pipeline.model if pipeline else None
    status = DiagnosticStatus(name=keys.estimation_status(node_name), hardware_id=str(model.device) if model else "")
    doing = "paused" if paused else state
    status.level, status.message = _estimation_level(doing, stop_reason, inference, values)
    pairs: dict[str, object] = {keys.STATE: state, keys.PAUSED: str(paused).lower()}
    if model is not None:
        pairs |= {
            keys.DEVICE: model.device,
            keys.PRECISION: model.precision,
            keys.RUNTIME: model.runtime,
            keys.WEIGHTS: model.weights_path,
            keys.WEIGHTS_HASH: model.weights_hash,
            keys.WEIGHTS_DESCRIPTION: model.description,
        }
    pairs |= {
        keys.TRACKS: sum(list(inference.tracks.values())) if inference else 0,
        keys.FAILED_BATCHES: inference.failures if inference else 0,
        keys.LAST_FAILURE: inference.last_failure if inference else "",
        keys.OOM_SPLITS: model.oom_splits if model else 0,
    }
    if inference is not None:
        pairs |= _milliseconds(keys.RECEIPT_TO_PUBLISH, inference.latency)
        pairs |= _milliseconds(keys.STAMP_TO_PUBLISH, inference.age)
        for stage, recent in dict(inference.stages).items():
            pairs |= _milliseconds(keys.stage(stage), recent)
    status.values = _key_values(pairs)
    return status


def camera_status(
    node_name: str, camera: Camera, tracks: int, values: Mapping[str, Any], loss_advice: str
) -> tuple[DiagnosticStatus, str]:
    """Update a camera's history; return its status, and a warning about images lost before receipt, if any.

    Args:
        node_name: Name of the node.
        camera: The camera.
        tracks: Number of tracked faces.
        values: The node's parameters, which hold the thresholds.
        loss_advice: What to do about lost images.
    """
    status = DiagnosticStatus(name=keys.camera_status(node_name, camera.topic), hardware_id=camera.topic)
    counts = camera.counts
    span, increase = camera.history.update(counts)
    input_rate, output_rate = (count / span if span > 0 else 0.0 for count in (increase.received, increase.processed))
    loss = _loss_warning(increase, span, loss_advice)
    warnings = [*_warnings(camera, increase, span, values["dropped_warning"]), *filter(None, [loss])]
    status.level = DiagnosticStatus.WARN if warnings else DiagnosticStatus.OK
    doing = f"{output_rate:.1f} images/s processed" if camera.is_subscribed else "paused"
    status.message = "; ".join(warnings) or doing
    status.values = _key_values(
        {
            keys.TOPIC: camera.topic,
            keys.TYPE: camera.message_type,
            keys.PUBLISHERS: camera.publishers,
            keys.INPUT_RATE: f"{input_rate:.2f}",
            keys.OUTPUT_RATE: f"{output_rate:.2f}",
            keys.RECEIVED: counts.received,
            keys.PROCESSED: counts.processed,
            keys.DROPPED_LATE: counts.late,
            keys.DROPPED_BAD: counts.bad,
            keys.DROPPED_FAILED: counts.failed,
            keys.LOST: keys.UNKNOWN if counts.lost is None else counts.lost,
            keys.STAMPS_BACK: counts.stamps_back,
            keys.LAST_PROBLEM: camera.last_problem,
            keys.FACES: counts.faces,
            keys.TRACKS: tracks,
        }
    )
    return status, loss


def _estimation_level(
    state: str, stop_reason: str, inference: InferenceThread | None, values: Mapping[str, Any]
) -> tuple[bytes, str]:
    if stop_reason:
        return DiagnosticStatus.ERROR, f"{state}: {stop_reason}; configure and activate the node to continue"
    if inference is None:
        return DiagnosticStatus.OK, state
    if inference.failures_in_row:
        return DiagnosticStatus.ERROR, f"inference fails: {inference.last_failure}"
    latency = inference.latency.summary()
    levels = (DiagnosticStatus.ERROR, values["latency_error"]), (DiagnosticStatus.WARN, values["latency_warning"])
    for level, limit in levels:
        if latency is not None and latency[1] > limit:
            return level, f"latency of {latency[1]:.3f} s exceeds {limit} s"
    return DiagnosticStatus.OK, state


def _warnings(camera: Camera, increase: CameraCounts, span: float, dropped_warning: float) -> list[str]:
    """Return what is wrong with a camera, given the increase of its counts within `span` seconds."""
    warnings = [camera.issue] if camera.issue else []
    if increase.bad or increase.failed:
        warnings.append(camera.last_problem)
    if increase.stamps_back > STAMPS_BACK_ALLOWED:
        warnings.append(
            f"stamps went back {increase.stamps_back} times in {span:.0f} s and reset the face states each time; "
            f"publishers on the topic: {camera.publishers}; give each its own topic, or fix the camera's stamps"
        )
    dropped = increase.late / increase.received if increase.received else 0.0
    if dropped > dropped_warning:
        warnings.append(
            f"{dropped:.0%} of the images were dropped because newer ones arrived before they could be processed"
        )
    return warnings


def _loss_warning(increase: CameraCounts, span: float, advice: str) -> str:
    lost = increase.lost or 0
    sent = lost + increase.received
    if lost < _LOSS_MINIMUM or lost <= LOSS_WARNING * sent:
        return ""
    return f"{lost} of {sent} images sent in {span:.0f} s were lost before receipt; {advice}"


def _milliseconds(name: str, recent: RecentValues) -> dict[str, object]:
    summary = recent.summary()
    if summary is None:
        return {}
    return {keys.mean_ms(name): f"{1e3 * summary[0]:.2f}", keys.p95_ms(name): f"{1e3 * summary[1]:.2f}"}


def _key_values(pairs: Mapping[str, object]) -> list[KeyValue]:
    return [KeyValue(key=key, value=str(value)) for key, value in pairs.items()]

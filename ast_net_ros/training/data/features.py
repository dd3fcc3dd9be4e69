"""The face of a recording as the CNN sees it, cached on disk.

In: a :class:`Recording` and a CNN. Out: a :class:`FaceSequence`: attribute features of the largest face of each frame,
detected, aligned and encoded as in the running node. The cache is keyed by the CNN's weights and the recording's files.
Without a CNN the chips are kept instead, to fine-tune it on them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import DiscreteEmotionCNN
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.checkpoint import state_digest
from ast_net_ros.training.data.array_cache import cached_arrays
from ast_net_ros.training.data.recordings import (
    SPLITS,
    FaceSequence,
    Recording,
    RecordingSet,
    StepClip,
    step_clips,
)
from ast_net_ros.vision.alignment import align_face
from ast_net_ros.vision.detection import Detector, largest_detection, make_detector
from ast_net_ros.vision.face_crops import crop_chip
from ast_net_ros.vision.video import VideoError

_FORMAT = "features/2"  # raise when the way from frame to feature changes
_BATCH = 64
_NAMED = 5  # undecodable frames that are named one by one


def encode_recordings(
    opened: RecordingSet,
    cnn: DiscreteEmotionCNN | None,
    network: NetworkConfig,
    cache: Path,
    label_delay: float = 0.0,
    log: Callable[[str], None] = lambda _: None,
) -> dict[str, list[StepClip]]:
    """Encode every recording, or read it from the cache, and split it into clips of model steps, returned by split.

    What is not used is logged with the reason.

    Raises:
        DataError: No recording has a face with labels.
    """
    clips: dict[str, list[StepClip]] = {split: [] for split in SPLITS}
    for reason in opened.left_out:
        log(f"left out: {reason}")
    for recording in tqdm(opened.recordings, "recordings", unit="recording"):
        try:
            sequence = cached_face_sequence(recording, cnn, network, cache)
        except VideoError as error:
            log(f"left out: {recording.name}: {error}")
            continue
        parts = step_clips(recording, sequence, network.step_seconds, label_delay)
        for remark in (*recording.remarks, *sequence_remarks(recording, sequence, parts)):
            log(remark)
        clips[recording.split].extend(parts)
    if not any(clips.values()):
        raise DataError("no recording shows a face while it has labels; the reasons are listed above")
    return clips


def sequence_remarks(recording: Recording, sequence: FaceSequence, clips: Sequence[StepClip]) -> Iterator[str]:
    """Yield what is wrong with a recording and its labels; `clips` are those that it gives."""
    found = len(sequence.stamps)
    if sequence.undecodable:
        yield f"{recording.name}: skipped, cannot be decoded: {', '.join(sequence.undecodable)}"
    if not clips:
        reason = "no label while a face is seen" if found else "no face found" if sequence.frames else "no frame"
        yield f"left out: {recording.name}: {reason} ({sequence.frames} frames, {found} with a face)"
    elif abs(float(sequence.stamps[-1] - recording.label_stamps[-1])) > 1.0:
        yield (
            f"{recording.name}: the face is last seen at {sequence.stamps[-1]:.1f} s, the last label is at "
            f"{recording.label_stamps[-1]:.1f} s; only the time that both cover is used"
        )


def cached_face_sequence(
    recording: Recording, cnn: DiscreteEmotionCNN | None, network: NetworkConfig, cache: Path
) -> FaceSequence:
    """As `encode_recording`, kept in the folder `cache` until the recording, the CNN's weights or chip_side change."""
    encoder = f"{_FORMAT} {network.chip_side} {state_digest(cnn) if cnn else 'chips'}"
    about = json.dumps([encoder, recording.source, recording.cropped])
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", recording.name)[:60]
    path = cache / f"{name}-{hashlib.sha256(about.encode()).hexdigest()[:16]}.npz"

    def make() -> dict[str, np.ndarray]:
        sequence = encode_recording(recording, cnn, network)
        return {
            "stamps": sequence.stamps,
            "inputs": sequence.inputs,
            "frames": np.array(sequence.frames),
            "undecodable": np.array(sequence.undecodable, str),
        }

    stored = cached_arrays(path, about, make)
    undecodable = tuple(stored["undecodable"].tolist())
    return FaceSequence(stored["stamps"], stored["inputs"], int(stored["frames"]), undecodable)


@torch.inference_mode()
def encode_recording(recording: Recording, cnn: DiscreteEmotionCNN | None, network: NetworkConfig) -> FaceSequence:
    """Find, align and encode the largest face of every frame; without a CNN the chips are kept.

    Frames that cannot be decoded or show no face are skipped and counted.
    """
    detector, frames = make_detector(), 0
    stamps: list[float] = []
    broken: list[str] = []
    chips: list[np.ndarray] = []
    parts: list[np.ndarray] = []
    for stamp, name, frame in tqdm(recording.frames(), recording.name, unit="frame", leave=False):
        frames += 1
        if frame is None:
            broken.append(name)
            continue
        chip = frame if recording.aligned else _chip(frame, recording.cropped, detector, network.chip_side)
        if chip is not None:
            stamps.append(stamp)
            chips.append(chip)
        if len(chips) == _BATCH:
            parts.append(_encode(cnn, chips))
            chips = []
    if chips:
        parts.append(_encode(cnn, chips))
    if len(broken) > _NAMED:
        broken = [*broken[:_NAMED], f"{len(broken) - _NAMED} more"]
    inputs = np.concatenate(parts) if parts else np.zeros((0, network.attributes), np.float32)
    return FaceSequence(np.array(stamps, np.float64), inputs, frames, tuple(broken))


def _chip(frame: np.ndarray, cropped: bool, detector: Detector, side: int) -> np.ndarray | None:
    if cropped:
        return crop_chip(detector, frame, side)[0]
    face = largest_detection(detector.detect(frame))
    return None if face is None else align_face(frame, face.landmarks, side)


def _encode(cnn: DiscreteEmotionCNN | None, chips: Sequence[np.ndarray]) -> np.ndarray:
    batch = np.stack(chips)
    if cnn is None:
        return batch
    attributes, _ = cnn.eval()(torch.from_numpy(batch).unsqueeze(1).to(next(cnn.parameters()).device))
    return attributes.float().cpu().numpy()

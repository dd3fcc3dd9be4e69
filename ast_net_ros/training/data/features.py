"""A recording's face as the CNN sees it, kept on disk.

In: a :class:`Recording` and a CNN. Out: a :class:`FaceSequence`: attribute features of the largest face of each frame,
found, aligned and encoded by the functions that the running node uses. The cache is keyed by the CNN's weights and by
the recording's files; a change of either makes a new entry, and an entry is whole or absent. Without a CNN, as its
weights are about to change, the chips themselves are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tqdm import tqdm

from ast_net_ros.model.network import DiscreteEmotionCNN, NetworkConfig
from ast_net_ros.training.data.faces import SEEN_SIDE, DataError, bordered, largest_face
from ast_net_ros.training.data.recordings import FaceSequence, Recording, RecordingSet, StepClip, step_clips
from ast_net_ros.vision.alignment import align_face
from ast_net_ros.vision.detection import FaceDetector
from ast_net_ros.vision.video import VideoError

_FORMAT = "features/1"  # raise when the way from frame to feature changes
_BATCH = 64
_NAMED = 5  # undecodable frames that are named one by one


def clips_of(
    opened: RecordingSet,
    cnn: DiscreteEmotionCNN | None,
    network: NetworkConfig,
    cache: Path,
    label_delay: float = 0.0,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, list[StepClip]]:
    """Every recording in model steps, by split. `tell` hears of each recording or part that is not used, and why.

    Raises DataError when no recording at all has a face with labels.
    """
    clips: dict[str, list[StepClip]] = {"train": [], "valid": [], "test": []}
    for reason in opened.left_out:
        tell(f"left out: {reason}")
    detector = FaceDetector()
    key = weights_key(cnn, network)
    for recording in tqdm(opened.recordings, "recordings", unit="recording"):
        try:
            seen = cached_features(recording, cnn, network, cache, detector, key)
        except VideoError as error:
            tell(f"left out: {recording.name}: {error}")
            continue
        cut = step_clips(recording, seen, network.step_seconds, label_delay)
        for remark in (*recording.remarks, *_remarks(recording, seen, cut)):
            tell(remark)
        clips[recording.split].extend(cut)
    if not any(clips.values()):
        raise DataError("no recording shows a face while it has labels; see the reasons above")
    return clips


def _remarks(recording: Recording, seen: FaceSequence, clips: Sequence[StepClip]) -> Iterator[str]:
    if seen.undecodable:
        yield f"{recording.name}: cannot be decoded, passed over: {', '.join(seen.undecodable)}"
    if not clips:
        what = (
            "no frame"
            if not seen.frames
            else "no face found"
            if not len(seen.stamps)
            else "no label while a face is seen"
        )
        yield f"left out: {recording.name}: {what} ({seen.frames} frames, {len(seen.stamps)} with a face)"
    elif abs(float(seen.stamps[-1] - recording.label_stamps[-1])) > 1.0:
        yield (
            f"{recording.name}: the face is last seen at {seen.stamps[-1]:.1f} s, the last label is at "
            f"{recording.label_stamps[-1]:.1f} s; what both cover is used"
        )


def weights_key(cnn: DiscreteEmotionCNN | None, network: NetworkConfig) -> str:
    """A name for these weights: changes when any of their values or the chip's side does."""
    if cnn is None:
        return f"{_FORMAT} chips of {network.chip_side}"
    digest = hashlib.sha256(f"{_FORMAT} {network.chip_side}".encode())
    for name, value in sorted(cnn.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def cached_features(
    recording: Recording,
    cnn: DiscreteEmotionCNN | None,
    network: NetworkConfig,
    cache: Path,
    detector: FaceDetector,
    key: str,
) -> FaceSequence:
    """The recording's features, from `cache` where they lie there whole. `key`: of weights_key."""
    about = json.dumps([key, recording.source, recording.cropped])
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", recording.name)[:60]
    path = cache / f"{name}-{hashlib.sha256(about.encode()).hexdigest()[:16]}.safetensors"
    stored = _read(path, about)
    if stored is not None:
        return stored
    seen = encode_recording(recording, cnn, network, detector)
    cache.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    described = {"about": about, "frames": str(seen.frames), "undecodable": json.dumps(seen.undecodable)}
    save_file({"stamps": seen.stamps, "features": seen.features}, aside, described)
    aside.replace(path)
    return seen


def _read(path: Path, about: str) -> FaceSequence | None:
    """None where there is no entry, and for a damaged one, which is made anew."""
    try:
        with safe_open(path, framework="np") as stored:
            described = stored.metadata() or {}
            if described.get("about") != about:
                return None
            return FaceSequence(
                stored.get_tensor("stamps"),
                stored.get_tensor("features"),
                int(described["frames"]),
                tuple(json.loads(described["undecodable"])),
            )
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


@torch.inference_mode()
def encode_recording(
    recording: Recording, cnn: DiscreteEmotionCNN | None, network: NetworkConfig, detector: FaceDetector
) -> FaceSequence:
    """Look at every frame. A frame that cannot be decoded, or shows no face, is passed over and counted."""
    if cnn:
        cnn.eval()
    stamps: list[float] = []
    parts: list[np.ndarray] = []
    chips: list[np.ndarray] = []
    broken: list[str] = []
    frames = 0

    def encode() -> None:
        batch = np.stack(chips)
        parts.append(_attributes(cnn, batch) if cnn else batch)
        chips.clear()

    for stamp, name, frame in tqdm(recording.frames(), recording.name, unit="frame", leave=False):
        frames += 1
        if frame is None:
            broken.append(name)
            continue
        chip = _cropped_chip(frame, detector, network) if recording.cropped else _chip(frame, detector, network)
        if chip is not None:
            stamps.append(stamp)
            chips.append(chip)
        if len(chips) == _BATCH:
            encode()
    if chips:
        encode()
    if len(broken) > _NAMED:
        broken = [*broken[:_NAMED], f"{len(broken) - _NAMED} more"]
    nothing = np.zeros((0, network.attributes), np.float32)
    features = np.concatenate(parts) if parts else nothing
    return FaceSequence(np.array(stamps, np.float64), features, frames, tuple(broken))


def _attributes(cnn: DiscreteEmotionCNN, chips: np.ndarray) -> np.ndarray:
    batch = torch.from_numpy(chips).unsqueeze(1).to(next(cnn.parameters()).device)
    return cnn(batch)[0].float().cpu().numpy()


def _chip(frame: np.ndarray, detector: FaceDetector, network: NetworkConfig) -> np.ndarray | None:
    """The chip of the largest face, or None where there is none."""
    largest = largest_face(detector.detect(frame))
    return None if largest is None else align_face(frame, largest.landmarks, network.chip_side)


def _cropped_chip(frame: np.ndarray, detector: FaceDetector, network: NetworkConfig) -> np.ndarray:
    """The chip of a cut-out; the whole cut-out where the detector finds no face in it."""
    seen = cv2.resize(frame, (SEEN_SIDE, SEEN_SIDE), interpolation=cv2.INTER_AREA)
    chip = _chip(bordered(seen), detector, network)
    if chip is not None:
        return chip
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    return cv2.resize(grey, (network.chip_side, network.chip_side), interpolation=cv2.INTER_AREA)

"""The chips of the face that was rated, tracked and aligned as in the node."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ast_net_ros.bags.recordings import open_recording
from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.rating_files import DataError
from ast_net_ros.settings import PipelineSettings
from ast_net_ros.training.data.recordings import Frames
from ast_net_ros.vision.alignment import align_face


class _SeenFace(NamedTuple):
    face_id: str
    area: float  # of its box, square pixels
    chip: np.ndarray  # S x S uint8


def rated_chips(path: Path, topic: str | None, image_rotation: int, first_ns: int, face_id: str, side: int) -> Frames:
    """Yield the chip of the rated face in each frame that shows it, in seconds from the first frame.

    Where the recording never shows two faces at once, that is the only face, whatever its id: who is lost and found
    again may have another one. Otherwise it is the face `face_id`, or the largest where the ratings do not name one.
    Frames of a restarted camera, whose stamps jump back, are left out.

    Raises:
        DataError: Several faces are seen, and none has the id.
    """
    seen = _faces(path, topic, image_rotation, first_ns, side)
    alone = all(len(faces) == 1 for _, _, faces in seen)
    ids = {face.face_id for _, _, faces in seen for face in faces}
    if face_id and not alone and face_id not in ids:
        raise DataError(f"the rated face {face_id} is not seen; there are {', '.join(sorted(ids))}")
    for stamp, name, faces in seen:
        rated = [face for face in faces if alone or not face_id or face.face_id == face_id]
        if rated:
            yield stamp, name, max(rated, key=lambda face: face.area).chip


def _faces(
    path: Path, topic: str | None, image_rotation: int, first_ns: int, side: int
) -> list[tuple[float, str, list[_SeenFace]]]:
    """Track the faces of a recording: stamp, name and faces of each frame that shows any."""
    pipeline = AffectPipeline(settings=PipelineSettings(image_rotation=image_rotation))
    found, last = [], -np.inf
    with open_recording(path, topic) as recording:
        for frame in tqdm(recording.frames(), recording.name, recording.frame_count, unit="frame", leave=False):
            stamp = (frame.stamp_ns - first_ns) / 1e9
            if stamp <= last:
                continue
            last = stamp
            faces = [_seen(face, frame.image, side) for face in pipeline.process(frame.image, stamp)]
            if faces:
                found.append((stamp, f"frame {frame.index}", faces))
    return found


def _seen(face: FaceAffect, image: np.ndarray, side: int) -> _SeenFace:
    chip = align_face(image, np.array(face.landmarks), side)
    return _SeenFace(face.face_id, face.box[2] * face.box[3], chip)

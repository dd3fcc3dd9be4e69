"""A recording's estimates as a bag: what `ast_net evaluate --write-bag` writes.

In: a finished results folder (recording_result.py). Out: an MCAP file with one ValenceArousalArray for every frame,
under the frame's own stamp (bag_writing.py).
"""

from __future__ import annotations

import itertools
from pathlib import Path

from ast_net_ros.bags.writer import affect_bag
from ast_net_ros.evaluation.estimates import iterate_estimates
from ast_net_ros.evaluation.recording_result import ESTIMATES, read_recording


def write_estimates_bag(folder: Path, path: Path) -> None:
    """Writes `path`, whole or not at all. Raises BagWritingError, RecordingResultError, EstimatesError and OSError."""
    result = read_recording(folder)
    frame_id = str(result.about.get("frame_id", ""))
    by_frame = itertools.groupby(iterate_estimates(folder / ESTIMATES), key=lambda row: row.frame)
    with affect_bag(path) as bag:
        upcoming = next(by_frame, None)
        for frame, stamp_ns in enumerate(result.stamps_ns.tolist()):
            faces = list(upcoming[1]) if upcoming is not None and upcoming[0] == frame else []
            if faces:
                upcoming = next(by_frame, None)
            bag.write(stamp_ns, frame_id, result.topic or result.path, faces)

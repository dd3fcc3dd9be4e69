"""Write the estimates of a recording as a bag: `ast_net evaluate --write-bag`."""

from __future__ import annotations

import itertools
from pathlib import Path

from ast_net_ros.bags.writer import affect_bag
from ast_net_ros.evaluation.estimates import iterate_estimates
from ast_net_ros.evaluation.recording_result import ESTIMATES, read_recording


def write_estimates_bag(folder: Path, path: Path) -> None:
    """Write one ValenceArousalArray for every frame of a results folder, with the frame's own stamp."""
    result = read_recording(folder)
    frame_id = str(result.about.get("frame_id", ""))
    by_frame = itertools.groupby(iterate_estimates(folder / ESTIMATES), key=lambda row: row.frame)
    with affect_bag(path) as bag:
        upcoming = next(by_frame, None)
        for frame, stamp_ns in enumerate(result.stamps_ns.tolist()):
            faces = []
            if upcoming is not None and upcoming[0] == frame:
                faces = [row.face for row in upcoming[1]]
                upcoming = next(by_frame, None)
            bag.write(stamp_ns, frame_id, result.topic or result.path, faces)

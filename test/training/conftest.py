"""What the training tests share: a picture of a face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ast_net_ros.vision.video import open_video


@pytest.fixture(scope="session")
def face_picture(media: Path) -> np.ndarray:
    """H x W x 3 BGR: the first frame of a video of one face."""
    with open_video(media / "single_face.mp4") as video:
        return next(iter(video))[1]

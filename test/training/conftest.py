"""What the training tests share: a picture of a face, and Ctrl-C at a chosen moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ast_net_ros.vision.video import open_video


@pytest.fixture(scope="session")
def face_picture(media: Path) -> np.ndarray:
    """H x W x 3 BGR: the first frame of a video of one face."""
    with open_video(media / "single_face.mp4") as video:
        return next(iter(video))[1]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType, str, int], AbstractContextManager[None]]:
    """`with interrupted(module, "name", 3):` the third call of a module's function is Ctrl-C, which ends the block."""

    @contextmanager
    def block(module: ModuleType, name: str, last: int) -> Iterator[None]:
        real, calls = getattr(module, name), []

        def ends_at_last(*arguments: Any) -> Any:
            calls.append(1)
            if len(calls) == last:
                raise KeyboardInterrupt
            return real(*arguments)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, name, ends_at_last)
            yield

    return block

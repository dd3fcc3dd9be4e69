"""What all tests share: the face videos that `make test` fetches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder with the face videos; without them the tests fail rather than pass by skipping."""
    folder = Path(os.environ.get("AST_NET_MEDIA", Path(__file__).parents[1] / ".cache" / "media"))
    if not (folder / "WolfgangLanger_Pexels.mp4").is_file():
        pytest.fail(f"{folder} has no face videos: run `python setup/fetch_media.py {folder}`, or set AST_NET_MEDIA")
    return folder

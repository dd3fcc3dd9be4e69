"""What all tests share: the face videos that `make test` fetches, and bags made of them."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder with the face videos; without them the tests fail rather than pass by skipping."""
    folder = Path(os.environ.get("AST_NET_MEDIA", Path(__file__).parents[1] / ".cache" / "media"))
    if not (folder / "WolfgangLanger_Pexels.mp4").is_file():
        pytest.fail(f"{folder} has no face videos: run `python setup/fetch_media.py {folder}`, or set AST_NET_MEDIA")
    return folder


@pytest.fixture(scope="session")
def bags() -> ModuleType:
    """The module test/evaluation/bags.py, which writes bags; tests cannot import each other by name."""
    spec = importlib.util.spec_from_file_location("bags", Path(__file__).parent / "evaluation" / "bags.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

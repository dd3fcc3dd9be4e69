"""What the fuzz tests share: the readers under test, by name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _module(name: str) -> ModuleType:
    """A module of this folder; tests cannot import each other by name."""
    spec = importlib.util.spec_from_file_location(f"ast_net_test_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


FUZZ = _module("fuzz")
TARGETS = FUZZ.load_targets()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with `target` runs for every reader, one with `kept` for every input that is kept."""
    if "target" in metafunc.fixturenames:
        metafunc.parametrize("target", list(TARGETS.values()), ids=list(TARGETS))
    if "kept" in metafunc.fixturenames:
        kept = [(TARGETS[folder.name], path) for folder in sorted(FUZZ.CORPUS.iterdir()) for path in folder.iterdir()]
        metafunc.parametrize("kept", kept, ids=[f"{target.name}-{path.name}" for target, path in kept])


@pytest.fixture(scope="session")
def fuzz() -> ModuleType:
    return FUZZ


@pytest.fixture(scope="session")
def bag_of_damage() -> ModuleType:
    """targets.py, for its bags."""
    return sys.modules["fuzz_targets"]

"""Readers of foreign bytes read them or refuse them in their own words, whatever the bytes: `make fuzz` in short.

Inputs that once broke something are kept in corpus/READER and tried again here.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

edits = st.lists(
    st.tuples(st.integers(0, 4000), st.integers(0, 12), st.binary(max_size=12)), min_size=0, max_size=5
)  # place, bytes that go, bytes that come


def edited(seed: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    data = bytearray(seed)
    for place, gone, come in changes:
        place %= len(data) + 1
        data[place : place + gone] = come
    return bytes(data)


def test_what_once_broke_a_reader_does_so_no_more(kept: tuple[Any, Path]) -> None:
    target, path = kept
    began = time.perf_counter()
    target.run(path.read_bytes())
    assert time.perf_counter() - began < 5


def test_every_whole_input_is_read(target: Any) -> None:
    """Otherwise the other tests would only try a reader's first check."""
    assert all(target.run(seed) for seed in target.seeds())


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_edited_input_is_read_or_refused(target: Any, data: st.DataObject) -> None:
    target.run(edited(data.draw(st.sampled_from(target.seeds())), data.draw(edits)))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(lambda text: text.encode("utf-8", "ignore"))))
def test_any_bytes_are_read_or_refused(target: Any, data: bytes) -> None:
    target.run(data)


def test_the_fuzzer_keeps_what_breaks_a_reader_and_says_so(fuzz: ModuleType, tmp_path: Path) -> None:
    faults = tmp_path / "faults.py"
    faults.write_text(
        "from types import SimpleNamespace\n"
        "import os, time\n"
        "def fails(data):\n    assert b'nan' not in data\n"
        "def crashes(data):\n    if b'inf' in data:\n        os.abort()\n"
        "def holds(data):\n    return True\n"
        "TARGETS = {f.__name__: SimpleNamespace(name=f.__name__, run=f, seeds=lambda: [b'seed'])\n"
        "           for f in (fails, crashes, holds)}\n"
    )
    command = [sys.executable, str(fuzz.__file__), "--module", str(faults), "--engine", "mutation", "--inputs", "3000"]
    ended = subprocess.run([*command, "--found", str(tmp_path / "found")], capture_output=True, text=True)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    (failed,), (crashed,) = (list((tmp_path / "found" / name).iterdir()) for name in ("fails", "crashes"))
    assert b"nan" in failed.read_bytes() and b"inf" in crashed.read_bytes()
    assert "holds: 3000 inputs" in ended.stdout and not (tmp_path / "found" / "holds").exists()


@pytest.mark.parametrize("name", ["no_such_reader"])
def test_an_unknown_reader_is_named(fuzz: ModuleType, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main([name]) == 2
    assert "no_such_reader" in capsys.readouterr().err

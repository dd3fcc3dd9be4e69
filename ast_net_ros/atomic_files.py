"""Results that appear whole or not at all.

In: the folder that a user named, or a file and its text. Out: a folder beside the results to write in, emptied into
theirs at the end; or the file.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PARTIAL_SUFFIX = ".partial"
"""Ends the name of a file or folder that is still being written, or was left unfinished."""


@contextmanager
def atomic_dir(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """`with atomic_dir(folder, names) as aside:` write into `aside`; when the block ends well, all moves to `folder`.

    names: every file that such a run can make. Those of an earlier run are removed at the end, so that `folder` never
        holds the results of two. When the block fails, `folder` stays as it was.
    Raises OSError when `folder` cannot be made or written.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is a file; name a folder for the results", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    # Inside the folder, because a rename must stay on one file system.
    aside = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
    try:
        yield aside
        for name in names:
            (folder / name).unlink(missing_ok=True)
        for path in sorted(aside.iterdir()):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Write into NAME.partial; it becomes `folder` when the block ends well, in place of an earlier one."""
    aside = folder.with_name(folder.name + PARTIAL_SUFFIX)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    # A folder that is not empty cannot be replaced in one step; between the two renames there is none, never a mixture.
    replaced = folder.with_name(folder.name + ".replaced" + PARTIAL_SUFFIX)
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        folder.rename(replaced)
    aside.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def atomic_write(path: Path, text: str) -> None:
    """Writes a text file in place of an earlier one, which stays until the new one is whole."""
    aside = path.with_name(path.name + PARTIAL_SUFFIX)
    # A file name that is no valid UTF-8 reaches here as lone surrogates, which no file can hold but escaped.
    aside.write_text(text, encoding="utf-8", errors="backslashreplace")
    aside.replace(path)

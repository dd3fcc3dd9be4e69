"""Write results that appear complete or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PARTIAL_SUFFIX = ".partial"
"""Suffix of a file or folder that is being written or was left unfinished."""


@contextmanager
def atomic_dir(folder: Path, names: Sequence[str] | None = None) -> Iterator[Path]:
    """Yield a temporary folder whose contents move to `folder` when the block succeeds; else `folder` stays as it was.

    `names` are all files that such a run can produce: those of an earlier run are removed, other files are kept. None
    replaces `folder` as a whole; its temporary folder is then NAME.partial beside it.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is a file; name a folder for the results", str(folder))
    if names is None:
        temporary = folder.with_name(folder.name + PARTIAL_SUFFIX)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        # Inside the folder, because a rename must stay on one file system.
        temporary = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
    try:
        yield temporary
        if names is None:
            _replace_folder(folder, temporary)
        else:
            for name in names:
                (folder / name).unlink(missing_ok=True)
            for path in sorted(temporary.iterdir()):
                path.replace(folder / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(folder: Path, replacement: Path) -> None:
    # A non-empty folder cannot be replaced in one step. Between the two renames it is missing, never a mixture.
    replaced = folder.with_name(folder.name + ".replaced" + PARTIAL_SUFFIX)
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        folder.rename(replaced)
    replacement.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it replaces `path` when the block succeeds, else it is removed.

    Several processes may write the same file: the last to finish wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL_SUFFIX}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: Path, text: str) -> None:
    """Write a UTF-8 text file; an earlier one stays until the new one is complete."""
    with atomic_file(path) as temporary:
        # A file name that is not valid UTF-8 arrives as lone surrogates, which a file can hold only escaped.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")

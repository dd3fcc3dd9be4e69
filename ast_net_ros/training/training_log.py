"""The log of a training run: one CSV file, one row for each epoch or check."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from ast_net_ros.atomic_files import atomic_file


def log_row(path: Path, row: Mapping[str, int | float | str]) -> None:
    """Add one row to the log; write the header first where the file is new.

    The first column is the step, a whole number that rises; rows of this or a later step are dropped, as a resumed run
    repeats them.
    """
    columns = list(row)
    rows: list[list[str]] = []
    if path.is_file():
        with path.open(newline="") as file:
            rows = [old for old in list(csv.reader(file))[1:] if old and int(old[0]) < int(row[columns[0]])]
    rows.append([f"{value:.5f}" if isinstance(value, float) else str(value) for value in row.values()])
    with atomic_file(path) as partial, partial.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])

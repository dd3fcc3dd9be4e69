"""The best one-to-one assignment of rows to columns of a cost matrix."""

from __future__ import annotations

import numpy as np


def assign(cost: np.ndarray, forbidden: float) -> list[tuple[int, int]]:
    """Find the assignment with the least total cost.

    The Hungarian method with row and column potentials, one shortest augmenting path for each row
    (Kuhn 1955; Jonker and Volgenant 1987). Some tens of faces at most: SciPy would be a dependency for this alone.

    Args:
        cost: R x C, finite. As many rows or columns are assigned as the shorter side has.
        forbidden: Pairs at this cost or above are left out of the result. Choose it far above the sum of all others.

    Returns:
        Row and column of each pair, by row.
    """
    rows, columns = cost.shape
    if rows > columns:
        return sorted((row, column) for column, row in assign(cost.T, forbidden))
    # Index 0 stands for "none yet": rows and columns count from 1 below.
    of_row, of_column = np.zeros(rows + 1), np.zeros(columns + 1)  # potentials
    row_of = np.zeros(columns + 1, int)
    for row in range(1, rows + 1):
        row_of[0], column = row, 0
        slack, came_from = np.full(columns + 1, np.inf), np.zeros(columns + 1, int)
        visited = np.zeros(columns + 1, bool)
        while True:  # grow the path by the column with the least slack until one is free
            visited[column] = True
            present = row_of[column]
            reduced = np.concatenate([[np.inf], cost[present - 1] - of_row[present] - of_column[1:]])
            better = ~visited & (reduced < slack)
            slack[better], came_from[better] = reduced[better], column
            following = int(np.argmin(np.where(visited, np.inf, slack)))
            step = slack[following]
            of_row[row_of[visited]] += step
            of_column[visited] -= step
            slack[~visited] -= step
            column = following
            if row_of[column] == 0:
                break
        while column:  # switch the pairs along the path
            row_of[column] = row_of[came_from[column]]
            column = int(came_from[column])
    pairs = [(int(row_of[column]) - 1, column - 1) for column in range(1, columns + 1) if row_of[column]]
    return sorted(pair for pair in pairs if cost[pair] < forbidden)

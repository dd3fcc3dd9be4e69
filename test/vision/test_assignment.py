"""The assignment is the cheapest one."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from ast_net_ros.vision.tracking import assign


@pytest.mark.parametrize("seed", range(50))
def test_the_assignment_costs_what_scipys_does(seed):
    rng = np.random.default_rng(seed)
    cost = rng.normal(size=rng.integers(1, 9, 2))
    cost[rng.random(cost.shape) < 0.3] = 1e3
    expected = [pair for pair in zip(*linear_sum_assignment(cost)) if cost[pair] < 1e3]
    found = assign(cost, 1e3)
    assert len(found) == len(expected)
    assert sum(cost[pair] for pair in found) == pytest.approx(sum(cost[pair] for pair in expected))


def test_forbidden_pairs_are_left_out():
    assert assign(np.array([[1e6, 1.0], [1e6, 2.0]]), 1e6) == [(0, 1)]

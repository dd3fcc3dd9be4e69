"""The node as it is, which also keeps every duration that it measures: for the benchmark.

In: the arguments of `ast_net_node`, and a path in the environment variable AST_NET_BENCH_TIMES. Out: that file at the
end, as JSON: moments (monotonic clock, seconds) and durations (seconds) from receipt to publishing, and of each stage.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from ast_net_ros.ros.node import AstNetNode
from ast_net_ros.ros.rolling_stats import RecentValues
from ast_net_ros.ros.runtime.spinning import run_node

PATH_VARIABLE = "AST_NET_BENCH_TIMES"


class LastingValues(RecentValues):
    """All values, not only the recent ones."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[tuple[float, float]] = []

    def append(self, value: float) -> None:
        super().append(value)
        self.all.append((time.monotonic(), value))


class MeasuredNode(AstNetNode):
    """Differs from the node by the two collections that its estimation notes durations in."""

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_activate(state)
        if self._estimation is not None:
            self._latency = LastingValues()
            self._stages: defaultdict[str, LastingValues] = defaultdict(LastingValues)
            self._estimation.latency = self._latency
            self._estimation.stages = self._stages  # type: ignore[assignment]
        return result

    def end(self) -> None:
        """Stop, then write what was measured."""
        super().end()
        times = {"receipt to publish": self._latency.all, **{name: v.all for name, v in self._stages.items()}}
        Path(os.environ[PATH_VARIABLE]).write_text(json.dumps(times))


def make_node() -> MeasuredNode:
    """The node, started."""
    node = MeasuredNode()
    node.start()
    return node


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    return run_node(make_node, MeasuredNode.end, arguments)


if __name__ == "__main__":
    sys.exit(main())

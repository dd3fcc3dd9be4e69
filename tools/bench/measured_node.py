"""The node, which also keeps every duration that it measures, for the benchmark.

Takes the arguments of `ast_net_node`. When it ends it writes the file named by AST_NET_BENCH_TIMES, as JSON: times
(monotonic clock, seconds) and durations (seconds) from receipt to publishing, and of each stage.
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


class AllValues(RecentValues):
    """All values with their times, not only the recent ones."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[tuple[float, float]] = []

    def append(self, value: float) -> None:
        """Add a value."""
        super().append(value)
        self.all.append((time.monotonic(), value))


class MeasuredNode(AstNetNode):
    """The node with other collections for the durations."""

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Activate, and keep all durations from now on."""
        result = super().on_activate(state)
        if self._inference is not None:
            self._latency = AllValues()
            self._stages: defaultdict[str, AllValues] = defaultdict(AllValues)
            self._inference.latency = self._latency
            self._inference.stages = self._stages  # type: ignore[assignment]
        return result

    def end(self) -> None:
        """Stop, then write the durations."""
        super().end()
        times = {"receipt to publish": self._latency.all, **{name: v.all for name, v in self._stages.items()}}
        Path(os.environ[PATH_VARIABLE]).write_text(json.dumps(times))


def make_node() -> MeasuredNode:
    """Return a started node."""
    node = MeasuredNode()
    node.start()
    return node


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node and return the exit code."""
    return run_node(make_node, MeasuredNode.end, arguments)


if __name__ == "__main__":
    sys.exit(main())

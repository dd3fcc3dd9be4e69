"""What the node keeps must not grow with what it has done: memory by the callback, by the image, by the second."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node

from ast_net_ros.ros.rolling_stats import WINDOW, RecentValues
from ast_net_ros.ros.runtime.spinning import Spinner


@pytest.fixture
def node() -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context)
    node = Node("memory", context=context, start_parameter_services=False, enable_rosout=False)
    yield node
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def test_executed_callbacks_leave_nothing_behind(node: Node) -> None:
    blocks: list[int] = []
    done = threading.Event()
    count = 0

    def callback() -> None:
        nonlocal count
        count += 1
        if count % 2000 == 0:
            blocks.append(sys.getallocatedblocks())
        if count < 6000:
            guard.trigger()
        else:
            done.set()

    guard = node.create_guard_condition(callback)
    spinner = Spinner(node, on_failure=lambda: None)
    guard.trigger()
    assert done.wait(60)
    spinner.stop()
    assert blocks[2] - blocks[1] < 2000, "at least one object stays for each callback"


def test_a_spinner_with_nothing_to_do_stops_at_once_and_twice(node: Node) -> None:
    spinner = Spinner(node, on_failure=lambda: None)
    time.sleep(0.2)  # until it waits
    began = time.monotonic()
    spinner.stop()
    assert time.monotonic() - began < 5
    spinner.stop()
    assert spinner.failure is None


def test_a_spinner_ends_with_its_context(node: Node) -> None:
    failed = threading.Event()
    spinner = Spinner(node, on_failure=failed.set)
    time.sleep(0.2)
    rclpy.shutdown(context=node.context)
    assert failed.wait(5)
    spinner.stop()


def test_values_older_than_their_window_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    recent, now = RecentValues(), 0.0
    monkeypatch.setattr("ast_net_ros.ros.rolling_stats.time.monotonic", lambda: now)
    kept = []
    for second in range(200):
        now = float(second)
        for _ in range(20):
            recent.append(1.0)
        kept.append(len(recent._values))
    assert max(kept) <= 20 * (WINDOW + 2)
    assert recent.summary() == (1.0, 1.0)

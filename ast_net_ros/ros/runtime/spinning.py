"""Running a node as a process: from the first signal handler to the last clean-up.

In: a function that makes the node. Out: the process's exit code. SIGINT and SIGTERM end the process in
order, with code 0 and no traceback; a second signal ends it at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions


class StartError(RuntimeError):
    """A node cannot start; the message is for the user and no traceback is shown."""


def init_ros(arguments: Sequence[str] | None) -> None:
    """rclpy.init without its signal handlers. Raises StartError for --ros-args that cannot be."""
    try:
        rclpy.init(args=None if arguments is None else list(arguments), signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # rclpy's RCLError is one
        reason = str(error).partition(", at ")[0]
        raise StartError(f"--ros-args: {reason}; write --ros-args -p NAME:=VALUE -r FROM:=TO") from error


class StopSignal:
    """Set by SIGINT or SIGTERM once made (in the main thread), or by `set`.

    rclpy's own handlers shut the ROS context down before anything could be said or cleaned up through it, so
    this takes their place.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until set; returns whether it is."""
        return self._event.wait(timeout)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._event.is_set():
            os._exit(128 + number)
        self._event.set()


class Spinner:
    """Executes the callbacks of a node in a thread of its own until stopped.

    One executor for the whole life of the node: executors that come and go lose messages.
    """

    def __init__(self, node: Node, on_failure: Callable[[], None]):
        self.failure: Exception | None = None
        self._node = node
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._stopping = False
        self._on_failure = on_failure
        self._thread = threading.Thread(target=self._spin, name="executor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when no callback runs and none will. Nodes and context stay usable."""
        self._stopping = True
        if self._thread.is_alive():
            self._executor.create_task(lambda: None)  # for want of work it would go on waiting
        self._thread.join()
        self._executor.shutdown()

    def _spin(self) -> None:
        while not self._stopping:
            try:
                # Not spin_until_future_complete: it leaves a callback in its future for each one that it executes
                # (rclpy of Jazzy, https://github.com/ros2/rclpy/pull/1374), 0.3 KB an image without end.
                self._executor.spin_once()
            except Exception as error:
                # rclpy raises here what any callback raised, and also when a client is gone before its answer.
                if not self._node.context.ok():
                    self.failure = error
                    self._on_failure()
                    return
                self._node.get_logger().error(f"a callback failed: {type(error).__name__}: {error}")
                time.sleep(0.1)  # a callback that fails for ever must not take the whole core


def run_node(
    make_node: Callable[[], Node], end: Callable[[Any], None] | None = None, arguments: Sequence[str] | None = None
) -> int:
    """Make a node, spin it until a signal, call `end` with it, destroy it.

    Returns the exit code: 0, or 1 after a StartError, which is printed.
    """
    stop = StopSignal()
    try:
        init_ros(arguments)
        node = make_node()
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)
        if rclpy.ok():
            rclpy.shutdown()
        return 1
    spinner = Spinner(node, on_failure=stop.set)
    stop.wait()
    spinner.stop()
    if spinner.failure is not None:
        print(f"error: the executor ended: {spinner.failure}", file=sys.stderr)
    if end is not None:
        end(node)
    node.destroy_node()
    rclpy.shutdown()
    return 1 if spinner.failure is not None else 0

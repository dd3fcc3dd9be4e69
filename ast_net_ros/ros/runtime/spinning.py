"""Run a node as a process: initialise ROS, spin until a signal, clean up, return an exit code."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from ast_net_ros.ros.runtime.signals import StopSignal
from ast_net_ros.ros.runtime.transports import image_transport_settings

SHUTDOWN_TIMEOUT = 15.0  # seconds
_FAILURE_PAUSE = 0.1  # seconds; a callback that always fails must not use a whole core


class StartError(RuntimeError):
    """A node cannot start; the message is for the user and no traceback is shown."""

    def __init__(self, message: str, logged: bool = False) -> None:
        super().__init__(message)
        self.logged = logged  # by the node, so that the message need not be printed


def init_ros(arguments: Sequence[str] | None) -> None:
    """Call rclpy.init without its signal handlers, with DDS transports that carry images.

    Args:
        arguments: The command line without the program's name; None for sys.argv.

    Raises:
        StartError: The arguments after --ros-args are invalid.
    """
    os.environ.update(image_transport_settings())  # read by Fast DDS when the context is created
    try:
        rclpy.init(args=None if arguments is None else list(arguments), signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # rclpy's RCLError is one
        reason = str(error).partition(", at ")[0]
        fix = "write --ros-args -p NAME:=VALUE -r FROM:=TO"
        if "log-level" in reason or "log level" in reason:
            fix = "the log level is one of debug, info, warn, error, fatal"
        raise StartError(f"--ros-args: {reason}; {fix}") from error


class Spinner:
    """Runs the callbacks of a node in a thread of its own until stopped.

    The node keeps one executor all its life, because an executor created for each spin loses messages.
    `on_failure` is called when the executor ends by itself.
    """

    def __init__(self, node: Node, on_failure: Callable[[], None]):
        self.failure: Exception | None = None  # what ended the executor
        self._node = node
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._stopping = False
        self._on_failure = on_failure
        self._thread = threading.Thread(target=self._spin, name="executor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when no callback is running and none will run. Node and context remain usable."""
        self._stopping = True
        if self._thread.is_alive():
            self._executor.create_task(lambda: None)  # wakes an executor that waits for work
        self._thread.join()
        self._executor.shutdown()

    def _spin(self) -> None:
        while not self._stopping:
            try:
                # Not spin_until_future_complete: in Jazzy it keeps a reference to every executed callback
                # (https://github.com/ros2/rclpy/pull/1374), 0.3 KB for each image.
                self._executor.spin_once()
            except Exception as error:
                # From any callback, or from a response to a client that has left.
                if not self._node.context.ok():
                    self.failure = error
                    self._on_failure()
                    return
                self._node.get_logger().error(f"a callback failed: {type(error).__name__}: {error}")
                time.sleep(_FAILURE_PAUSE)


def run_node(
    make_node: Callable[[], Node], end: Callable[[Any], None] | None = None, arguments: Sequence[str] | None = None
) -> int:
    """Create a node, spin it until SIGINT or SIGTERM, clean up.

    Args:
        make_node: Creates the node. May raise StartError.
        end: Called with the node before it is destroyed.
        arguments: The command line without the program's name; None for sys.argv.

    Returns:
        The exit code: 0; 1 after a StartError, which is printed unless the node has logged it, or when the executor
        failed.
    """
    stop = StopSignal(SHUTDOWN_TIMEOUT)
    try:
        init_ros(arguments)
        node = make_node()
    except StartError as error:
        if not error.logged:
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

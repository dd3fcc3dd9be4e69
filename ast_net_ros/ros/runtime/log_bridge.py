"""The way of the library's log records into the ROS log.

In: what the ROS-free part of the package logs with Python's logging. Out: the same through an rclpy logger.
"""

from __future__ import annotations

import logging
import time
from typing import Any

REPEAT_PERIOD = 1.0  # seconds until a message of the same kind, of the same source, appears again
MOST_KINDS = 1000


class _RosLogHandler(logging.Handler):
    """Two cameras on one topic would log a jump of the stamps with every image: repeats are counted, not logged."""

    def __init__(self, ros_logger: Any):
        super().__init__()
        self._ros_logger = ros_logger
        self._said: dict[tuple[str, str], tuple[float, int]] = {}  # kind -> when it was logged, repeats since

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        kind = (record.msg, str(record.args[0])) if isinstance(record.args, tuple) and record.args else (text, "")
        now = time.monotonic()
        last, repeats = self._said.get(kind, (-REPEAT_PERIOD, 0))
        if now - last < REPEAT_PERIOD:
            self._said[kind] = (last, repeats + 1)
            return
        if len(self._said) >= MOST_KINDS:
            self._said.clear()
        self._said[kind] = (now, 0)
        text += f" (and {repeats} more like this)" if repeats else ""
        # rclpy wants one place in the code for each severity.
        if record.levelno >= logging.ERROR:
            self._ros_logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._ros_logger.warning(text)
        else:
            self._ros_logger.info(text)


def bridge_logging(ros_logger: Any) -> None:
    """From now on the records of `ast_net_ros` at INFO and above appear in the ROS log, and there only."""
    library = logging.getLogger("ast_net_ros")
    library.handlers = [_RosLogHandler(ros_logger)]
    library.propagate = False
    library.setLevel(logging.INFO)

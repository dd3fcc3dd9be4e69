"""The way of the library's log records into the ROS log.

In: what the ROS-free part of the package logs with Python's logging. Out: the same through an rclpy logger.
"""

from __future__ import annotations

import logging
from typing import Any


class _RosLogHandler(logging.Handler):
    def __init__(self, ros_logger: Any):
        super().__init__()
        self._ros_logger = ros_logger

    def emit(self, record: logging.LogRecord) -> None:
        # rclpy wants one place in the code for each severity.
        text = self.format(record)
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

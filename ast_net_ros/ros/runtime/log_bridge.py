"""Forward the log records of the ROS-free part of the package to a ROS logger."""

from __future__ import annotations

import logging
import time
from typing import Any

REPEAT_PERIOD = 1.0  # seconds until a message of the same kind and source is logged again
_MAX_KINDS = 1000


class _RosLogHandler(logging.Handler):
    """Throttles each kind of message: two cameras on one topic would log a stamp jump with every image."""

    def __init__(self, ros_logger: Any):
        super().__init__()
        self._ros_logger = ros_logger
        self._logged: dict[tuple[str, str], tuple[float, int]] = {}  # kind -> time of its last log, repeats since

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        kind = (record.msg, str(record.args[0])) if isinstance(record.args, tuple) and record.args else (text, "")
        now = time.monotonic()
        last, repeats = self._logged.get(kind, (-REPEAT_PERIOD, 0))
        if now - last < REPEAT_PERIOD:
            self._logged[kind] = (last, repeats + 1)
            return
        if len(self._logged) >= _MAX_KINDS:
            self._logged.clear()
        self._logged[kind] = (now, 0)
        text += f" (repeated {repeats} times)" if repeats else ""
        if record.levelno >= logging.ERROR:  # rclpy requires one call site for each severity
            self._ros_logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._ros_logger.warning(text)
        else:
            self._ros_logger.info(text)


def bridge_logging(ros_logger: Any) -> None:
    """Send the records of `ast_net_ros` at INFO and above to `ros_logger`, and nowhere else."""
    library = logging.getLogger("ast_net_ros")
    library.handlers = [_RosLogHandler(ros_logger)]
    library.propagate = False
    library.setLevel(logging.INFO)

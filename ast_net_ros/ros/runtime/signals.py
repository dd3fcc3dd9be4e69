"""SIGINT and SIGTERM: end a process in order, with exit code 0.

Imports nothing but the standard library, so that a script can install a handler before its slow imports.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_FORCING_COUNT = 3  # under `ros2 launch`, one Ctrl-C arrives twice: from the terminal and from launch


def exit_on_signal() -> None:
    """Exit with code 0 on a signal, until a StopSignal takes over. Call it before the slow imports of a script."""
    for number in _SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a script's `main` and exit with its code, deaf to signals while the interpreter shuts down.

    Python gives signals their default effect back at its end: a late SIGTERM would turn exit code 0 into -15.
    """
    try:
        code = main()
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


class StopSignal(threading.Event):
    """An event that SIGINT, SIGTERM or `set` triggers. Create it in the main thread.

    It replaces rclpy's signal handlers, which shut down the ROS context before the node can clean up. A second signal
    during the shutdown is ignored; the third, or the timeout, ends the process at once with code 128 + signal number.

    Args:
        shutdown_timeout: Seconds that the shutdown may take after the first signal; None for no limit.
    """

    def __init__(self, shutdown_timeout: float | None = None) -> None:
        super().__init__()
        self._shutdown_timeout = shutdown_timeout
        self._count = 0
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count >= _FORCING_COUNT:
            os._exit(128 + number)
        if self._count == 1 and self._shutdown_timeout is not None:
            watchdog = threading.Timer(self._shutdown_timeout, os._exit, (128 + number,))
            watchdog.daemon = True
            watchdog.start()
        self.set()

"""A process that ends when this one does, however this one ends, or in order when it is told to.

In: a command. Out: the command that starts it so. A `finally` ends children on errors and Ctrl-C, but not when this
process is killed; there the kernel does it (prctl(2), PR_SET_PDEATHSIG: Linux only, elsewhere nothing is added).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

# Set in the child, between fork and exec, by Python code: subprocess's preexec_fn is no place beside threads.
_TIE = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, int(signal.SIGINT), 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def tied_to_this_process(command: Sequence[str]) -> list[str]:
    """`command` (a Python interpreter's absolute path and its arguments) so that it gets SIGINT when this process ends.

    Linux sends it when the thread that started the process ends: start it in one that waits for it.
    """
    if not sys.platform.startswith("linux"):
        return list(command)
    return [sys.executable, "-c", _TIE, str(os.getpid()), *command]


def end_process(process: subprocess.Popen[str], patience: float) -> int:
    """Interrupt a process as Ctrl-C would, kill it after `patience` seconds; its exit code, -9 when it was killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()

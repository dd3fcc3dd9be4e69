"""A process that ends when this one does, however this one ends, or in order when it is told to.

In: a command. Out: the command that starts it so. A `finally` ends children on errors and Ctrl-C, but not when this
process is killed; there the kernel does it (prctl(2), PR_SET_PDEATHSIG: Linux only, elsewhere nothing is added).

No child may run a file that lies in the user's folder and is named like a library: the folder may hold anybody's
recordings, and `python -c` and `python -m` look there first. PYTHONSAFEPATH forbids it only since Python 3.11.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# Set in the child, between fork and exec, by Python code: subprocess's preexec_fn is no place beside threads.
_TIE = """
import sys
sys.path[:] = [folder for folder in sys.path if folder]  # the empty name is the present folder
import ctypes, os, signal
ctypes.CDLL(None).prctl(1, int(signal.SIGINT), 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def die_with_parent(command: Sequence[str]) -> list[str]:
    """`command` (a Python interpreter's absolute path and its arguments) so that it gets SIGINT when this process ends.

    Linux sends it when the thread that started the process ends: start it in one that waits for it.
    """
    if not sys.platform.startswith("linux"):
        return list(command)
    return [sys.executable, "-c", _TIE, str(os.getpid()), *command]


@contextmanager
def chdir(folder: str) -> Iterator[None]:
    """Inside the block this process stands in `folder`: for libraries that start Python wherever they stand.

    Of the whole process: no other thread may use relative paths meanwhile.
    """
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


def end_process(process: subprocess.Popen[str], patience: float) -> int:
    """Interrupt a process as Ctrl-C would, kill it after `patience` seconds; its exit code, -9 when it was killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()

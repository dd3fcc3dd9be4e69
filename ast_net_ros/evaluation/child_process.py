"""Starting a process that ends when this one does, however this one ends.

In: a command. Out: the command that starts it so. A `finally` ends children on errors and Ctrl-C, but not when this
process is killed; there the kernel does it (prctl(2), PR_SET_PDEATHSIG: Linux only, elsewhere nothing is added).
"""

from __future__ import annotations

import os
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

"""A ROS domain of one's own: for a demo or a test beside others on the same machine and network.

In: nothing. Out: a domain id that no other run on this machine has reserved.
"""

from __future__ import annotations

import fcntl
import random
import tempfile
from pathlib import Path
from typing import IO

# Above 101 the ports of a domain reach into those that Linux gives to outgoing connections.
DOMAINS = range(1, 102)
_held: list[IO[str]] = []  # a lock lasts as long as its open file


def reserve_domain() -> int:
    """A domain id that stays reserved until this process ends; where all are, any."""
    candidates = random.sample(DOMAINS, len(DOMAINS))
    for domain in candidates:
        path = Path(tempfile.gettempdir()) / f"ast_net_ros_domain_{domain}.lock"
        try:
            lock = path.open("w")
        except OSError:  # another user's
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        return domain
    return candidates[0]

"""Reserve a ROS domain id, for a demo or a test that runs beside others on the same machine and network."""

from __future__ import annotations

import fcntl
import random
import tempfile
from pathlib import Path
from typing import IO

# Above 101, the ports of a domain overlap those that Linux assigns to outgoing connections.
DOMAINS = range(1, 102)
_held: list[IO[str]] = []  # a lock lasts as long as its file is open


def reserve_domain() -> int:
    """Return a domain id that no other caller on this machine uses while this process runs.

    When all are reserved, returns a random one.
    """
    candidates = random.sample(DOMAINS, len(DOMAINS))
    for domain in candidates:
        path = Path(tempfile.gettempdir()) / f"ast_net_ros_domain_{domain}.lock"
        try:
            lock = path.open("w")
        except OSError:  # belongs to another user
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        return domain
    return candidates[0]

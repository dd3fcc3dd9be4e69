"""How Fast DDS must be set up for images: its defaults lose most best-effort pictures of a camera's size.

LARGE_DATA takes TCP and shared memory in place of UDP. Its shared memory holds half a megabyte, less than one
640x360 colour picture, so that on a busy machine every second picture is overwritten before it has been read:
54 to 79 of 120 arrived. With room for a few pictures 120 of 120 did. The sizes are understood from ROS 2 Jazzy on.
"""

from __future__ import annotations

import os

VARIABLE = "FASTDDS_BUILTIN_TRANSPORTS"
FOR_IMAGES = "LARGE_DATA?max_msg_size=1MB&sockets_size=8MB"


def environment_for_images() -> dict[str, str]:
    """This process's environment with room for images; what the user has set holds, except for the bare LARGE_DATA."""
    chosen = os.environ.get(VARIABLE, "")
    return {**os.environ, VARIABLE: FOR_IMAGES if chosen in ("", "LARGE_DATA") else chosen}

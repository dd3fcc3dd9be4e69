"""How Fast DDS must be set up for images: by itself it loses most best-effort pictures of a camera's size.

Between processes of one machine it writes into shared memory, which has room for half a megabyte, less than one
640x360 colour picture, so that pictures are overwritten before they have been read. Of 60 pictures at 15 a second
between two processes on two busy cores arrived:

| picture | DEFAULT | LARGE_DATA | DEFAULT?sockets_size=8MB |
|---|---|---|---|
| 640x480 | 30 | 29 | 60 |
| 1280x720 | 30 | 24 | 60 |
| 1920x1080 | 21 | 18 | 60 |
| 3840x2160 | 0 | 0 | 49 |

LARGE_DATA?sockets_size=8MB carries as much, and between machines it takes TCP, which suits a bad wireless link. But
after processes had been killed, new ones did not find each other within 20 s in 3 of 45 tries; here in 0 of 40.
A larger max_msg_size, which looks as if it helped too, loses every picture larger than itself.
The variable is understood from ROS 2 Jazzy on; Humble has none.

Discovery is hastened by the profile in config/fastdds.xml, which says why.
"""

from __future__ import annotations

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

VARIABLE = "FASTDDS_BUILTIN_TRANSPORTS"
PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # before and from Fast DDS 3
FOR_IMAGES = "DEFAULT?sockets_size=8MB"


def environment_for_images() -> dict[str, str]:
    """This process's environment with room for images; what the user has set holds."""
    return {**os.environ, **settings_for_images()}


def settings_for_images() -> dict[str, str]:
    """The variables that `environment_for_images` decides on, with their values."""
    settings = {VARIABLE: os.environ.get(VARIABLE) or FOR_IMAGES}
    if not any(os.environ.get(name) for name in PROFILES):
        profile = str(Path(get_package_share_directory("ast_net_ros")) / "config" / "fastdds.xml")
        settings |= dict.fromkeys(PROFILES, profile)
    return settings

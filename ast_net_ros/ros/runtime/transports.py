"""DDS settings that carry images: Fast DDS's defaults lose most best-effort images of a camera's size.

Between processes of one machine Fast DDS writes into a shared memory segment of half a megabyte, less than one 640x360
colour image, and overwrites images before they are read. `config/fastdds.xml` gives it a segment of 16 MB. The
publisher's settings count. 1280x720 at 30 images per second for 6 s, 180 images, received of them:

| settings of the publisher | SUBNET (default) | LOCALHOST | ROS_LOCALHOST_ONLY=1 |
|---|---|---|---|
| none | 66 | 22 | 21 |
| FASTDDS_BUILTIN_TRANSPORTS=DEFAULT?sockets_size=8MB | 175 | 9 | 19 |
| config/fastdds.xml | 180 | 180 | 180 |

With ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST or ROS_LOCALHOST_ONLY=1 rmw_fastrtps replaces the built-in transports, and
with them what FASTDDS_BUILTIN_TRANSPORTS says; the transport in the profile remains. The variable (from Jazzy on) also
enlarges the socket buffers between machines. A larger max_msg_size instead loses every image larger than itself.

CycloneDDS and Zenoh ignore all of this.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

BUILTIN_TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
FOR_IMAGES = "DEFAULT?sockets_size=8MB"
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # before and from Fast DDS 3


def image_transport_settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables to set so that Fast DDS carries images. Values that the user has set are kept."""
    settings = {BUILTIN_TRANSPORTS: environment.get(BUILTIN_TRANSPORTS) or FOR_IMAGES}
    if not any(environment.get(name) for name in PROFILE_VARIABLES):
        settings |= dict.fromkeys(PROFILE_VARIABLES, str(packaged_profile()))
    return settings


def image_transport_environment() -> dict[str, str]:
    """Return the environment of this process with `image_transport_settings`, for a child process."""
    return {**os.environ, **image_transport_settings()}


def packaged_profile() -> Path:
    """Return the path of the Fast DDS profile that this package installs."""
    return Path(get_package_share_directory("ast_net_ros")) / "config" / "fastdds.xml"


def loss_advice(implementation: str) -> str:
    """Return what to do about images that are lost between publisher and node.

    Args:
        implementation: Identifier of the RMW implementation, such as "rmw_fastrtps_cpp".
    """
    if "fastrtps" in implementation or "fastdds" in implementation:
        return (
            f"start the camera with {PROFILE_VARIABLES[0]}={packaged_profile()}, as `source env.sh` and the launch "
            "files of ast_net_ros do; Fast DDS's default shared memory is smaller than an image"
        )
    return "raise the socket buffers (net.core.rmem_max) or send a smaller or compressed image"

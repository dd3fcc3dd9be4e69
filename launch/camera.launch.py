"""Starts a camera's driver and ast_net_node on its images: `ros2 launch ast_net_ros camera.launch.py`.

driver:=v4l2_camera takes that package in place of usb_cam; either has to be installed. The arguments of
ast_net.launch.py (device, namespace, hri, ...) are understood as well.
"""

from __future__ import annotations

from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = {
    "video_device": ("/dev/video0", "the camera"),
    "width": ("640", "pixels"),
    "height": ("480", "pixels"),
    "rate": ("30", "pictures per second, a whole number"),
    "frame_id": ("camera", "frame_id of the images"),
    "image": ("image_raw", "topic for the images; relative names lie in the namespace"),
}
EXECUTABLES = {"usb_cam": "usb_cam_node_exe", "v4l2_camera": "v4l2_camera_node"}


def driver_parameters(driver: str, given: dict[str, str]) -> dict[str, Any]:
    """The arguments in the words of the driver."""
    width, height, rate = (int(given[name]) for name in ("width", "height", "rate"))
    if driver == "usb_cam":
        size: dict[str, Any] = {"image_width": width, "image_height": height, "framerate": float(rate)}
        return {"video_device": given["video_device"], "frame_id": given["frame_id"], **size}
    pace = {"image_size": [width, height], "time_per_frame": [1, rate]}
    return {"video_device": given["video_device"], "camera_frame_id": given["frame_id"], **pace}


def start_driver(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The camera's driver."""
    driver = LaunchConfiguration("driver").perform(context)
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    for name in ("width", "height", "rate"):
        if not given[name].isdigit() or int(given[name]) == 0:
            raise ValueError(f"{name}:={given[name]}: use a whole number above 0")
    try:
        get_package_prefix(driver)
    except PackageNotFoundError:
        other = next(name for name in EXECUTABLES if name != driver)
        debian = f"ros-$ROS_DISTRO-{driver.replace('_', '-')}"
        raise RuntimeError(f"driver:={driver}: not installed; apt install {debian}, or try driver:={other}") from None
    return [
        Node(
            package=driver,
            executable=EXECUTABLES[driver],
            name="camera",
            namespace=LaunchConfiguration("namespace"),
            output="screen",
            remappings=[("image_raw", LaunchConfiguration("image"))],
            parameters=[driver_parameters(driver, given)],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    node = PathJoinSubstitution([FindPackageShare("ast_net_ros"), "launch", "ast_net.launch.py"])
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "driver",
                default_value="usb_cam",
                choices=list(EXECUTABLES),
                description="package of the camera's driver",
            ),
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            # First, as it sets the transports for what follows.
            IncludeLaunchDescription(PythonLaunchDescriptionSource(node)),
            OpaqueFunction(function=start_driver),
        ]
    )

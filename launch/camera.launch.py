"""Start a camera driver and ast_net_node: `ros2 launch ast_net_ros camera.launch.py`.

driver:=v4l2_camera uses that package instead of usb_cam; the selected package must be installed. The arguments of
ast_net.launch.py (device, namespace, hri, ...) work as well.
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

from ast_net_ros.ros.runtime.launching import check_names, parse_positive_integer

NODE_LAUNCH_FILE = PathJoinSubstitution([FindPackageShare("ast_net_ros"), "launch", "ast_net.launch.py"])
CAMERA_ARGUMENTS = {
    "video_device": ("/dev/video0", "device file of the camera"),
    "width": ("640", "width of the images in pixels"),
    "height": ("480", "height of the images in pixels"),
    "rate": ("30", "images per second, a whole number"),
    "frame_id": ("camera", "frame_id of the images"),
    "image": ("image_raw", "image topic; a relative name is resolved in the namespace"),
}
EXECUTABLES = {"usb_cam": "usb_cam_node_exe", "v4l2_camera": "v4l2_camera_node"}


def driver_parameters(driver: str, given: dict[str, str]) -> dict[str, Any]:
    """Return the launch arguments as parameters of the driver."""
    width, height, rate = (parse_positive_integer(name, given[name]) for name in ("width", "height", "rate"))
    if driver == "usb_cam":
        size: dict[str, Any] = {"image_width": width, "image_height": height, "framerate": float(rate)}
        return {"video_device": given["video_device"], "frame_id": given["frame_id"], **size}
    pace = {"image_size": [width, height], "time_per_frame": [1, rate]}
    return {"video_device": given["video_device"], "camera_frame_id": given["frame_id"], **pace}


def check(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Reject wrong arguments and a missing driver before anything is started."""
    check_names(__file__, [argument.name for argument in generate_launch_description().get_launch_arguments()])
    driver = LaunchConfiguration("driver").perform(context)
    driver_parameters(driver, {name: LaunchConfiguration(name).perform(context) for name in CAMERA_ARGUMENTS})
    try:
        get_package_prefix(driver)
    except PackageNotFoundError:
        other = next(name for name in EXECUTABLES if name != driver)
        debian = f"ros-$ROS_DISTRO-{driver.replace('_', '-')}"
        raise RuntimeError(f"driver:={driver}: not installed; apt install {debian}, or try driver:={other}") from None
    return []


def start_driver(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Start the camera driver."""
    driver = LaunchConfiguration("driver").perform(context)
    given = {name: LaunchConfiguration(name).perform(context) for name in CAMERA_ARGUMENTS}
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
    """Return the launch description."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "driver",
                default_value="usb_cam",
                choices=list(EXECUTABLES),
                description="package of the camera driver",
            ),
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in CAMERA_ARGUMENTS.items()
            ),
            OpaqueFunction(function=check),
            # Before the driver, because it sets the transports for what follows.
            IncludeLaunchDescription(PythonLaunchDescriptionSource(NODE_LAUNCH_FILE)),
            OpaqueFunction(function=start_driver),
        ]
    )

"""Plays a video as a camera and starts ast_net_node on it: `ros2 launch ast_net_ros demo.launch.py video:=FACE.mp4`."""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare


def start_replay(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The camera."""
    flags = ["--loop"] if LaunchConfiguration("loop").perform(context).lower() == "true" else []
    return [
        Node(
            package="ast_net_ros",
            executable="replay",
            output="screen",
            arguments=[LaunchConfiguration("video"), "--wait-for-subscriber", *flags],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    node = PathJoinSubstitution([FindPackageShare("ast_net_ros"), "launch", "ast_net.launch.py"])
    return LaunchDescription(
        [
            DeclareLaunchArgument("video", description="a video file or a photograph with a face"),
            DeclareLaunchArgument("loop", default_value="true", description="play again and again"),
            # First, as it sets the transports for what follows.
            IncludeLaunchDescription(PythonLaunchDescriptionSource(node)),
            OpaqueFunction(function=start_replay),
        ]
    )

"""Play a video as a camera and start ast_net_node: `ros2 launch ast_net_ros demo.launch.py video:=FACE.mp4`.

The arguments of ast_net.launch.py (device, namespace, hri, ...) work as well.
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from ast_net_ros.ros.runtime.launching import check_file, check_names, parse_flag

NODE_LAUNCH_FILE = PathJoinSubstitution([FindPackageShare("ast_net_ros"), "launch", "ast_net.launch.py"])


def check(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Reject wrong arguments and a missing video before anything is started."""
    check_names(__file__, [argument.name for argument in generate_launch_description().get_launch_arguments()])
    check_file("video", LaunchConfiguration("video").perform(context))
    return []


def start_replay(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Play the video on the node's image topic."""
    loop = parse_flag("loop", LaunchConfiguration("loop").perform(context))
    return [
        Node(
            package="ast_net_ros",
            executable="replay",
            namespace=LaunchConfiguration("namespace"),
            output="screen",
            remappings=[("image", LaunchConfiguration("image"))],
            arguments=[LaunchConfiguration("video"), "--wait-for-subscriber", *(["--loop"] if loop else [])],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("video", description="video file or photograph with a face"),
            DeclareLaunchArgument("loop", default_value="true", description="repeat until stopped"),
            OpaqueFunction(function=check),
            # Before the replay, because it sets the transports for what follows.
            IncludeLaunchDescription(PythonLaunchDescriptionSource(NODE_LAUNCH_FILE)),
            OpaqueFunction(function=start_replay),
        ]
    )

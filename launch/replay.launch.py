"""Play a recording to ast_net_node; the launch ends with the recording.

`ros2 launch ast_net_ros replay.launch.py bag:=FOLDER image:=/camera/image_raw`, or `video:=FILE`. With a bag the node
takes its time from /clock (use_sim_time); the images of a video are stamped with the current time. The arguments of
ast_net.launch.py work as well.

Bags are played by `ros2 bag play`, because `replay` publishes only the images, with new stamps, while other nodes in a
launch may need the other topics and the recorded stamps.
"""

from __future__ import annotations

import shutil

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from ast_net_ros.ros.runtime.launching import LaunchArgumentError, check_file, check_names, parse_flag

NODE_LAUNCH_FILE = PathJoinSubstitution([FindPackageShare("ast_net_ros"), "launch", "ast_net.launch.py"])


def check(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Reject wrong arguments before anything is started; choose the source of time."""
    check_names(__file__, [argument.name for argument in generate_launch_description().get_launch_arguments()])
    configurations = context.launch_configurations
    bag, video = configurations["bag"], configurations["video"]
    if bool(bag) == bool(video):
        raise LaunchArgumentError(f"bag:='{bag}' video:='{video}': give either bag or video")
    if bag:
        check_ros2_bag()
    check_file("bag" if bag else "video", bag or video)
    configurations["use_sim_time"] = configurations["use_sim_time"] or ("true" if bag else "false")
    return []


def check_ros2_bag() -> None:
    """Raise RuntimeError if `ros2 bag` is not installed."""
    try:
        get_package_prefix("ros2bag")
    except PackageNotFoundError:
        found = False
    else:
        found = shutil.which("ros2") is not None
    if not found:
        raise RuntimeError(
            "bag: `ros2 bag` is not installed; apt install ros-$ROS_DISTRO-ros2bag and its storage plugins, "
            "or play the bag's images alone with `ros2 run ast_net_ros replay BAG`"
        )


def bag_player(bag: str, rate: str, loop: bool, delay: str) -> ExecuteProcess:
    """Return `ros2 bag play`, which also publishes /clock. It does not wait for the node, hence the delay."""
    flags = ["--loop"] if loop else []
    return ExecuteProcess(
        cmd=["ros2", "bag", "play", bag, "--clock", "--rate", rate, "--delay", delay, *flags], output="screen"
    )


def video_player(video: str, rate: str, loop: bool) -> Node:
    """Return `replay`, which waits for the node."""
    flags = ["--loop"] if loop else []
    return Node(
        package="ast_net_ros",
        executable="replay",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        arguments=[video, "--wait-for-subscriber", "--rate", rate, *flags],
        remappings=[("image", LaunchConfiguration("image"))],
    )


def start_player(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Play the recording; the launch ends when it does."""
    bag, video, rate, delay, loop = (
        LaunchConfiguration(name).perform(context) for name in ("bag", "video", "rate", "delay", "loop")
    )
    repeat = parse_flag("loop", loop)
    player = bag_player(bag, rate, repeat, delay) if bag else video_player(video, rate, repeat)
    ended = EmitEvent(event=Shutdown(reason="the recording has ended"))
    return [RegisterEventHandler(OnProcessExit(target_action=player, on_exit=[ended])), player]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", default_value="", description="rosbag2 recording"),
            DeclareLaunchArgument("video", default_value="", description="video file or photograph"),
            DeclareLaunchArgument("image", default_value="image", description="image topic; for a bag, as recorded"),
            DeclareLaunchArgument("rate", default_value="1.0", description="playback speed; 2.0 plays twice as fast"),
            DeclareLaunchArgument("loop", default_value="false", description="repeat until stopped"),
            DeclareLaunchArgument(
                "delay", default_value="5.0", description="seconds to wait for the node before a bag is played"
            ),
            DeclareLaunchArgument(
                "use_sim_time", default_value="", description="take the time from /clock; default: true with a bag"
            ),
            OpaqueFunction(function=check),
            # Before the player, because it sets the transports for what follows.
            IncludeLaunchDescription(PythonLaunchDescriptionSource(NODE_LAUNCH_FILE)),
            OpaqueFunction(function=start_player),
        ]
    )

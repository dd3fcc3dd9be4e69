"""Plays a recording through ast_net_node and ends with it.

`ros2 launch ast_net_ros replay.launch.py bag:=FOLDER image:=/camera/image_raw`, or `video:=FILE`. A bag brings its own
time along, so the node takes it from /clock (use_sim_time); a video is stamped with the time of now. The arguments
of ast_net.launch.py are understood as well.

A bag is played by `ros2 bag play`, not by this package's `replay`, which sends the pictures alone, stamped with now:
who launches a bag wants the other topics and the recorded stamps too, for the nodes beside this one.
"""

from __future__ import annotations

import shutil

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


def bag_player(bag: str, rate: str, loop: bool, delay: str) -> ExecuteProcess:
    """`ros2 bag play`, which publishes /clock too. It does not wait for the node, hence the delay."""
    if shutil.which("ros2") is None:
        raise RuntimeError(
            "bag: the command ros2 is not there; install ros-$ROS_DISTRO-ros2bag and its storage plugins, "
            "or play its pictures alone with `replay`"
        )
    flags = ["--loop"] if loop else []
    return ExecuteProcess(
        cmd=["ros2", "bag", "play", bag, "--clock", "--rate", rate, "--delay", delay, *flags], output="screen"
    )


def video_player(video: str, rate: str, loop: bool) -> Node:
    """`replay`, which waits for the node."""
    flags = ["--loop"] if loop else []
    return Node(
        package="ast_net_ros",
        executable="replay",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        arguments=[video, "--wait-for-subscriber", "--rate", rate, *flags],
        remappings=[("image", LaunchConfiguration("image"))],
    )


def play(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The node and the player; the launch ends when the recording does."""
    bag, video, rate, delay, sim_time = (
        LaunchConfiguration(name).perform(context) for name in ("bag", "video", "rate", "delay", "use_sim_time")
    )
    loop = LaunchConfiguration("loop").perform(context).lower() == "true"
    if bool(bag) == bool(video):
        raise ValueError(f"bag:='{bag}' video:='{video}': name one of the two")
    player = bag_player(bag, rate, loop, delay) if bag else video_player(video, rate, loop)
    node = PathJoinSubstitution([FindPackageShare("ast_net_ros"), "launch", "ast_net.launch.py"])
    own_time = sim_time or ("true" if bag else "false")
    ended = EmitEvent(event=Shutdown(reason="the recording has ended"))
    return [
        # First, as it sets the transports for what follows.
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(node), launch_arguments={"use_sim_time": own_time}.items()
        ),
        RegisterEventHandler(OnProcessExit(target_action=player, on_exit=[ended])),
        player,
    ]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", default_value="", description="a rosbag2 recording"),
            DeclareLaunchArgument("video", default_value="", description="a video file or a photograph"),
            DeclareLaunchArgument("image", default_value="image", description="the image topic, in a bag as recorded"),
            DeclareLaunchArgument("rate", default_value="1.0", description="speed, 2.0 plays twice as fast"),
            DeclareLaunchArgument("loop", default_value="false", description="play again and again"),
            DeclareLaunchArgument(
                "delay", default_value="5.0", description="seconds the node gets to start, before a bag"
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="",
                description="time from /clock; empty means with a bag, not with a video",
            ),
            OpaqueFunction(function=play),
        ]
    )

"""Starts ast_net_node. `ros2 launch ast_net_ros ast_net.launch.py --show-args` lists the arguments.

Arguments that are left empty do not touch what the configuration file says.
"""

from __future__ import annotations

import yaml
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from ast_net_ros.ros.runtime.transports import image_transport_settings

# Arguments that are parameters of the node; their values are read as YAML.
PARAMETERS = {
    "image_topics": "further image topics, such as [/left/image_raw, /right/image_raw/compressed]",
    "device": "auto, cpu, cuda or cuda:N",
    "precision": "auto, float32, bfloat16 or float16",
    "runtime": "auto, torch or onnxruntime: what computes the CNN",
    "weights": "path of a .safetensors file",
    "autostart": "false leaves configure and activate to a lifecycle manager",
    "face_source": "detector, or hri for the faces of another ROS4HRI detector",
    "hri": "true publishes faces as REP-155 (ROS4HRI) describes",
    "debug_image": "false never draws ~/debug_image",
    "use_sim_time": "true takes the time from /clock",
}


def start_node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The node, with the parameters that were given."""
    given = {name: LaunchConfiguration(name).perform(context) for name in PARAMETERS}
    return [
        Node(
            package="ast_net_ros",
            executable="ast_net_node",
            name="ast_net",
            namespace=LaunchConfiguration("namespace"),
            output="screen",
            remappings=[("image", LaunchConfiguration("image"))],
            parameters=[
                LaunchConfiguration("config"),
                {name: yaml.safe_load(text) for name, text in given.items() if text},
            ],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    default_config = PathJoinSubstitution([FindPackageShare("ast_net_ros"), "config", "ast_net.yaml"])
    return LaunchDescription(
        [
            *(SetEnvironmentVariable(name, value) for name, value in image_transport_settings().items()),
            DeclareLaunchArgument("image", default_value="image", description="the first camera's topic"),
            DeclareLaunchArgument("namespace", default_value="", description="namespace of the node"),
            DeclareLaunchArgument("config", default_value=default_config, description="parameter file"),
            DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn or error"),
            *(
                DeclareLaunchArgument(name, default_value="", description=description)
                for name, description in PARAMETERS.items()
            ),
            OpaqueFunction(function=start_node),
        ]
    )

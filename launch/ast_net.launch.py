"""Start ast_net_node. `ros2 launch ast_net_ros ast_net.launch.py --show-args` lists the arguments.

An empty argument keeps the value from the parameter file.
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from ast_net_ros.ros.runtime.launching import check_file, check_names, parse_flag, parse_value
from ast_net_ros.ros.runtime.transports import image_transport_settings

DEFAULT_CONFIG = PathJoinSubstitution([FindPackageShare("ast_net_ros"), "config", "ast_net.yaml"])
# Arguments that are parameters of the node; their values are parsed as YAML.
PARAMETERS = {
    "image_topics": "additional image topics, such as [/left/image_raw, /right/image_raw/compressed]",
    "image_rotation": "clockwise rotation that makes faces upright: 0, 90, 180 or 270 degrees",
    "device": "auto, cpu, cuda or cuda:N",
    "precision": "auto, float32, bfloat16 or float16",
    "runtime": "auto, onnxruntime or torch: the library that runs the network",
    "weights": "path of a .safetensors file",
    "detector_input_size": "longer side, in pixels, to which images are scaled down for face detection",
    "detection_interval": "seconds between two face detections",
    "score_threshold": "minimum score of a face detection, 0 to 1",
    "smoothing_time_constant": "time constant of the filter over valence and arousal, in seconds; 0 for no filter",
    "autostart": "false if a lifecycle manager configures and activates the node",
    "face_source": "detector, or hri for the faces of another ROS4HRI detector",
    "hri": "true publishes the faces as specified by REP-155 (ROS4HRI)",
    "publish_tf": "true publishes TF frames for each face; requires camera_info beside the image topic",
    "persons": "true gives faces a person_id that persists when a person leaves and returns",
    "debug_image": "false disables ~/debug_image",
    "annotations": "true publishes ~/annotations for Foxglove",
    "use_sim_time": "true takes the time from /clock",
}
ARGUMENTS = [
    DeclareLaunchArgument("image", default_value="image", description="topic of the first camera"),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of the node"),
    DeclareLaunchArgument("config", default_value=DEFAULT_CONFIG, description="parameter file"),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="minimum severity of log messages",
    ),
    DeclareLaunchArgument(
        "fastdds_settings",
        default_value="true",
        description="true sets environment variables so that Fast DDS does not lose large images in this launch",
    ),
    *(DeclareLaunchArgument(name, default_value="", description=text) for name, text in PARAMETERS.items()),
]


def check(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Reject unknown arguments and a missing configuration file."""
    check_names(__file__, [argument.name for argument in ARGUMENTS])
    check_file("config", LaunchConfiguration("config").perform(context))
    return []


def set_environment(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Set the DDS transports for everything that this launch starts from here on."""
    if not parse_flag("fastdds_settings", LaunchConfiguration("fastdds_settings").perform(context)):
        return []
    settings = image_transport_settings(context.environment)
    return [SetEnvironmentVariable(name, value) for name, value in settings.items()]


def start_node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Start the node with the parameters that were given."""
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
                {name: parse_value(name, text) for name, text in given.items() if text},
            ],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    functions = [OpaqueFunction(function=function) for function in (check, set_environment, start_node)]
    return LaunchDescription([*ARGUMENTS, *functions])

#!/bin/bash
# Start the node's launch file with the arguments of `docker run IMAGE ARGUMENT:=VALUE ...`, or run another command.
set -e
source "/opt/ros/$ROS_DISTRO/setup.bash"
source /workspace/install/setup.bash
case "${1:-}" in
    "" | *:=*) exec ros2 launch ast_net_ros ast_net.launch.py "$@" ;;
    *) exec "$@" ;;
esac

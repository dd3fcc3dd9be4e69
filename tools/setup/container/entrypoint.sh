#!/bin/bash
# Starts the node's launch file with the arguments of `docker run IMAGE ARGUMENT:=VALUE ...`; another command is run as it is.
set -e
source "/opt/ros/$ROS_DISTRO/setup.bash"
source /workspace/install/setup.bash
case "${1:-}" in
    "" | *:=*) exec ros2 launch ast_net_ros ast_net.launch.py "$@" ;;
    *) exec "$@" ;;
esac

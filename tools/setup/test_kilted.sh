#!/usr/bin/env bash
# Build the package with ROS 2 Kilted and run tests of the node on it, beside the ROS 2 of this checkout.
#   tools/setup/test_kilted.sh [PYTEST ARGUMENTS...]
# Environment, build and install directories stay in .cache/kilted (about 2 GB), so a second run starts with the tests.
# Without an argument under test/ it runs the shortest tests of what differs between distributions: messages, parameters,
# lifecycle. `test/ros` runs all of them.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$root"
# Neither a sourced ROS 2 nor the one of this checkout may contribute packages.
unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH VIRTUAL_ENV
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE AST_NET_WHEELS FASTRTPS_DEFAULT_PROFILES_FILE FASTDDS_DEFAULT_PROFILES_FILE
directory=$root/.cache/kilted
export ROS_DISTRO=kilted AST_NET_VENV=$directory/venv
export AST_NET_BUILD_BASE=$directory/build AST_NET_INSTALL_BASE=$directory/install
export AST_NET_MEDIA=${AST_NET_MEDIA:-$root/.cache/media}
tools/setup/setup.sh dev
source ./env.sh
python tools/setup/fetch_media.py "$AST_NET_MEDIA"
case " $* " in
    *" test/"*) ;;
    *) set -- "$@" test/ros/test_messages.py test/ros/test_parameters.py test/ros/test_lifecycle.py ;;
esac
pytest -p no:cacheprovider "$@"

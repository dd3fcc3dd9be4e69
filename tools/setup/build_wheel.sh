#!/usr/bin/env bash
# Builds sdist and wheel into dist/, checks them with twine, and tries each in a clean environment outside the checkout:
# the command, the packaged weights, and a real video. Called by `make wheel`. PYTHON names the interpreter.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
python=${PYTHON:-python3}
video=${AST_NET_MEDIA:-$root/.cache/media}/single_face.mp4
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset PYTHONPATH VIRTUAL_ENV AMENT_PREFIX_PATH LD_LIBRARY_PATH

"$python" -m venv "$scratch/tools"
"$scratch/tools/bin/pip" --disable-pip-version-check install --quiet --no-compile build twine
# Out of what git knows, so that nothing of this machine gets into the files.
mkdir "$scratch/source"
git -C "$root" ls-files -z | (cd "$root" && xargs -0 cp --parents --target-directory "$scratch/source" 2>/dev/null || true)
rm -rf "$root/dist"
"$scratch/tools/bin/python" -m build --outdir "$root/dist" "$scratch/source" >"$scratch/build.log" 2>&1 ||
    { tail -n 30 "$scratch/build.log" >&2 && exit 1; }
"$scratch/tools/bin/twine" check --strict "$root"/dist/*

"$python" "$root/tools/setup/fetch_media.py" "$(dirname "$video")"
for file in "$root"/dist/*.whl "$root"/dist/*.tar.gz; do
    env=$scratch/env-${file##*.}
    "$python" -m venv "$env"
    "$env/bin/pip" --disable-pip-version-check install --quiet --no-compile "${AST_NET_TORCH:-torch==2.13.0}" "$file"
    (cd "$scratch" && "$env/bin/ast_net" annotate "$video" --output "$scratch/look" --seconds 1)
    test "$(wc -l <"$scratch/look/estimates.csv")" -gt 20
    echo "[wheel] $(basename "$file"): $("$env/bin/ast_net" --version), works in a clean environment"
    rm -rf "$env" "$scratch/look"
done

#!/usr/bin/env bash
# Build sdist and wheel into dist/, check them with twine, and try each in a clean environment outside the checkout: the
# command, the packaged weights, a real video, all without torch. Called by `make wheel`. PYTHON selects the interpreter.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
python=${PYTHON:-python3}
video=${AST_NET_MEDIA:-$root/.cache/media}/single_face.mp4
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset PYTHONPATH VIRTUAL_ENV AMENT_PREFIX_PATH LD_LIBRARY_PATH

"$python" -m venv "$scratch/tools"
"$scratch/tools/bin/pip" --disable-pip-version-check install --quiet --no-compile build twine
# Only files that git tracks, so that nothing else of this machine is packaged.
mkdir "$scratch/source"
git -C "$root" ls-files -z | (cd "$root" && xargs -0 cp --parents --target-directory "$scratch/source" 2>/dev/null || true)
rm -rf "$root/dist"
"$scratch/tools/bin/python" -m build --outdir "$root/dist" "$scratch/source" >"$scratch/build.log" 2>&1 ||
    { tail -n 30 "$scratch/build.log" >&2 && exit 1; }
"$scratch/tools/bin/twine" check --strict "$root"/dist/*
"$python" - "$root"/dist/*.whl <<'END'
import sys, zipfile
others = {name for name in zipfile.ZipFile(sys.argv[1]).namelist() if not name.startswith("ast_net_ros")}
sys.exit(f"[wheel] FAILED: the wheel installs more than the package: {sorted(others)}" if others else 0)
END

"$python" "$root/tools/setup/fetch_media.py" "$(dirname "$video")"
for file in "$root"/dist/*.whl "$root"/dist/*.tar.gz; do
    env=$scratch/env-${file##*.}
    "$python" -m venv "$env"
    "$env/bin/pip" --disable-pip-version-check install --quiet --no-compile "$file"
    (cd "$scratch" && "$env/bin/ast_net" annotate "$video" --output "$scratch/results" --seconds 1)
    test "$(wc -l <"$scratch/results/estimates.csv")" -gt 20
    echo "[wheel] $(basename "$file"): $("$env/bin/ast_net" --version), works in a clean environment," \
        "$(du -sm "$env/lib" | cut -f 1) MB with its requirements"
    rm -rf "$env" "$scratch/results"
done

#!/usr/bin/env bash
# List the installed packages and their known vulnerabilities: run by `make audit`, after `make setup`.
#
#   out/audit/sbom.json        software bill of materials (CycloneDX 1.6) of the environment
#   out/audit/pip-audit.json   known vulnerabilities, from the service that pip-audit queries
#
# Exit code: 0 for no known vulnerability, 1 for some, 3 when the service did not answer or knows none of the packages (as
# behind a mirror of the package index), which is not a pass. `make audit AUDIT_ARGS=--offline` only writes the list.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=${AST_NET_VENV:-$PWD/.venv}
tools=$PWD/.cache/audit
output=out/audit
mkdir -p "$output" "$tools"

# The audit tools' requirements would replace the environment's, so they have an environment of their own.
if [ ! -x "$tools/bin/pip-audit" ]; then
    "$venv/bin/python" -m venv "$tools" && "$tools/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement tools/setup/requirements/audit.txt 2>"$tools/pip.log" || {
        tail -n 5 "$tools/pip.log" >&2
        echo "[audit] FAILED: the tools in tools/setup/requirements/audit.txt could not be installed into $tools" >&2
        exit 2
    }
fi

# Another shell's environment must not be used for the tools.
unset PYTHONPATH
"$tools/bin/cyclonedx-py" environment "$venv/bin/python" --output-reproducible --of JSON -o "$output/sbom.json" || exit 2
echo "[audit] $output/sbom.json: $(grep -c '"bom-ref"' "$output/sbom.json") components"
if [ "${1:-}" = --offline ]; then exit 0; fi

rm -f "$output/pip-audit.json"
"$venv/bin/python" -m pip list --format=freeze 2>/dev/null |
    grep -v -i -e '^ast[_-]net[_-]ros==' -e '^ros-' -e ' @ ' >"$output/installed.txt"
"$tools/bin/pip-audit" --requirement "$output/installed.txt" --no-deps --disable-pip --format json \
    --output "$output/pip-audit.json" --timeout 15 2>"$output/pip-audit.log"
"$venv/bin/python" tools/setup/audit_verdict.py "$output/pip-audit.json"

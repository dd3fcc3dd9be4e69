#!/usr/bin/env bash
# Print the installation recipe of the README for a ROS 2 distribution, so that the workflow runs it as written:
#   tools/setup/readme_recipe.sh jazzy | bash -ex
# A recipe is the bash block after `<!-- install: DISTRO -->`. Distributions without one of their own use that of Jazzy.
set -euo pipefail
distro=${1:?usage: readme_recipe.sh DISTRO}
readme=$(dirname "${BASH_SOURCE[0]}")/../../README.md
from=$distro
grep -q "^<!-- install: $from -->" "$readme" || from=jazzy
recipe=$(awk -v marker="<!-- install: $from -->" '
    $0 == marker { found = 1; next }
    found && /^```bash/ { inside = 1; next }
    inside && /^```/ { exit }
    inside' "$readme" | sed "s/$from/$distro/g")
# From Lyrical on, the system has NumPy 2.
case $distro in lyrical | rolling) recipe=${recipe//numpy<2/numpy<3} ;; esac
[ -n "$recipe" ] || { echo "readme_recipe: README.md has no recipe for $from" >&2 && exit 1; }
printf '%s\n' "$recipe"

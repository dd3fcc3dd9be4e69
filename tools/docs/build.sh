#!/usr/bin/env bash
# Builds the documentation and checks it: generated parts of the README, spelling, Dockerfiles, MkDocs' warnings as errors, links.
# `make docs` calls it in the environment of env.sh, with the output folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
site=${1:?usage: build.sh FOLDER}
case $site in /*) ;; *) site=$PWD/$site ;; esac # MkDocs resolves relative ones elsewhere

python tools/docs/readme.py --check
git ls-files -z --cached --others --exclude-standard '*.md' '*.rst' '*.py' '*.sh' '*.yml' '*.yaml' '*.msg' '*.srv' '*.txt' Makefile |
    xargs -0 ls -d 2>/dev/null | xargs codespell --ignore-words tools/docs/spelling.txt
find . -maxdepth 2 -name 'Dockerfile*' -not -path './.venv*' -not -path './out/*' -print0 | xargs -0 -r hadolint
NO_MKDOCS_2_WARNING=1 mkdocs build --quiet --strict --site-dir "$site"
python tools/docs/check_site.py "$site"

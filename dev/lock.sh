#!/usr/bin/env bash
# Compile the .in files into pinned, hashed requirements for every supported Python and platform.
set -euo pipefail
cd "$(dirname "$0")/.."
dev/install.sh requirements-dev.txt
lock() {
    .venv/bin/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
        "$1" -o "$2" "${@:3}"
}
lock requirements.in requirements.txt
# Both other locks are held to the first, so that a model means the same with the light set, and the tests
# run what production runs.
lock requirements-light.in requirements-light.txt -c requirements.txt
lock requirements-agents.in requirements-agents.txt -c requirements.txt
lock requirements-dev.in requirements-dev.txt -c requirements.txt
# What the search benchmark compares with: without dependencies, for numpy and tqdm are there.
lock requirements-bench.in requirements-bench.txt --no-deps
# An extra for imports: nothing else reads Parquet.
lock requirements-parquet.in requirements-parquet.txt -c requirements.txt
# What drills run in environments of their own.
lock tests/clients/requirements.in tests/clients/requirements.txt
(cd tests/clients && npm install --package-lock-only --ignore-scripts --no-audit --no-fund)

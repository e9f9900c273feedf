#!/usr/bin/env bash
# Lint, format, types, import contracts and licences; every check runs even when an earlier one failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
dev/install.sh requirements-dev.txt || exit 1

failed=()
check() {
    local name=$1
    shift
    printf '%s ... ' "$name"
    local output
    if output=$("$@" 2>&1); then
        echo ok
    else
        echo FAILED
        printf '%s\n' "$output"
        failed+=("$name")
    fi
}

check "ruff check" .venv/bin/ruff check .
check "ruff format" .venv/bin/ruff format --check .
check "mypy" .venv/bin/mypy
check "import contracts" env PYTHONPATH=. .venv/bin/lint-imports
check "licences" .venv/bin/python dev/licences.py
check "shellcheck" .venv/bin/shellcheck -x dev/*.sh .ci/run

if [ ${#failed[@]} -gt 0 ]; then
    echo "Failed: ${failed[*]}"
    exit 1
fi

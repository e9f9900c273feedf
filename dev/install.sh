#!/usr/bin/env bash
# Make .venv hold exactly what a requirements file pins; does nothing when it already does.
# Usage: dev/install.sh requirements.txt|requirements-dev.txt
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=${1:?which requirements file}

say() { printf '%s\n' "$*" >&2; }

find_python() {
    # Each candidate is run, not only found: a shim may name a version that is not installed.
    local candidate
    for candidate in "${MIRADA_PYTHON:-}" /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && "$candidate" -c \
            'import sys; sys.exit(sys.version_info[:2] < (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    say "Mirada needs Python 3.11 or newer. On Debian 12 or Ubuntu 24.04: apt-get install python3 python3-venv"
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

make_environment() {
    local python package
    python=$(find_python)
    say "Making .venv with $("$python" --version) ..."
    # Debian ships venv without ensurepip, which makes it fail half-way, unless this package is there.
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        say "Python's venv module is incomplete; installing $package ..."
        if ! { as_root apt-get update -qq && as_root apt-get install -y -qq "$package"; } >/dev/null 2>&1; then
            say "That needs an administrator: sudo apt-get install $package"
            return 1
        fi
    fi
    "$python" -m venv --clear .venv
}

fingerprint() {
    # The interpreter belongs to it: packages built for one Python are not found by another.
    { cat "$1"; .venv/bin/python -c 'import sys; print(sys.version)'; } | sha256sum | cut -d' ' -f1
}

usable() { .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' 2>/dev/null; }

if usable && [ "$(cat ".venv/.installed-$wanted" 2>/dev/null)" = "$(fingerprint "$wanted")" ]; then
    exit 0
fi

# Two terminals may start at once; the second waits and then finds everything done.
exec 9>.install.lock
flock 9
usable || make_environment
if [ "$(cat ".venv/.installed-$wanted" 2>/dev/null)" = "$(fingerprint "$wanted")" ]; then
    exit 0
fi

if ! .venv/bin/python -m uv --version >/dev/null 2>&1; then
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --require-hashes -r dev/installer.txt
fi
# The installer reads its own settings only; a company's package index is usually told to pip.
index=${PIP_INDEX_URL:-$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}
if [ -n "$index" ] && [ -z "${UV_DEFAULT_INDEX:-}" ]; then export UV_DEFAULT_INDEX=$index; fi

say "Installing $wanted (about 6 GB with PyTorch; once) ..."
# Compiled now, once: where Python may not write bytecode (PYTHONDONTWRITEBYTECODE, a read-only disk)
# every start would compile PyTorch's modules again, 8 s to the first vector instead of 4.
.venv/bin/python -m uv pip install --quiet --python .venv/bin/python --compile-bytecode \
    --require-hashes -r "$wanted"
fingerprint "$wanted" >".venv/.installed-$wanted"
# What the tests need contains what running needs, at the same pins (a test says so).
if [ "$wanted" = requirements-dev.txt ]; then
    fingerprint requirements.txt >.venv/.installed-requirements.txt
fi

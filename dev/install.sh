#!/usr/bin/env bash
# Make .venv hold exactly what a requirements file pins; does nothing when it already does.
# Usage: dev/install.sh requirements-light.txt|requirements.txt|requirements-dev.txt [REASON]. No
# administrator is needed. Each of the three contains the one before it, at the same pins (a test says so).
# REASON is a sentence that is said where something is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=${1:?which requirements file}
reason=${2:-}
# What they take, measured; keep README.md in step.
download="3.2 GB"
unpacked="6 GB"
installed_mb=6400
contained=(requirements-light.txt)
case $wanted in
requirements-light.txt)
    download="150 MB"
    unpacked="450 MB"
    installed_mb=500
    contained=()
    ;;
requirements-dev.txt) contained+=(requirements.txt) ;;
esac

say() { printf '%s\n' "$*" >&2; }

find_python() {
    # Each candidate is run, not only found: a shim may name a version that is not installed, and a
    # minimal system may leave out parts of the standard library.
    local candidate
    for candidate in "${MIRADA_PYTHON:-}" /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && "$candidate" -c \
            'import sys, venv, ssl, zipfile; sys.exit(sys.version_info[:2] < (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    say "Mirada needs Python 3.11 or newer, whole: on Debian 12, Ubuntu 24.04 or later, apt-get install python3"
    say "MIRADA_PYTHON=/path/to/python names one that is not found."
    return 1
}

make_environment() {
    local python
    python=$(find_python)
    say "Making .venv with $("$python" --version) ..."
    # Without pip, whose parts Debian keeps in a package of their own: the installer does not need it.
    "$python" -m venv --without-pip --clear .venv
}

fingerprint() {
    # The interpreter belongs to it: packages built for one Python are not found by another.
    { cat "$1"; .venv/bin/python -c 'import sys; print(sys.version)'; } | sha256sum | cut -d' ' -f1
}

usable() { .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' 2>/dev/null; }
is_installed() { [ "$(cat ".venv/.installed-$wanted" 2>/dev/null)" = "$(fingerprint "$wanted")" ]; }

# A cache on another disk would hold everything twice: there packages are copied, on one disk linked.
choose_cache() {
    local cache
    [ -z "${UV_CACHE_DIR:-}" ] || return 0
    cache=$(.venv/bin/python -m uv cache dir 2>/dev/null) || cache=
    if [ -n "$cache" ] && mkdir -p "$cache" 2>/dev/null && touch "$cache/.linked" 2>/dev/null &&
        ln -f "$cache/.linked" .venv/.linked 2>/dev/null; then
        rm -f .venv/.linked "$cache/.linked"
        export UV_CACHE_DIR=$cache
    else
        export UV_CACHE_DIR=$PWD/.venv/.cache
        trap 'rm -rf .venv/.cache' EXIT
    fi
}

require_room() {
    local free need=$installed_mb held
    # What is there already, here or in the cache, takes no room again.
    for held in .venv/ "$UV_CACHE_DIR"; do
        [ ! -d "$held" ] || need=$((need - $(du -sm "$held" 2>/dev/null | cut -f1)))
    done
    free=$(df -Pm .venv/ | awk 'NR == 2 { print $4 }')
    if [ "$need" -gt "$free" ]; then
        say "This needs about $(((need + 99) / 100 * 100)) MB on the disk of $PWD, and $free MB are free there. Nothing"
        say "was downloaded. Make room, or put this folder on a larger disk, and run it again."
        return 1
    fi
    if [ "$need" -gt $((installed_mb / 4)) ]; then
        say "Installing $wanted into .venv, once: about $download are downloaded and $unpacked unpacked" \
            "($((free / 1000)) GB are free) ..."
    else
        say "Installing $wanted into .venv ..."
    fi
}

# Two terminals may start at once; the second waits and then finds everything done.
wait_for_others() {
    exec 9>.install.lock
    if ! flock -n 9; then
        say "Another terminal is installing into .venv; waiting until it is done ..."
        flock 9
    fi
}

if usable && is_installed; then
    # Another terminal may be adding PyTorch to the light set; nothing runs on half of a set.
    [ ! -e .install.lock ] || flock -n .install.lock true || wait_for_others
    exit 0
fi

wait_for_others
usable || make_environment
if is_installed; then
    exit 0
fi

if ! .venv/bin/python -m uv --version >/dev/null 2>&1; then
    say "Fetching the installer (uv, about 20 MB) ..."
    .venv/bin/python dev/get_uv.py install .venv
fi
# The installer reads its own settings only; a company's package index is usually told to pip.
index=$(.venv/bin/python dev/get_uv.py index)
if [ -n "$index" ]; then export UV_DEFAULT_INDEX=$index; fi
.venv/bin/python dev/get_uv.py ask
choose_cache
[ -z "$reason" ] || say "$reason"
require_room

# Progress is for people; where nobody looks, only what went wrong is said.
quietly=(--quiet)
[ ! -t 2 ] || quietly=()
# Compiled now, once: where Python may not write bytecode (PYTHONDONTWRITEBYTECODE, a read-only disk)
# every start would compile all modules again.
.venv/bin/python -m uv pip install "${quietly[@]}" --python .venv/bin/python --compile-bytecode \
    --require-hashes -r "$wanted"
# The pages have three languages. The data of all others are 27 MB.
find .venv/lib/*/site-packages/babel/locale-data -name '*.dat' \
    ! -name 'root.dat' ! -name 'en*.dat' ! -name 'es*.dat' ! -name 'pt*.dat' -delete 2>/dev/null || true
fingerprint "$wanted" >".venv/.installed-$wanted"
for lesser in "${contained[@]}"; do
    fingerprint "$lesser" >".venv/.installed-$lesser"
done

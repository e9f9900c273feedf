#!/usr/bin/env bash
# Run the benchmarks one after the other; a name runs that one only.
set -euo pipefail
cd "$(dirname "$0")/.."
dev/install.sh requirements.txt
if [ $# -gt 0 ]; then
    chosen=("$@")
else
    chosen=(encoders rebuild search serving intake)
fi
for name in "${chosen[@]}"; do
    .venv/bin/python -m "benchmarks.$name"
done

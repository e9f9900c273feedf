#!/usr/bin/env bash
# Compare our search with its peers and renew docs/benchmarks.md. Arguments go to benchmarks.search; without
# any: 10,000 and then 100,000 vectors (a quarter of an hour). A million: --rows 1000000 --queries 100
# --engines flat,ours --no-graph --write.
set -euo pipefail
cd "$(dirname "$0")/.."
dev/install.sh requirements-dev.txt
# Into a folder of their own: what serves and what is tested stays as it is pinned.
wanted=$(sha256sum requirements-bench.txt | cut -d' ' -f1)
if [ "$(cat .bench/.installed 2>/dev/null)" != "$wanted" ]; then
    rm -rf .bench
    .venv/bin/python -m uv pip install --quiet --python .venv/bin/python --target .bench --no-deps \
        --require-hashes -r requirements-bench.txt
    echo "$wanted" >.bench/.installed
fi
export PYTHONPATH=.bench
if [ $# -gt 0 ]; then
    exec .venv/bin/python -m benchmarks.search "$@"
fi
for rows in 10000 100000; do
    .venv/bin/python -m benchmarks.search --rows "$rows" --engines all --write
done

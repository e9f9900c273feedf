#!/usr/bin/env bash
# Install what this machine and its settings need: the light set, or with PyTorch. FULL=1 asks for all.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${FULL:-0}" = 1 ]; then
    exec dev/install.sh requirements.txt
fi
dev/install.sh requirements-light.txt
why=$(.venv/bin/python dev/needs_torch.py)
if [ -n "$why" ]; then
    exec dev/install.sh requirements.txt "$why"
fi

#!/usr/bin/env bash
# Install and serve. Ctrl-C stops it; a second run finds its data again.
# FULL=1 installs PyTorch too, which the bundled model on a CPU does without.
set -euo pipefail
cd "$(dirname "$0")/.."
dev/install_to_run.sh
exec bin/mirada run --typed "make run"

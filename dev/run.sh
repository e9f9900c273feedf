#!/usr/bin/env bash
# Install and serve. Ctrl-C stops it; a second run finds its data again.
set -euo pipefail
cd "$(dirname "$0")/.."
dev/install.sh requirements.txt
exec bin/mirada run --typed "make run"

#!/usr/bin/env bash
# Install what the tests need and run them. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
dev/install.sh requirements-dev.txt
dev/servers.sh
exec .venv/bin/python -m pytest "$@"

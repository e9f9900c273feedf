#!/usr/bin/env bash
# Install and serve. Ctrl-C stops it; a second run finds its data again.
set -euo pipefail
cd "$(dirname "$0")/.."
dev/install.sh requirements.txt
# The server says on standard output when it is ready, for the person who typed `make run`.
export MIRADA_ANNOUNCE=1
exec .venv/bin/python -m gunicorn -c gunicorn.conf.py wsgi:app

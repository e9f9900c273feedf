#!/usr/bin/env bash
# Make the pictures of the pages in docs/pictures-of-pages, with a server and data of their own.
# They need the system's Chromium: apt-get install chromium
set -euo pipefail
cd "$(dirname "$0")/.."
dev/install.sh requirements-dev.txt
exec .venv/bin/python dev/screenshots.py "$@"

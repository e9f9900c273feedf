#!/usr/bin/env bash
# Make sure the servers and the browser that the tests start are installed; the tests run their own copies.
set -euo pipefail
PATH=$PATH:/usr/sbin:/usr/local/sbin

packages=()
command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null ||
    packages+=(mariadb-server-core mariadb-client-core)
command -v redis-server >/dev/null || packages+=(redis-server)
command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
    command -v google-chrome >/dev/null || packages+=(chromium)
[ ${#packages[@]} -gt 0 ] || exit 0

# shellcheck source=dev/apt.sh
source "$(dirname "$0")/apt.sh"
apt_install "Tests that need these are skipped, or fail in CI, until they are installed" "${packages[@]}" || true

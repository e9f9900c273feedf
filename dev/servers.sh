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

command="apt-get install -y --no-install-recommends ${packages[*]}"
if ! command -v apt-get >/dev/null; then
    echo "Not installed, and there is no apt-get here: ${packages[*]}. Tests that need them are skipped." >&2
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    root=()
elif sudo -n true 2>/dev/null; then
    root=(sudo -n)
else
    echo "Tests that need ${packages[*]} are skipped until you run: sudo $command" >&2
    exit 0
fi
echo "Installing ${packages[*]} ..." >&2
export DEBIAN_FRONTEND=noninteractive
"${root[@]}" apt-get update -qq
# shellcheck disable=SC2086 # the command is words on purpose
if ! "${root[@]}" env DEBIAN_FRONTEND=noninteractive $command -qq >/dev/null; then
    echo "apt-get could not install ${packages[*]}; tests that need them are skipped, or fail in CI." >&2
fi

#!/usr/bin/env bash
# Unpack Debian 13's MariaDB and the libraries it needs into a folder, for tests on a newer server.
# Nothing is installed and no root is needed: apt downloads, checks the signatures, and dpkg unpacks.
# Where that cannot be done it says why; the tests that ask for that server are then skipped.
set -euo pipefail
suite=trixie
packages=(mariadb-server-core mariadb-client-core)
place=${XDG_CACHE_HOME:-$HOME/.cache}/mirada/mariadb-$suite
[ -e "$place/ready" ] && exit 0

sorry() {
    echo "The newer MariaDB is not here, so its tests are skipped: $1" >&2
    exit 0
}
{ command -v apt-get && command -v dpkg-deb; } >/dev/null || sorry "this machine has no apt-get."
# The mirror that this machine uses for its own packages has those of Debian 13 too.
# shellcheck disable=SC2016 # apt-get fills it in
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sort -u | head -n 1)
[ -n "$mirror" ] || sorry "this machine takes no packages from Debian."
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] || sorry "$keys is missing (package debian-archive-keyring)."

mkdir -p "$place"
exec 9>"$place/lock"
flock 9
[ -e "$place/ready" ] && exit 0
echo "Unpacking the MariaDB of Debian 13 into $place, about 15 MB to download ..." >&2
rm -rf "$place/apt" "$place/root"
mkdir -p "$place"/apt/{lists,archives}/partial "$place/apt/parts" "$place/root"
echo "deb [signed-by=$keys] $mirror $suite main" >"$place/apt/sources.list"
touch "$place/apt/status"
options=(
    -o "Dir::Etc::SourceList=$place/apt/sources.list" -o "Dir::Etc::SourceParts=$place/apt/parts"
    -o "Dir::State=$place/apt" -o "Dir::State::lists=$place/apt/lists" -o "Dir::State::status=$place/apt/status"
    -o "Dir::Cache=$place/apt" -o "Dir::Cache::archives=$place/apt/archives"
    -o Debug::NoLocking=true -o APT::Sandbox::User=
)
said=$(apt-get "${options[@]}" update -qq 2>&1) ||
    sorry "apt-get could not read Debian 13's list of packages: $(tail -n 1 <<<"$said")"
said=$(apt-get "${options[@]}" install -y -qq --download-only --no-install-recommends "${packages[@]}" 2>&1) ||
    sorry "apt-get could not download it: $(tail -n 1 <<<"$said")"
for package in "$place"/apt/archives/*.deb; do
    dpkg-deb -x "$package" "$place/root"
done
# Its programs run with its own C library, whatever this machine's is.
for program in sbin/mariadbd bin/my_print_defaults bin/resolveip; do
    path=$place/root/usr/$program
    [ -e "$path" ] || continue
    mv "$path" "$path.program"
    libraries=$place/root/usr/lib/$(dpkg --print-architecture | sed 's/amd64/x86_64/; s/arm64/aarch64/')-linux-gnu
    loader=$(find "$libraries" -name 'ld-linux-*.so.*' | head -n 1)
    printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s.program" "$@"\n' "$loader" "$libraries" "$path" >"$path"
    chmod 755 "$path"
done
rm -rf "$place/apt"
chmod -R a+rX "$place"
touch "$place/ready"

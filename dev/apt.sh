# shellcheck shell=bash
# Sourced by scripts that need programs of the system: installs them by apt where this user may.

# apt_install WHY PACKAGE...: returns 1, with the line to type, where it is not possible.
apt_install() {
    local why=$1 line output root=()
    shift
    line="apt-get install -y --no-install-recommends $*"
    if ! command -v apt-get >/dev/null; then
        echo "$why: $* (there is no apt-get here; install them by hand)." >&2
        return 1
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            echo "$why: sudo $line" >&2
            return 1
        fi
        root=(sudo -n)
    fi
    echo "Installing $* ..." >&2
    # What apt says is of interest where it fails only, and then its last lines are.
    if ! output=$({
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
    } 2>&1); then
        echo "apt-get could not install $*; its last lines:" >&2
        tail -n 5 <<<"$output" >&2
        return 1
    fi
}

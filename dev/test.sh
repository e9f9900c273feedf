#!/usr/bin/env bash
# Install what the tests need and run them: dev/test.sh quick|most|all, then arguments for pytest.
# Without arguments two processes share the work; with them one does it, unless they say -n 2.
set -euo pipefail
cd "$(dirname "$0")/.."
which=${1:?quick, most or all}
shift
dev/install.sh requirements-dev.txt
[ "$which" = quick ] || dev/servers.sh
# Processes that tests start would compile the project's modules again, each of them, at every start.
export PYTHONDONTWRITEBYTECODE=
case $which in
quick) chosen=(-m "not (slow or drill or mariadb or postgresql or redis or browser)") ;;
most) chosen=(-m "not drill") ;;
all) chosen=() ;;
*) echo "dev/test.sh: quick, most or all, not $which" >&2 && exit 2 ;;
esac
[ $# -gt 0 ] || chosen+=(-n 2)
exec .venv/bin/python -m pytest "${chosen[@]}" "$@"

#!/usr/bin/env bash
# Install what the tests need and run them: dev/test.sh quick|most|light|all, then arguments for pytest.
# Without arguments two processes share the work; with them one does it, unless they say -n 2.
# "all" without arguments runs the tests of MariaDB twice more: on a newer server and on one whose settings
# are all unlike ours (pytest --mariadb=newer, --mariadb=hostile).
set -euo pipefail
cd "$(dirname "$0")/.."
which=${1:?quick, most, light or all}
shift
dev/install.sh requirements-dev.txt
[ "$which" = quick ] || dev/servers.sh
[ "$which" != all ] || dev/newer_mariadb.sh
# Processes that tests start would compile the project's modules again, each of them, at every start.
export PYTHONDONTWRITEBYTECODE=
case $which in
quick) chosen=(-m "not (slow or drill or light or mariadb or postgresql or redis or browser)") ;;
most) chosen=(-m "not (drill or light)") ;;
light) chosen=(-m light tests/e2e) ;;
all) chosen=() ;;
*) echo "dev/test.sh: quick, most, light or all, not $which" >&2 && exit 2 ;;
esac
[ $# -gt 0 ] || [ "$which" = light ] || chosen+=(-n 2)
if [ "$which" != all ] || [ $# -gt 0 ]; then
    exec .venv/bin/python -m pytest "${chosen[@]}" "$@"
fi
failed=0
.venv/bin/python -m pytest "${chosen[@]}" || failed=1
for server in newer hostile; do
    echo "The tests of MariaDB on another server: $server"
    .venv/bin/python -m pytest -n 2 -m "mariadb and not drill" "--mariadb=$server" || failed=1
done
exit $failed

"""The WSGI entry point with settings that cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys

from mirada.config import PROJECT_ROOT


def test_every_setting_at_fault_is_named_at_once_and_nothing_else() -> None:
    faults = {"PORT": "many", "MAX_UPLOAD_MB": "0", "DATABASE_URL": "oracle://x"}
    run = subprocess.run(
        [sys.executable, "-c", "import wsgi"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "MIRADA_ENV_FILE": os.devnull, **faults},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 4
    assert all(name in run.stderr for name in faults)
    assert "Traceback" not in run.stderr


def test_the_server_loads_no_commands() -> None:
    code = "import wsgi, sys; print('console' in sys.modules, sorted(wsgi.app.cli.commands))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_ROOT,
        env={**os.environ, "MIRADA_ENV_FILE": os.devnull},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    # `flask --app wsgi` has them: tests/console/test_program.py.
    assert run.stdout.startswith("False ")
    assert "images" not in run.stdout

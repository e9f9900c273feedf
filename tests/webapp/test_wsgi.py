"""The WSGI entry point with settings that cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys

from mirada.config import PROJECT_ROOT
from testing.fresh_python import fresh_python


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
    code = "import wsgi; print(sorted(wsgi.app.cli.commands))"
    ran = fresh_python(code, ["console"], MIRADA_ENV_FILE=os.devnull)
    assert ran.loaded == []
    # `flask --app wsgi` has them: tests/console/test_program.py.
    assert "images" not in ran.said[-1]

"""The WSGI entry point: `gunicorn wsgi:app` and `flask --app wsgi`."""

from __future__ import annotations

import sys

from mirada.config import InvalidSettings, Settings
from mirada.runtime import Runtime
from webapp import create_app
from workers import logs

BAD_CONFIGURATION_EXIT_CODE = 4
"""Gunicorn's APP_LOAD_ERROR, at which it stops; after any other code it starts the process again."""

try:
    settings = Settings.from_env()
except InvalidSettings as error:
    # A traceback would hide the names of the settings at fault.
    sys.stderr.write(f"{error}\n")
    raise SystemExit(BAD_CONFIGURATION_EXIT_CODE) from None

# This precedes every log line, because the default format of a traceback shows keys.
logs.configure(settings)
app = create_app(Runtime(settings))

"""The WSGI entry point: `gunicorn wsgi:app`, and `flask --app wsgi` with the commands of `mirada`."""

from __future__ import annotations

import sys

import click

from mirada.config import SETTINGS_EXIT_CODE, InvalidSettings, Settings
from mirada.runtime import Runtime
from webapp import create_app
from workers import logs

IS_COMMAND = click.get_current_context(silent=True) is not None
"""Whether a command of Flask loads this module. Gunicorn does not need the commands, nor their memory."""

if IS_COMMAND:
    from console.flask_environment import forget_dotenv

    forget_dotenv()
try:
    settings = Settings.from_env()
except InvalidSettings as error:
    # A traceback would hide the names of the settings at fault.
    sys.stderr.write(f"{error}\n")
    raise SystemExit(SETTINGS_EXIT_CODE) from None

# This precedes every log line, because the default format of a traceback shows keys.
logs.configure(settings)
runtime = Runtime(settings)
app = create_app(runtime)
if IS_COMMAND:
    import console

    console.register(app.cli, runtime)

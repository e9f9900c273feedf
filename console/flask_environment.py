"""The environment of `flask --app wsgi`, as the person's shell gave it."""

from __future__ import annotations

import os
from pathlib import Path

import click
import dotenv
from flask.cli import ScriptInfo

AT_START = Path("/proc/self/environ")
"""The environment that this process was started with; Linux keeps it."""


def forget_dotenv() -> None:
    """Take out of the environment what Flask read into it from files; does nothing elsewhere.

    Flask reads `.env` and `.flaskenv` of the folder it is called in, and of every folder above. The
    server does not, so the commands would work on another database than the server's.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.find_object(ScriptInfo) is None:
        return
    for name in _names_from_files():
        if not name.startswith("FLASK_"):
            del os.environ[name]


def _names_from_files() -> set[str]:
    try:
        given = {entry.split(b"=")[0] for entry in AT_START.read_bytes().split(b"\0")}
    except OSError:
        # Elsewhere a variable is taken for a file's when the file says the same of it.
        files = [dotenv.find_dotenv(name, usecwd=True) for name in (".flaskenv", ".env")]
        said = {pair for file in files if file for pair in dotenv.dotenv_values(file).items()}
        return {name for name, value in said if os.environ.get(name) == value}
    return {name for name in os.environ if os.fsencode(name) not in given}

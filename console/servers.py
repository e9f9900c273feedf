"""`mirada run` and `mirada worker`: the processes that serve, each in the place of this one."""

from __future__ import annotations

import os
import sys

import click

from console.site import settings_in_force
from mirada.config import PROJECT_ROOT


@click.command("run")
def run() -> None:
    """Serve HTTP, by Gunicorn; Ctrl-C stops it. Makes the database where there is none."""
    settings_in_force()
    # It says on standard output when it is ready, for the person who typed the command.
    os.environ["MIRADA_ANNOUNCE"] = "1"
    _become("gunicorn", "-c", "gunicorn.conf.py", "wsgi:app")


@click.command("worker")
def worker() -> None:
    """Work on jobs beside the web server; needed where REDIS_URL is set."""
    settings_in_force()
    _become("workers")


def _become(module: str, *arguments: str) -> None:
    """Replace this process by a module's, in the folder of Mirada."""
    os.chdir(PROJECT_ROOT)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606

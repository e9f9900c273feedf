"""`flask models`: the check of the encoders."""

from __future__ import annotations

import json

import click

from mirada.health.check_models import models_report
from webapp.cli.terminal import AppGroup, command_errors, console, current_runtime

models_group = AppGroup("models", help="The encoders.")


@models_group.command("check")
@command_errors
def check() -> None:
    """Load the encoder, embed a picture and a text, and print the report; exit 1 on errors."""
    report = models_report(current_runtime())
    console().print(json.dumps(report.to_dict(), indent=2))
    if not report.is_healthy:
        raise click.exceptions.Exit(1)

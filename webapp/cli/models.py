"""`flask models`: can pictures and texts be embedded?"""

from __future__ import annotations

import json

import click

from mirada.usecases.check_models import check_models_available
from webapp.cli.terminal import AppGroup, command_errors, console, current_runtime

models_group = AppGroup("models", help="The encoders.")


@models_group.command("check")
@command_errors
def check() -> None:
    """Load the encoder, embed a picture and a text, and print the report; exit 1 on errors."""
    runtime = current_runtime()
    report = check_models_available(
        lambda: runtime.encoder,
        enabled=runtime.settings.embeddings_enabled,
        device=runtime.settings.embeddings_device,
    )
    console().print(json.dumps(report.to_dict(), indent=2))
    if not report.is_healthy:
        raise click.exceptions.Exit(1)

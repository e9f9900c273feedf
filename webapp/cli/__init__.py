"""The command line, `flask GROUP COMMAND`: one group for each resource, over the same core as HTTP."""

from __future__ import annotations

from flask import Flask

from webapp.cli import captions, embeddings, images, index, installation, jobs, labels, usage, users


def register(app: Flask) -> None:
    """Add every command to the app."""
    for command in (
        installation.database,
        installation.doctor,
        installation.models,
        *(room.group for room in (embeddings, images, captions, index, jobs, labels, usage, users)),
    ):
        app.cli.add_command(command)

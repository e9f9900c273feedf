"""The command line, `flask GROUP COMMAND`: one group for each resource, over the same core as HTTP."""

from __future__ import annotations

from flask import Flask

from webapp.cli.captions import captions_group
from webapp.cli.database import database_group
from webapp.cli.doctor import doctor
from webapp.cli.embeddings import embeddings_group
from webapp.cli.images import images_group
from webapp.cli.index import index_group
from webapp.cli.jobs import jobs_group
from webapp.cli.labels import labels_group
from webapp.cli.models import models_group
from webapp.cli.usage import usage_group
from webapp.cli.users import users_group


def register(app: Flask) -> None:
    """Add every command to the app."""
    for command in (
        database_group,
        doctor,
        embeddings_group,
        images_group,
        captions_group,
        index_group,
        jobs_group,
        labels_group,
        models_group,
        usage_group,
        users_group,
    ):
        app.cli.add_command(command)

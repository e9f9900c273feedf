"""The commands: one group for each resource, over the same core as HTTP.

The `mirada` program has all of them, and `flask --app wsgi` those that work on the database.
"""

from __future__ import annotations

import copy

import click

from console import (
    captions,
    doctor,
    embeddings,
    evaluate,
    images,
    index,
    installation,
    jobs,
    labels,
    model_switches,  # noqa: F401 - adds its commands to `models`
    search,
    transfer,
    usage,
    users,
)
from console.site import Site
from mirada.runtime import Runtime

COMMANDS: tuple[click.Command, ...] = (
    installation.database,
    doctor.doctor,
    installation.models,
    installation.restored,
    search.search,
    transfer.import_command,
    transfer.export_command,
    *(
        room.group
        for room in (embeddings, evaluate, images, captions, index, jobs, labels, usage, users)
    ),
)


def register(program: click.Group, runtime: Runtime) -> None:
    """Add every command to another program's, to work on this runtime."""
    for command in COMMANDS:
        bound = copy.copy(command)
        bound.context_settings = {**command.context_settings, "obj": Site(runtime)}
        program.add_command(bound)

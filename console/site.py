"""The runtime that the commands of one call share, and the group and command classes that use it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from mirada.config import SETTINGS_EXIT_CODE, InvalidSettings, Settings
from mirada.kernel.audit import COMMAND_LINE, acting
from mirada.kernel.commands import command_line
from mirada.kernel.errors import DatabaseAway, DatabaseRefused, MiradaError
from mirada.runtime import Runtime
from workers import doorbell, logs


class Site:
    """A runtime over the server's settings; made at its first use, so that --help needs no settings."""

    def __init__(self, runtime: Runtime | None = None) -> None:
        """Keep the runtime, which its maker closes; None: one is made, and closed by `close`."""
        self._runtime = runtime
        self._is_ours = runtime is None

    @cached_property
    def settings(self) -> Settings:
        """The settings.

        Raises:
            BadSettings: they cannot be used.
        """
        return settings_in_force() if self._runtime is None else self._runtime.settings

    @property
    def runtime(self) -> Runtime:
        """The runtime.

        Raises:
            BadSettings: the settings cannot be used.
        """
        if self._runtime is None:
            logs.configure(self.settings)
            if self.settings.log_level == "INFO":
                # Which models were loaded is a server's news, and noise beside a command's answer.
                logging.getLogger("mirada.adapters.encoders").setLevel(logging.WARNING)
            self._runtime = Runtime(self.settings)
            doorbell.attach(self._runtime)
        return self._runtime

    def close(self) -> None:
        """Close a runtime that was made here."""
        if self._is_ours and self._runtime is not None:
            self._runtime.close()


class BadSettings(click.ClickException):
    """Settings cannot be used; the message names each of them."""

    exit_code = SETTINGS_EXIT_CODE

    def show(self, file: Any = None) -> None:
        """Print the message as every other program of Mirada does."""
        click.echo(self.format_message(), file=file, err=True)


class Command(click.Command):
    """A command whose errors of the core become a sentence and exit code 1."""

    makes_database = False
    """Whether it may be the first that anybody runs; others refuse where there is no database."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with errors_told(), acting(COMMAND_LINE):
            if not self.makes_database:
                require_database(_site().settings)
            return super().invoke(ctx)


@contextmanager
def errors_told() -> Iterator[None]:
    """Turn errors of the core into sentences of a command, with exit code 1."""
    try:
        yield
    except (DatabaseAway, DatabaseRefused) as error:
        raise click.ClickException(error.for_operator) from error
    except MiradaError as error:
        raise click.ClickException(error.detail) from error


class FirstCommand(Command):
    """A command that makes the database where there is none."""

    makes_database = True


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


def settings_in_force() -> Settings:
    """Return the settings, as the server reads them.

    Raises:
        BadSettings: they cannot be used.
    """
    try:
        return Settings.from_env()
    except InvalidSettings as error:
        raise BadSettings(str(error)) from None


def current_runtime() -> Runtime:
    """Return the runtime of the command that is running."""
    return _site().runtime


def _site() -> Site:
    site = click.get_current_context().find_object(Site)
    if site is None:
        raise RuntimeError("a command runs below a context whose object is a Site")
    return site


def require_database(settings: Settings) -> None:
    """Refuse where the database is a file that does not exist: opening it would make an empty one.

    Raises:
        click.ClickException: there is no such file.
    """
    name = settings.url.database
    if not settings.is_embedded or not name or name == ":memory:" or Path(name).exists():
        return
    raise click.ClickException(
        f"There is no database yet: {name} does not exist. Where the server runs with another DATA_DIR, "
        "set the same for this command. Otherwise the first start of the server makes it, and so does: "
        + command_line("db upgrade")
    )

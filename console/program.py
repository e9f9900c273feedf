"""The program `mirada`, which bin/mirada starts: every command on the settings of the server."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from console import COMMANDS, servers
from console.site import Site
from mirada import __version__
from mirada.kernel.commands import DEFAULT_PROGRAM, call_program
from mirada.kernel.starting import INTERRUPTED_EXIT_CODE, raise_on_ctrl_c


class _Program(click.Group):
    """A group that Ctrl-C ends with the exit code of shells; click's own is 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo(err=True)
            raise click.exceptions.Exit(INTERRUPTED_EXIT_CODE) from None


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="Mirada", message="%(prog)s %(version)s")
@click.pass_context
def program(context: click.Context) -> None:
    """Serve Mirada, and do in the terminal what its operators do.

    Settings are read from the environment and from .env in Mirada's own folder, as the server reads
    them. Exit codes: 0 done, 1 not done, 2 not understood, 4 the settings cannot be used, 130 stopped
    by Ctrl-C.
    """
    if context.obj is None:
        context.obj = Site()
        context.call_on_close(context.obj.close)


for _command in (servers.run, servers.worker, servers.mcp, *COMMANDS):
    program.add_command(_command)


def main(typed: str) -> None:
    """Run the program.

    Args:
        typed: how it was called, such as "bin/mirada"; messages name it so.
    """
    name = _shortest(typed)
    # A server's messages are read elsewhere, where the path of this terminal means nothing.
    if sys.argv[1:2] not in (["run"], ["worker"], ["mcp"]):
        call_program(name)
    raise_on_ctrl_c()
    program(prog_name=name)


def _shortest(typed: str) -> str:
    """Return "mirada" where PATH finds what was typed, else what was typed."""
    found = shutil.which("mirada")
    if found is not None and Path(found).resolve() == Path(typed).resolve():
        return "mirada"
    return typed if Path(typed).exists() else DEFAULT_PROGRAM

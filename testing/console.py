"""Commands of the console, run in this process."""

from __future__ import annotations

from click.testing import CliRunner, Result

from console.program import program
from console.site import Site
from mirada.runtime import Runtime


def run_command(runtime: Runtime, *arguments: str) -> Result:
    """Run `mirada ARGUMENTS` on a runtime; the result has `output` and `exit_code`."""
    return CliRunner().invoke(program, arguments, obj=Site(runtime))

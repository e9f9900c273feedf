"""Commands as messages name them: so that they can be pasted."""

from __future__ import annotations

DEFAULT_PROGRAM = "bin/mirada"
"""The console command, from the folder of Mirada: in a checkout as in the container."""
_program = DEFAULT_PROGRAM


def command_line(arguments: str) -> str:
    """Return the line to type for a command of the console.

    Args:
        arguments: after the program's name, such as "users create ana".
    """
    return f"{_program} {arguments}"


def call_program(name: str) -> None:
    """Name the program in messages from now on; a terminal shows the name that was typed there."""
    global _program
    _program = name

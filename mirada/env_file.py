"""Lines of a `.env` file that set nothing: its reader passes over them, and defaults would be served."""

from __future__ import annotations

import io
import re

from dotenv.parser import parse_stream


def lines_at_fault(text: str) -> list[int]:
    """Return the numbers, from 1, of the lines that are neither NAME=value, a comment nor empty.

    Args:
        text: of a `.env` file, as python-dotenv reads it.
    """
    lines = []
    for binding in parse_stream(io.StringIO(text)):
        written = binding.original.string
        # Comments have no key. A name without "=" has no value, and is no error to the parser.
        is_read = binding.key is None or (
            binding.value is not None and re.fullmatch(r"[A-Za-z_][\w.-]*", binding.key)
        )
        if binding.error or not is_read:
            blank = written[: len(written) - len(written.lstrip())]
            lines.append(binding.original.line + len(re.findall(r"\r\n|\n|\r", blank)))
    return lines

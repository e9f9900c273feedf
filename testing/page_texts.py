"""The texts of the pages that are to be translated. Run it for those that a language lacks, as a .po file:

`python -m testing.page_texts pt`
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from babel.messages.extract import extract
from jinja2.ext import babel_extract

from webapp.pages.job_texts import core_texts
from webapp.pages.texts import catalogue

WEBAPP = Path(__file__).resolve().parents[1] / "webapp"
Text = str | tuple[str, str]
"""A text, or its singular and plural."""
IN_PYTHON = {"gettext": None, "lazy_gettext": None, "ngettext": (1, 2)}


def texts() -> list[tuple[str, Text]]:
    """Return each text with the file that it is in."""
    found = []
    for path in sorted((WEBAPP / "templates" / "pages").glob("*.html")):
        source = io.BytesIO(path.read_bytes())
        for _, _, said, _ in babel_extract(source, ["_", "gettext", "ngettext"], [], {}):
            found.append((path.name, _text(said)))
    for path in sorted((WEBAPP / "pages").glob("*.py")):
        with path.open("rb") as file:
            for _, said, _, _ in extract("python", file, keywords=IN_PYTHON):
                found.append((path.name, _text(said)))
    found += [("the core", text) for text in core_texts()]
    return found


def _text(said: Any) -> Text:
    """Return what an extractor gives: of values to fill in it says None."""
    if isinstance(said, str):
        return said
    one, many = said[:2]
    return str(one) if many is None else (one, many)


def is_translated(text: Text, language: str) -> bool:
    """Return whether a language has the text."""
    known = catalogue(language)._catalog  # type: ignore[attr-defined]
    return (text if isinstance(text, str) else (text[0], 0)) in known


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def main(language: str) -> None:
    """Write what a language lacks."""
    file_of = {text: file for file, text in texts()}
    for text, file in file_of.items():
        if is_translated(text, language):
            continue
        sys.stdout.write(f"\n#: {file}\n")
        if isinstance(text, str):
            sys.stdout.write(f'msgid {_quoted(text)}\nmsgstr ""\n')
        else:
            one, many = map(_quoted, text)
            sys.stdout.write(f'msgid {one}\nmsgid_plural {many}\nmsgstr[0] ""\nmsgstr[1] ""\n')


if __name__ == "__main__":
    main(sys.argv[1])

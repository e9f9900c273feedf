"""The pages' languages: the catalogues, and which of them a request gets.

Catalogues are translations/LANGUAGE/PART.po, one for each part of the pages. They are compiled when a process
first needs them, so that nothing is built at install. English is what the templates say.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import Flask, request
from flask_babel import Babel, Domain, format_decimal, get_domain, get_locale
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from webapp.pages.wishes import chosen
from webapp.pages.zones import zone_of_request

LANGUAGES = {"en": "English", "pt": "Português", "es": "Español"}
FOLDER = Path(__file__).resolve().parent / "translations"


class _Texts(Domain):
    """The catalogues of all parts as one."""

    def get_translations(self) -> NullTranslations:
        """Return the texts of the request's language."""
        return catalogue(str(get_locale() or "en"))

    def ngettext(self, singular: str, plural: str, num: int, **variables: Any) -> str:
        """Return a text by number, which stands in it as the language writes it: 12,000 or 12.000."""
        variables.setdefault("num", format_decimal(num))
        return str(self.get_translations().ungettext(singular, plural, num)) % variables


class _Pages(Babel):
    domain_instance = _Texts()


@cache
def catalogue(language: str) -> NullTranslations:
    """Return the texts of a language; those of an unknown one are the templates' own."""
    whole: Translations | None = None
    for path in sorted((FOLDER / language).glob("*.po")):
        with path.open("rb") as file:
            part = read_po(file, locale=language)
        compiled = io.BytesIO()
        write_mo(compiled, part)
        compiled.seek(0)
        texts = Translations(compiled)
        whole = texts if whole is None else whole.add(texts)
    return whole or NullTranslations()


def register(app: Flask) -> None:
    """Install the languages, and their filters for templates."""
    _Pages(app, locale_selector=language_of_request, timezone_selector=zone_of_request)
    app.jinja_env.globals["ngettext"] = _ngettext_of_templates


@pass_context
def _ngettext_of_templates(
    context: Context, singular: str, plural: str, num: int, **variables: Any
) -> str:
    # Jinja's own would put the bare number into the text.
    variables.setdefault("num", format_decimal(num))
    text = get_domain().get_translations().ungettext(singular, plural, num)
    if context.eval_ctx.autoescape:
        text = Markup(text)  # noqa: S704 - as Jinja's own; catalogues are ours, what goes in is escaped
    return text % variables


def language_of_request() -> str:
    """Return the language that the user or this browser has chosen, else the first that it takes."""
    return (
        chosen("locale")
        or request.accept_languages.best_match(list(LANGUAGES), default="en")
        or "en"
    )

"""Labels, and groups named after them, in the language of the page.

The name itself stays what a form sends and an address carries: it is the same in every language.
"""

from __future__ import annotations

from collections.abc import Sequence

from flask_babel import get_locale

from mirada.groups.as_seen import SeenCluster
from mirada.kernel.label_words import called
from webapp.callers.group_names import names_of


def page_language() -> str:
    """Return the language of the page, such as "en"."""
    return str(get_locale() or "en")


def label_name(name: str) -> str:
    """Return what a label is called in the language of the page; labels of people's own stay as they are."""
    return called(name, page_language())[0]


def group_names(clusters: Sequence[SeenCluster]) -> list[str | None]:
    """Return what groups are called in the language of the page; None for those without a name."""
    return [None if name is None else label_name(name) for name in names_of(clusters)]

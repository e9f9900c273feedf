"""Saved searches of packs, and the addresses of Explore that show the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flask import url_for

from mirada.kernel.signs import as_phrase
from mirada.packs.shown import titles_of
from mirada.search.queries import ALL
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime
from webapp.pages.explore_address import LIBRARY, MAX_WORDS, ExploreAddress


def query_of(address: ExploreAddress) -> dict[str, Any] | None:
    """Return the search that fills a pack with what an address of Explore shows.

    None where a pack has no such search: everything, several pictures, or words and pictures together.
    """
    asked: dict[str, Any] = {}
    chips = address.chips
    if address.words and not chips:
        asked = {"text": address.words, "syntax": "signs", "in": ALL}
    elif chips:
        one = chips[0]
        if address.words or len(chips) > 1 or not (one.is_wanted and one.name.isdigit()):
            return None
        asked = {"image_id": int(one.name)}
    given = {name: value for name, value in address.conditions.items() if value is not None}
    if address.mine:
        given["owner"] = [current_caller().user_id]
    if given:
        asked["filter"] = given
    return asked or None


def address_of_new(address: ExploreAddress) -> str | None:
    """Return the page that saves what an address of Explore shows as a pack.

    None where no pack has such a search, or nobody is known who would own it.
    """
    if current_caller().user_id is None or query_of(address) is None:
        return None
    sent: dict[str, Any] = dict(address.sent)
    return url_for("pages.new_pack", **sent)


def address_of_query(query: Mapping[str, Any]) -> str:
    """Return the address of Explore that asks what fills a pack."""
    asked = {name: _written(value) for name, value in dict(query.get("filter") or {}).items()}
    if "text" in query:
        text = str(query["text"])
        is_plain = query.get("syntax") == "signs" or text.replace(" ", "").isalnum()
        asked["q"] = text if is_plain else as_phrase(text, MAX_WORDS)
    if "image_id" in query:
        asked["plus"] = str(query["image_id"])
    return LIBRARY.with_(**asked)


def pack_titles(chosen: Iterable[str]) -> dict[str, str]:
    """Return the titles of packs by their ids, as addresses have them; in the order of the titles."""
    ids = [int(each) for each in chosen if each.isdecimal()]
    with current_runtime().reading() as session:
        named = titles_of(session, ids, current_caller().audience)
    return {str(each): title for each, title in sorted(named.items(), key=lambda one: one[1])}


def _written(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value

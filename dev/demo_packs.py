"""Packs of the demo: stickers with their emojis, and one that fills itself. `dev/demo.py` runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Server(Protocol):
    """The calls of `dev/demo.py`'s server, as one person."""

    def send(self, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Send fields as JSON."""

    def every(self, path: str) -> list[dict[str, Any]]:
        """Return the results of all pages of a list."""

    def own_images(self) -> list[dict[str, Any]]:
        """Return every image of the caller."""


@dataclass(frozen=True, slots=True)
class DemoPack:
    """A pack: of stickers by their English names, or one that a saved search fills."""

    title: str
    description: str
    names: Sequence[str] = ()
    query: Mapping[str, Any] | None = None


TAG = "favourite"
"""On the pictures of the packs, so that there is a tag to filter by."""
PACKS = (
    DemoPack(
        "Good mood",
        "Faces for a good day",
        (
            "grinning face",
            "face with tears of joy",
            "slightly smiling face",
            "smiling face with hearts",
            "kissing face with smiling eyes",
            "smirking face",
        ),
    ),
    DemoPack(
        "Hearts",
        "In six colours",
        (
            "red heart",
            "pink heart",
            "yellow heart",
            "light blue heart",
            "grey heart",
            "white heart",
        ),
    ),
    DemoPack("Landscapes", "It fills itself", query={"filter": {"shape": ["landscape"]}}),
)


def fill(caller: Server, stickers: Sequence[Mapping[str, Any]]) -> int:
    """Make the packs that the caller has not yet, by their titles; return how many.

    Args:
        caller: whose packs they become.
        stickers: of demo/stickers.json.
    """
    there = {each["title"] for each in caller.every("/api/v1/packs?mine=true&limit=100")}
    missing = [pack for pack in PACKS if pack.title not in there]
    if not missing:
        return 0
    emojis = {each["names"]["en"]: each["emoji"] for each in stickers}
    ids = {image["caption"]: image["id"] for image in caller.own_images()}
    for pack in missing:
        fields = {"title": pack.title, "description": pack.description, "is_public": True}
        if pack.query is not None:
            caller.send("/api/v1/packs", fields | {"query": pack.query})
            continue
        made = caller.send("/api/v1/packs", fields)
        shown = [name for name in pack.names if name in ids]
        if shown:
            caller.send(
                f"{made['url']}/images",
                {
                    "image_ids": [ids[name] for name in shown],
                    "emojis": {str(ids[name]): [emojis[name]] for name in shown},
                },
            )
            caller.send(
                "/api/v1/images/batch",
                {"ids": [ids[name] for name in shown], "action": "add_tags", "value": [TAG]},
            )
    return len(missing)

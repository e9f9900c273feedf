"""The descriptions of packs that lie beside their stickers in a ZIP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirada.kernel.stickers import Messenger
from mirada.packs.shown import ShownPack

StickerFile = bytes | Path
"""A file's bytes, or where they lie."""
HEAD_BYTES = 64


@dataclass(frozen=True, slots=True)
class Sticker:
    """A file in the ZIP, of a picture."""

    name: str
    file: StickerFile
    emojis: Sequence[str]
    image_id: int

    @property
    def content(self) -> bytes:
        """Its bytes."""
        return self.file if isinstance(self.file, bytes) else self.file.read_bytes()

    @property
    def byte_size(self) -> int:
        """How many they are."""
        return len(self.file) if isinstance(self.file, bytes) else self.file.stat().st_size

    @property
    def head(self) -> bytes:
        """The first of them."""
        if isinstance(self.file, bytes):
            return self.file[:HEAD_BYTES]
        with self.file.open("rb") as file:
            return file.read(HEAD_BYTES)


def manifest(pack: ShownPack, stickers: Sequence[Sticker], cover: int, form: str) -> dict[str, Any]:
    """Return the description that command-line clients of Signal read; others get the same."""
    listed = [
        {
            "file": each.name,
            "emoji": "".join(each.emojis[: 1 if form == Messenger.SIGNAL else None]),
        }
        for each in stickers
    ]
    found: dict[str, Any] = {"title": pack.title, "author": pack.owner_name, "stickers": listed}
    if form not in list(Messenger) and pack.description:
        found["description"] = pack.description
    if listed:
        found["cover"] = listed[min(cover, len(listed) - 1)]
    return found


def whatsapp(pack: ShownPack, stickers: Sequence[Sticker]) -> dict[str, Any]:
    """Return the contents.json of WhatsApp's sample app."""
    return {
        "android_play_store_link": "",
        "ios_app_store_link": "",
        "sticker_packs": [
            {
                "identifier": f"mirada-{pack.id}",
                "name": pack.title,
                "publisher": pack.owner_name[:128],
                "tray_image_file": "tray.png",
                "image_data_version": str(pack.version or 1),
                "avoid_cache": False,
                "publisher_email": "",
                "publisher_website": "",
                "privacy_policy_website": "",
                "license_agreement_website": "",
                "animated_sticker_pack": any(_moves(each) for each in stickers),
                "stickers": [
                    {"image_file": each.name, "emojis": list(each.emojis)} for each in stickers
                ],
            }
        ],
    }


def _moves(sticker: Sticker) -> bool:
    # Its header says so.
    return b"ANIM" in sticker.head


def as_json(value: Any) -> bytes:
    """Return a value as the file in a ZIP."""
    return json.dumps(value, ensure_ascii=False, indent=2).encode()

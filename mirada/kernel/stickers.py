"""Stickers as messengers take them: what one has to be, and what a pack of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

KIB = 1024


class Messenger(StrEnum):
    """A messenger that takes packs of stickers."""

    WHATSAPP = "whatsapp"
    TELEGRAM = "telegram"
    SIGNAL = "signal"


NAMES = {
    Messenger.WHATSAPP: "WhatsApp",
    Messenger.TELEGRAM: "Telegram",
    Messenger.SIGNAL: "Signal",
}
"""As they write them."""


@dataclass(frozen=True, slots=True)
class StickerForm:
    """A file of one sticker.

    Attributes:
        side_px: longer side, of the square where it is padded.
        is_padded: whether it is a square, with clear edges where the picture is none.
        kind: "WEBP" or "PNG".
        max_bytes: of the file.
        moves: whether an animation stays one.
        max_ms: longest animation; longer ones are cut.
    """

    side_px: int
    is_padded: bool
    kind: str
    max_bytes: int
    moves: bool = False
    max_ms: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Return what `to_json` gave."""
        return cls(**value)


@dataclass(frozen=True, slots=True)
class PackRules:
    """A messenger's rules of packs.

    Attributes:
        least, most: stickers of a pack.
        most_emojis: of one sticker; each has one at least.
        still: the file of a still sticker.
        moving: the file of an animated one; None where none can be made here.
        is_mixed: whether still and animated ones may be in one pack.
        max_title: characters of a pack's title.
    """

    least: int
    most: int
    most_emojis: int
    still: StickerForm
    moving: StickerForm | None
    is_mixed: bool
    max_title: int


RULES = {
    # github.com/WhatsApp/stickers, Android/README.md and StickerPackValidator.java, read 2026-11-30.
    Messenger.WHATSAPP: PackRules(
        3,
        30,
        3,
        StickerForm(512, True, "WEBP", 100 * KIB),
        StickerForm(512, True, "WEBP", 500 * KIB, moves=True, max_ms=10_000),
        is_mixed=False,
        max_title=128,
    ),
    # core.telegram.org/stickers and the Bot API's createNewStickerSet, read 2026-11-30.
    Messenger.TELEGRAM: PackRules(
        1,
        120,
        20,
        StickerForm(512, False, "WEBP", 512 * KIB),
        None,
        is_mixed=False,
        max_title=64,
    ),
    # support.signal.org, "Stickers", read 2026-11-30.
    Messenger.SIGNAL: PackRules(
        1,
        200,
        1,
        StickerForm(512, True, "WEBP", 300 * KIB),
        StickerForm(512, True, "PNG", 300 * KIB, moves=True, max_ms=3_000),
        is_mixed=True,
        max_title=191,
    ),
}
TRAY_ICON = StickerForm(96, True, "PNG", 50 * KIB)
"""Of WhatsApp: it stands for a pack where stickers are chosen."""

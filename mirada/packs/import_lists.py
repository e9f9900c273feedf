"""The descriptions of packs in ZIPs that come in, read: ours, WhatsApp's and those of command-line clients.

Nothing in them is believed: names are only compared with those of the ZIP's files, numbers are not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from mirada.kernel.errors import InvalidInput
from mirada.kernel.keywords import emojis_in
from mirada.kernel.user_text import UNSTORABLE
from mirada.packs.limits import MAX_DESCRIPTION_CHARACTERS, MAX_TITLE_CHARACTERS, MOST_EMOJIS

CONTENTS, MANIFEST, TITLE, AUTHOR = "contents.json", "manifest.json", "title.txt", "author.txt"
LISTS = (CONTENTS, MANIFEST, TITLE)
"""Names of what describes a pack; of several in one folder the first of these counts."""
MOST_LISTED = 1_000
"""Stickers that a description is read to."""
READ_CHARACTERS = 2_000
"""Of a text that is cut to less: what comes behind is not looked at."""
MOST_EMOJI_TEXTS = 20
_NUMBERS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Named:
    """A sticker as a description names it: the ZIP's file, or None where there is none; its emojis."""

    said: str
    file: str | None
    emojis: Any = ()


@dataclass(frozen=True, slots=True)
class PackList:
    """What a ZIP says of the pack in it.

    Attributes:
        title: "" for none.
        author: "" for none.
        description: "" for none.
        stickers: in their order.
        cover: the ZIP's file; None for none.
        aside: files of the ZIP that are no stickers, or those of another pack in it.
        notes: what of it could not be believed, in sentences.
    """

    title: str = ""
    author: str = ""
    description: str = ""
    stickers: tuple[Named, ...] = ()
    cover: str | None = None
    aside: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)


def list_name(names: Iterable[str]) -> str | None:
    """Return the file that describes the pack: the one that lies outermost; None for none."""
    found = [each for each in names if PurePosixPath(each).name in LISTS]
    place = {name: number for number, name in enumerate(LISTS)}
    return min(
        found,
        key=lambda each: (each.count("/"), place[PurePosixPath(each).name], each),
        default=None,
    )


def read_list(
    name: str, texts: Mapping[str, bytes], files: Collection[str], identifier: str | None
) -> PackList:
    """Return what a description says.

    Args:
        name: of its file in the ZIP.
        texts: its bytes, and those of the texts beside it, by name.
        files: names of all files of the ZIP.
        identifier: which pack, where contents.json has several; None where it is the only one.

    Raises:
        InvalidInput: it has several packs and none is named, or none of that name.
    """
    folder = str(PurePosixPath(name).parent)
    beside = _Names("" if folder == "." else f"{folder}/", files)
    if name.endswith(TITLE):
        return _wastickers(texts, beside)
    said = _json(texts.get(name, b""))
    if not isinstance(said, dict):
        note = f"{name} cannot be read, so the pictures come in the order of their names."
        return PackList(aside=frozenset([name]), notes=[note])
    if name.endswith(CONTENTS):
        return _contents(name, said, beside, identifier)
    return _manifest(name, said, beside)


def lists_beside(name: str) -> list[str]:
    """Return the names of the texts that are read with a description, itself among them."""
    if not name.endswith(TITLE):
        return [name]
    return [name, name.removesuffix(TITLE) + AUTHOR]


def in_order(names: Iterable[str]) -> list[str]:
    """Return names as people count: "2.webp" comes before "10.webp"."""
    return sorted(names, key=lambda name: [_part(each) for each in _NUMBERS.split(name)])


def one_line(value: Any, most: int = MAX_TITLE_CHARACTERS) -> str:
    """Return a text as one line of at most so many characters; "" for what is no text."""
    text = value if isinstance(value, str) else ""
    return " ".join(UNSTORABLE.sub("", text[:READ_CHARACTERS]).split())[:most].strip()


def few_emojis(value: Any) -> tuple[list[str], bool]:
    """Return the first emojis of a text or of a list of texts, and whether there were more."""
    texts = value if isinstance(value, list) else [value]
    joined = " ".join(each[:100] for each in texts[:MOST_EMOJI_TEXTS] if isinstance(each, str))
    found = list(dict.fromkeys(emojis_in(joined)))
    return found[:MOST_EMOJIS], len(found) > MOST_EMOJIS or len(texts) > MOST_EMOJI_TEXTS


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of a ZIP's files, seen from the folder of a description."""

    folder: str
    files: Collection[str]

    def find(self, said: Any, *folders: str) -> str | None:
        """Return the file that a description means; None where the ZIP has none of that name."""
        if not isinstance(said, str):
            return None
        tried = [f"{self.folder}{each}/{said}" for each in folders]
        return next((each for each in [f"{self.folder}{said}", *tried] if each in self.files), None)


def _contents(name: str, said: dict[str, Any], names: _Names, identifier: str | None) -> PackList:
    packs = [each for each in _listed(said.get("sticker_packs")) if isinstance(each, dict)]
    called = [_identifier(each) for each in packs]
    wanted = [pack for pack, its in zip(packs, called, strict=True) if identifier in (None, its)]
    if len(packs) > 1 and (identifier is None or not wanted):
        among = ", ".join(called[:20])
        _refuse(f"The ZIP holds {len(packs)} packs: {among}. Name one of them as identifier.")
    if not wanted:
        if identifier is not None:
            _refuse("The ZIP holds no pack of this identifier.")
        return PackList(aside=frozenset([name]), notes=[f"{name} describes no pack."])
    (pack, *_), others = wanted, [each for each in packs if each is not wanted[0]]
    stickers = _stickers(pack, names, "image_file", "emojis")
    used = {each.file for each in stickers}
    elsewhere = {each.file for other in others for each in _stickers(other, names, "image_file")}
    trays = {_find(each, each.get("tray_image_file"), names) for each in packs}
    # An icon that is a sticker too stays one.
    aside = ({name} | elsewhere | trays) - used - {None}
    return PackList(
        title=one_line(pack.get("name")),
        author=one_line(pack.get("publisher")),
        stickers=stickers,
        aside=frozenset(each for each in aside if each is not None),
        notes=_too_many(pack, name),
    )


def _manifest(name: str, said: dict[str, Any], names: _Names) -> PackList:
    stickers = _stickers(said, names, "file", "emoji")
    cover = said.get("cover")
    file = names.find(cover.get("file") if isinstance(cover, dict) else cover)
    used = {each.file for each in stickers}
    # Signal takes a cover that is no sticker.
    aside = {name} if file is None or file in used else {name, file}
    return PackList(
        title=one_line(said.get("title")),
        author=one_line(said.get("author")),
        description=_description(said.get("description")),
        stickers=stickers,
        cover=file if file in used else None,
        aside=frozenset(aside),
        notes=_too_many(said, name),
    )


def _wastickers(texts: Mapping[str, bytes], names: _Names) -> PackList:
    aside = [f"{names.folder}{each}" for each in (TITLE, AUTHOR, "tray.png", "tray.webp")]

    def said(name: str) -> str:
        return one_line(texts.get(f"{names.folder}{name}", b"").decode("utf-8-sig", "replace"))

    return PackList(title=said(TITLE), author=said(AUTHOR), aside=frozenset(aside))


def _stickers(pack: Mapping[str, Any], names: _Names, *fields: str) -> tuple[Named, ...]:
    name_of, *emojis_of = fields
    return tuple(
        Named(
            one_line(each.get(name_of), READ_CHARACTERS) or "a sticker without a name",
            _find(pack, each.get(name_of), names),
            each.get(emojis_of[0], ()) if emojis_of else (),
        )
        for each in _listed(pack.get("stickers"))
        if isinstance(each, dict)
    )


def _find(pack: Mapping[str, Any], said: Any, names: _Names) -> str | None:
    # The sample app keeps the files of each pack in a folder of its name.
    return names.find(said, _identifier(pack))


def _identifier(pack: Mapping[str, Any]) -> str:
    value = pack.get("identifier")
    return one_line(str(value) if isinstance(value, int) else value)


def _listed(value: Any) -> list[Any]:
    return value[:MOST_LISTED] if isinstance(value, list) else []


def _too_many(pack: Mapping[str, Any], name: str) -> list[str]:
    stickers = pack.get("stickers")
    if isinstance(stickers, list) and len(stickers) > MOST_LISTED:
        return [f"{name} lists {len(stickers):,} stickers, of which {MOST_LISTED:,} were read."]
    return []


def _description(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return UNSTORABLE.sub("", text[:MAX_DESCRIPTION_CHARACTERS]).strip()


def _json(content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def _part(text: str) -> tuple[int, int, str]:
    # A number of a thousand digits is a name.
    return (0, int(text), text) if text.isdecimal() and len(text) < 19 else (1, 0, text)


def _refuse(reason: str) -> None:
    raise InvalidInput(reason, fields={"identifier": [reason]})

"""The files of an export: each picture as it was sent or as a sticker, what lies beside them, the ZIP."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import IO

from sqlalchemy import select

from mirada.db.chunks import rows_in
from mirada.db.models import Content, Image
from mirada.db.visibility import may_see
from mirada.embedding.interactive import picture_turn
from mirada.kernel.audience import Audience
from mirada.kernel.errors import Conflict
from mirada.kernel.images import ImageFormat
from mirada.kernel.stickers import TRAY_ICON, Messenger, PackRules, StickerForm
from mirada.packs.export_lists import Sticker, StickerFile, as_json, manifest, whatsapp
from mirada.packs.faults import Fault, FaultCode
from mirada.packs.member_rows import Member
from mirada.packs.shown import ShownPack
from mirada.pictures.derivatives import full_copy
from mirada.runtime import Runtime

MANIFEST = "manifest.json"
CONTENTS = "contents.json"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where files are kept while an export is made; by default in memory.

    Attributes:
        there: returns a file that was made before, by its name; None for none.
        keep: keeps a file under its name.
        step: is told of each picture that is done, how many that are.
        turns: whether each picture waits for its turn beside those of people who wait.
    """

    there: Callable[[str], StickerFile | None] = lambda _: None
    keep: Callable[[str, bytes], StickerFile] = lambda _, content: content
    step: Callable[[int], object] = lambda _: None
    turns: bool = True


IN_MEMORY = Keeping()


def made(
    runtime: Runtime,
    members: Sequence[Member],
    audience: Audience,
    rules: PackRules | None,
    most_bytes: int,
    keeping: Keeping = IN_MEMORY,
) -> tuple[list[Sticker], list[Fault]]:
    """Return the files of these pictures, and those that could not be made.

    Args:
        runtime: with the store and the decoder.
        members: in the pack's order.
        audience: who asks; what they do not see any more is left out.
        rules: of the messenger; None for originals.
        most_bytes: of all files together.
        keeping: where they are kept.

    Raises:
        Conflict: all together are larger.
    """
    stored = _stored(runtime, members, audience)
    stickers: list[Sticker] = []
    faults: list[Fault] = []
    total = 0
    for place, member in enumerate(members, 1):
        if member.id not in stored:
            # Made private since the pack was read.
            continue
        key, extension = stored[member.id]
        found = _file_of(runtime, member, key, audience, rules, keeping)
        if isinstance(found, str):
            faults.append(
                Fault(
                    member.id, place, FaultCode.CANNOT_BE_MADE, f"{found} Send a simpler picture."
                )
            )
        else:
            kind = _extension(member, extension, audience, rules)
            stickers.append(Sticker(f"{place:03}.{kind}", found, member.emojis, member.id))
            total += stickers[-1].byte_size
        if total > most_bytes:
            raise Conflict(
                f"The pictures have more than {most_bytes // 1024**2} MB together. Make two packs of "
                "this one."
            )
        keeping.step(place)
    return stickers, faults


def _file_of(
    runtime: Runtime,
    member: Member,
    key: str,
    audience: Audience,
    rules: PackRules | None,
    keeping: Keeping,
) -> StickerFile | str:
    """Return the file of a picture, or why there can be none."""
    name = f"{member.id}-{key.rpartition('/')[2]}"
    there = keeping.there(name)
    if there is not None:
        return there
    if rules is None:
        if member.image.owner_id == audience.viewer_id:
            # The store's own file: bytes of a key never change.
            return runtime.image_store.path(key)
        return keeping.keep(name, _copy(runtime, member, key))
    form = _form(member, rules)
    with picture_turn(runtime) if keeping.turns else nullcontext():
        copy = runtime.decoder.sticker(runtime.image_store.path(key), form)
    if copy.webp is None:
        return str(copy.why_still)
    return keeping.keep(name, copy.webp)


def _form(member: Member, rules: PackRules) -> StickerForm:
    moves = member.image.is_animated and rules.moving is not None
    return rules.moving if moves and rules.moving is not None else rules.still


def _extension(member: Member, extension: str, audience: Audience, rules: PackRules | None) -> str:
    if rules is not None:
        return _form(member, rules).kind.lower()
    return extension if member.image.owner_id == audience.viewer_id else "webp"


def _stored(
    runtime: Runtime, members: Sequence[Member], audience: Audience
) -> dict[int, tuple[str, str]]:
    """Return storage keys and extensions of the pictures that the viewer sees now, by image id."""
    query = (
        select(Image.id, Content.storage_key, Content.format)
        .join(Content, Content.id == Image.content_id)
        .where(may_see(audience.whole()))
    )
    with runtime.reading() as session:
        rows = rows_in(session, query, Image.id, [member.id for member in members])
    return {row.id: (row.storage_key, ImageFormat(row.format).extension) for row in rows}


def _copy(runtime: Runtime, member: Member, key: str) -> bytes:
    """Return a picture as others than its owner get it: without metadata."""
    path = runtime.image_store.path(key)
    if member.image.is_animated and (moving := runtime.decoder.animation(path).webp) is not None:
        return moving
    return full_copy(runtime, key)


def files_beside(
    runtime: Runtime,
    pack: ShownPack,
    members: Sequence[Member],
    audience: Audience,
    stickers: Sequence[Sticker],
    form: str,
) -> dict[str, bytes]:
    """Return the files beside the pictures, by their names.

    Raises:
        Conflict: no icon can be made, or no picture is left that the viewer sees.
    """
    if form != Messenger.WHATSAPP:
        cover = _cover_place(pack, [each.image_id for each in stickers])
        return {MANIFEST: as_json(manifest(pack, stickers, cover, form))}
    icon = _icon(runtime, pack, members, audience)
    return {CONTENTS: as_json(whatsapp(pack, stickers)), "tray.png": icon}


def _cover_place(pack: ShownPack, ids: Sequence[int]) -> int:
    return ids.index(pack.cover.id) if pack.cover is not None and pack.cover.id in ids else 0


def _icon(
    runtime: Runtime, pack: ShownPack, members: Sequence[Member], audience: Audience
) -> bytes:
    # Asked anew: stickers take a while, in which the cover may be hidden or erased.
    stored = _stored(runtime, members, audience)
    ids = [member.id for member in members if member.id in stored]
    if not ids:
        raise Conflict("Every picture in the pack was deleted or hidden since. Add some.")
    cover = ids[_cover_place(pack, ids)]
    copy = runtime.decoder.sticker(runtime.image_store.path(stored[cover][0]), TRAY_ICON)
    if copy.webp is None:
        raise Conflict(f"No icon can be made of image {cover}: {copy.why_still}")
    return copy.webp


def write_zip(file: IO[bytes], stickers: Sequence[Sticker], beside: Mapping[str, bytes]) -> None:
    """Write a ZIP. Pictures are compressed already."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
        for name, content in beside.items():
            packed.writestr(zipfile.ZipInfo(name), content)
        for sticker in stickers:
            packed.writestr(zipfile.ZipInfo(sticker.name), sticker.content)

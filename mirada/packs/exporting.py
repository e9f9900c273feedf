"""Packs as ZIPs: of the originals, or as a messenger takes them; and what it would not take.

Every fault is told with the picture at fault and what to do. A ZIP is made only where there is none.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from sqlalchemy import select

from mirada.db.models import Content, Image
from mirada.db.visibility import may_see
from mirada.embedding.interactive import picture_turn
from mirada.kernel.audience import Audience
from mirada.kernel.errors import Conflict
from mirada.kernel.images import ImageFormat
from mirada.kernel.stickers import RULES, TRAY_ICON, Messenger, PackRules, StickerForm
from mirada.packs.export_lists import Sticker, as_json, manifest, whatsapp
from mirada.packs.faults import Fault, FaultCode, faults_of
from mirada.packs.member_rows import Member
from mirada.packs.self_filled import images_of_pack
from mirada.packs.shown import ShownPack, shown_pack
from mirada.pictures.derivatives import full_copy
from mirada.runtime import Runtime

ORIGINALS = "originals"
FORMATS = (ORIGINALS, *(each.value for each in Messenger))
MOST_STICKERS = 60
"""Stickers that are made while somebody waits: about ten seconds."""
MOST_ORIGINALS = 500
MOST_BYTES = 200 * 1024 * 1024
"""Of originals in one ZIP."""
IN_MEMORY_BYTES = 8 * 1024 * 1024
MANIFEST = "manifest.json"
CONTENTS = "contents.json"


@dataclass(frozen=True, slots=True)
class Export:
    """An export: the faults, and where there are none the ZIP.

    Attributes:
        faults: () where it can be exported.
        name: of the ZIP.
        file: to be read from its beginning; None for a dry run, or where there are faults.
        byte_count: of all files in it.
        sticker_count: files of pictures in it.
    """

    faults: Sequence[Fault]
    name: str
    file: IO[bytes] | None
    byte_count: int
    sticker_count: int


def export_pack(
    runtime: Runtime, pack_id: int, audience: Audience, form: str, *, is_dry_run: bool = False
) -> Export:
    """Return a pack as a ZIP, with the pictures that the viewer sees.

    Args:
        runtime: with the store and the decoder.
        pack_id: which pack.
        audience: who asks.
        form: one of FORMATS.
        is_dry_run: only look for faults; all is made, and no ZIP.

    Raises:
        NotFound: there is no such pack, or the viewer may not see it.
        Conflict: it has too many pictures to be exported while somebody waits.
        Unavailable: no decoder can be had.
    """
    most = MOST_ORIGINALS if form == ORIGINALS else MOST_STICKERS
    members = images_of_pack(runtime, pack_id, audience, limit=most + 1)
    with runtime.reading() as session:
        pack = shown_pack(session, pack_id, audience)
    rules = None if form == ORIGINALS else RULES[Messenger(form)]
    if len(members) > most and not (rules is not None and rules.most < most):
        raise Conflict(
            f"At most {most} pictures of a pack are exported at once, and this one has more. Make smaller "
            "packs of it."
        )
    faults = [] if rules is None else list(faults_of(pack, members, rules, Messenger(form)))
    if faults:
        return Export(faults, _zip_name(pack), None, 0, len(members))
    stickers, broken = _made(runtime, members, audience, rules)
    if broken:
        return Export(broken, _zip_name(pack), None, 0, len(members))
    beside = _beside(runtime, pack, members, stickers, form)
    count = sum(len(each.content) for each in stickers) + sum(map(len, beside.values()))
    file = None if is_dry_run else _zipped(stickers, beside)
    return Export((), _zip_name(pack), file, count, len(stickers))


def _made(
    runtime: Runtime, members: Sequence[Member], audience: Audience, rules: PackRules | None
) -> tuple[list[Sticker], list[Fault]]:
    stored = _stored(runtime, members, audience)
    stickers: list[Sticker] = []
    faults: list[Fault] = []
    total = 0
    for place, member in enumerate(members, 1):
        if member.id not in stored:
            # Made private since the pack was read.
            continue
        key, extension = stored[member.id]
        if rules is None:
            content = _original(runtime, member, key, audience)
            extension = extension if member.image.owner_id == audience.viewer_id else "webp"
        else:
            moves = member.image.is_animated and rules.moving is not None
            form = rules.moving if moves and rules.moving is not None else rules.still
            content, extension = b"", form.kind.lower()
            with picture_turn(runtime):
                copy = runtime.decoder.sticker(runtime.image_store.path(key), form)
            if copy.webp is None:
                reason = f"{copy.why_still} Send a simpler picture."
                faults.append(Fault(member.id, place, FaultCode.CANNOT_BE_MADE, reason))
                continue
            content = copy.webp
        total += len(content)
        if total > MOST_BYTES:
            raise Conflict(
                f"The pictures have more than {MOST_BYTES // 1024**2} MB together. Make smaller packs."
            )
        stickers.append(Sticker(f"{place:03}.{extension}", content, member.emojis))
    return stickers, faults


def _stored(
    runtime: Runtime, members: Sequence[Member], audience: Audience
) -> dict[int, tuple[str, str]]:
    """Return storage keys and extensions of the pictures that the viewer sees now, by image id."""
    query = (
        select(Image.id, Content.storage_key, Content.format)
        .join(Content, Content.id == Image.content_id)
        .where(Image.id.in_([member.id for member in members]), may_see(audience.whole()))
    )
    with runtime.reading() as session:
        rows = session.execute(query).all()
    return {row.id: (row.storage_key, ImageFormat(row.format).extension) for row in rows}


def _original(runtime: Runtime, member: Member, key: str, audience: Audience) -> bytes:
    """Return the original's bytes for its owner, and a copy without metadata for others."""
    if member.image.owner_id == audience.viewer_id:
        return runtime.image_store.path(key).read_bytes()
    path = runtime.image_store.path(key)
    if member.image.is_animated and (moving := runtime.decoder.animation(path).webp) is not None:
        return moving
    return full_copy(runtime, key)


def _beside(
    runtime: Runtime,
    pack: ShownPack,
    members: Sequence[Member],
    stickers: Sequence[Sticker],
    form: str,
) -> dict[str, bytes]:
    """Return the files beside the pictures, by their names."""
    if form != Messenger.WHATSAPP:
        cover = _cover_place(pack, members)
        return {MANIFEST: as_json(manifest(pack, stickers, cover, form))}
    icon = _icon(runtime, pack, members, TRAY_ICON)
    return {CONTENTS: as_json(whatsapp(pack, stickers)), "tray.png": icon}


def _cover_place(pack: ShownPack, members: Sequence[Member]) -> int:
    places = {member.id: place for place, member in enumerate(members)}
    return 0 if pack.cover is None else places.get(pack.cover.id, 0)


def _icon(runtime: Runtime, pack: ShownPack, members: Sequence[Member], form: StickerForm) -> bytes:
    cover = members[_cover_place(pack, members)]
    with runtime.reading() as session:
        query = select(Content.storage_key).join(Image, Image.content_id == Content.id)
        key = session.execute(query.where(Image.id == cover.id)).scalar_one()
    copy = runtime.decoder.sticker(runtime.image_store.path(key), form)
    if copy.webp is None:
        raise Conflict(f"No icon can be made of image {cover.id}: {copy.why_still}")
    return copy.webp


def _zipped(stickers: Sequence[Sticker], beside: Mapping[str, bytes]) -> IO[bytes]:
    """Return a ZIP, at its beginning. Pictures are compressed already."""
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - the reply closes it
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
        for name, content in beside.items():
            packed.writestr(zipfile.ZipInfo(name), content)
        for sticker in stickers:
            packed.writestr(zipfile.ZipInfo(sticker.name), sticker.content)
    file.seek(0, io.SEEK_SET)
    return file


def _zip_name(pack: ShownPack) -> str:
    kept = "".join(each if each.isalnum() else "-" for each in pack.title).strip("-")
    return f"{kept[:60] or 'pack'}.zip"

"""Packs as ZIPs: of the originals, or as a messenger takes them; and what it would not take.

Every fault is told with the picture at fault and what to do. A ZIP is made only where there is none.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from mirada.kernel.audience import Audience
from mirada.kernel.errors import Conflict
from mirada.kernel.stickers import RULES, Messenger, PackRules
from mirada.packs.export_files import files_beside, made, write_zip
from mirada.packs.export_lists import Sticker
from mirada.packs.faults import Fault, FaultCode, faults_of
from mirada.packs.member_rows import Member
from mirada.packs.self_filled import images_of_pack
from mirada.packs.shown import ShownPack, shown_pack
from mirada.runtime import Runtime

ORIGINALS = "originals"
FORMATS = (ORIGINALS, *(each.value for each in Messenger))
MOST_STICKERS = 60
"""Stickers that are made while somebody waits: about ten seconds."""
MOST_ORIGINALS = 500
MOST_BYTES = 200 * 1024 * 1024
"""Of originals in one ZIP."""
READ_TOGETHER = 500
IN_MEMORY_BYTES = 8 * 1024 * 1024
NOTHING_IN_IT = Fault(
    None, None, FaultCode.TOO_FEW, "There is no picture in the pack that you see; add some."
)


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
    plan = plan_export(runtime, pack_id, audience, form, most)
    if plan.is_cut:
        raise Conflict(
            f"At most {most} pictures of a pack are exported while you wait, and this one has more. POST the "
            "same to the pack's exports, where a job makes it."
        )
    name, count = zip_name(plan.pack), len(plan.members)
    if plan.faults:
        return Export(plan.faults, name, None, 0, count)
    stickers, broken = made(runtime, plan.members, audience, plan.rules, MOST_BYTES)
    if broken:
        return Export(broken, name, None, 0, count)
    beside = files_beside(runtime, plan.pack, plan.members, audience, stickers, form)
    size = sum(each.byte_size for each in stickers) + sum(map(len, beside.values()))
    file = None if is_dry_run else _zipped(stickers, beside)
    return Export((), name, file, size, len(stickers))


@dataclass(frozen=True, slots=True)
class Plan:
    """An export before anything is made.

    Attributes:
        pack: as its viewer sees it.
        members: its pictures, at most as many as were asked for.
        rules: of the messenger; None for originals.
        faults: what the rules forbid.
        is_cut: whether it has more pictures than were asked for, and the rules would take them.
    """

    pack: ShownPack
    members: Sequence[Member]
    rules: PackRules | None
    faults: Sequence[Fault]
    is_cut: bool


def plan_export(runtime: Runtime, pack_id: int, audience: Audience, form: str, most: int) -> Plan:
    """Return what an export of at most so many pictures would hold. Raises as `export_pack` does."""
    rules = None if form == ORIGINALS else RULES[Messenger(form)]
    members: list[Member] = []
    while len(members) <= most:
        cursor = members[-1].id if members else None
        limit = min(READ_TOGETHER, most + 1 - len(members))
        some = images_of_pack(runtime, pack_id, audience, cursor=cursor, limit=limit)
        members += some
        if len(some) < limit:
            break
    with runtime.reading() as session:
        pack = shown_pack(session, pack_id, audience)
    is_cut = len(members) > most and not (rules is not None and rules.most < most)
    if rules is not None:
        faults = list(faults_of(pack, members, rules, Messenger(form)))
    else:
        faults = [] if members else [NOTHING_IN_IT]
    return Plan(pack, members, rules, faults, is_cut)


def zip_name(pack: ShownPack) -> str:
    """Return what the ZIP of a pack is called."""
    kept = "".join(each if each.isalnum() else "-" for each in pack.title).strip("-")
    return f"{kept[:60] or 'pack'}.zip"


def _zipped(stickers: Sequence[Sticker], beside: Mapping[str, bytes]) -> IO[bytes]:
    """Return a ZIP, at its beginning."""
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - the reply closes it
    write_zip(file, stickers, beside)
    file.seek(0, io.SEEK_SET)
    return file


def in_words(faults: Sequence[Fault], most: int) -> list[str]:
    """Return the first faults as sentences."""
    return [
        each.reason
        if each.place is None
        else f"Picture {each.place} ({each.image_id}): {each.reason}"
        for each in faults[:most]
    ]

"""Packs from ZIPs: our own, and those that WhatsApp, Telegram, Signal and their tools make.

Pictures are taken in one by one, as those of an upload of many. The pack is made last, with all of them in
one transaction: what is sent again finds the pictures and makes what is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.deadlocks import retried
from mirada.db.idempotency import Once, once
from mirada.db.models import Content, User
from mirada.db.pack_models import Pack
from mirada.file_metadata.whatsapp import StickerNote, sticker_note
from mirada.kernel.audience import Audience
from mirada.kernel.errors import Conflict, InvalidInput, UnsupportedImage
from mirada.packs.import_lists import few_emojis, one_line
from mirada.packs.member_rows import ids_seen
from mirada.packs.members import add_to
from mirada.packs.pack_zip import PackZip
from mirada.packs.packs import checked_fields, earlier_pack, require_room
from mirada.packs.shown import ShownPack, shown_pack
from mirada.pictures.archives import Archive, is_archive
from mirada.pictures.earlier import image_id_of
from mirada.pictures.intake import TakenIn, take_in
from mirada.pictures.many import GROWTH, REFUSALS, Outcome, unpacked
from mirada.pictures.new_image import FileClaims, NewImage, Texts
from mirada.ports import StagedFile
from mirada.runtime import Runtime

MOST_PICTURES = 200
"""As many as Signal takes. Each is decoded before the answer."""
MOST_FILES = MOST_PICTURES + 10
"""Lists, icons and notes beside them."""
MOST_NOTES = 100
UNTITLED = "Pack"
SEEN_BEFORE = "It was refused when this was first sent, or you have deleted it since."


@dataclass(frozen=True, slots=True)
class WantedPack:
    """What is asked for with a ZIP.

    Attributes:
        owner_id: whose the pack becomes.
        filename: of the ZIP, as it was sent.
        title: in place of the one that the ZIP says.
        identifier: which pack of the ZIP, where it has several.
        is_public: the pack and its new pictures.
        auto_caption: of new pictures, as `NewImage` has it.
        tags: of new pictures.
    """

    owner_id: int
    filename: str = ""
    title: str | None = None
    identifier: str | None = None
    is_public: bool = False
    auto_caption: bool = True
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedPack:
    """A pack that came in.

    Attributes:
        pack: as its owner sees it.
        outcomes: what became of each file, in the pack's order.
        notes: what of the ZIP's list was not followed, and why.
        author: who made the pack, as the ZIP says; "" for nobody.
        was_replayed: an earlier request with the same Idempotency-Key made it.
    """

    pack: ShownPack
    outcomes: list[Outcome]
    notes: list[str]
    author: str = ""
    was_replayed: bool = False


@dataclass(slots=True)
class _Taken:
    """What was taken so far: outcomes, the pictures in their order with emojis, and what they say."""

    outcomes: list[Outcome] = field(default_factory=list)
    emojis: dict[int, list[str]] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    names: Counter[str] = field(default_factory=Counter)
    authors: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def import_pack(
    runtime: Runtime,
    staged: StagedFile,
    wanted: WantedPack,
    *,
    request_id: str | None = None,
    key: str | None = None,
) -> ImportedPack:
    """Take in the pictures of a ZIP and make a pack of them; the staged file is discarded.

    A picture that its owner has already is used. Each that is refused is named, and the rest is taken.

    Args:
        runtime: where.
        staged: the ZIP.
        wanted: what is asked for with it.
        request_id: follows the work into the worker's log.
        key: the request's Idempotency-Key.

    Raises:
        UnsupportedImage: it is no ZIP.
        CorruptImage, InvalidInput: it cannot be read, holds too much, or nothing that could be taken.
        Conflict: its owner has as many packs as one person may, or the key's pack was deleted since.
        Unavailable, StorageFull: not now; sending it again goes on.
    """
    try:
        if not is_archive(staged.path):
            raise UnsupportedImage("Send the pack as a ZIP, such as a .zip or .wastickers file.")
        request = once(wanted.owner_id, key, "pack_import", _asked(staged, wanted))
        with runtime.reading() as session:
            if wanted.title is not None:
                checked_fields(session, wanted.owner_id, {"title": wanted.title})
            earlier = earlier_pack(session, request)
            if earlier is None:
                require_room(session, wanted.owner_id)
        limit = runtime.settings.max_upload_bytes
        limits = {"max_bytes_each": limit, "max_bytes": limit * GROWTH}
        with Archive(staged.path, most_pictures=MOST_FILES, **limits) as archive:
            if earlier is not None:
                return _again(runtime, archive, wanted, earlier)
            return _imported(runtime, archive, wanted, request, request_id)
    finally:
        staged.discard()


def _imported(
    runtime: Runtime,
    archive: Archive,
    wanted: WantedPack,
    request: Once,
    request_id: str | None,
) -> ImportedPack:
    taken = _Taken()
    inside = PackZip.of(archive, wanted.identifier)
    said = inside.said
    for name, emojis in inside.stickers(taken.outcomes):
        try:
            file = unpacked(runtime, archive, inside.files[name])
            note = sticker_note(file.path)
            _take(runtime, taken, wanted, name, file, request_id)
        except REFUSALS as refusal:
            taken.outcomes.append(Outcome(name, refusal=refusal))
            continue
        _note(taken, name, emojis, note)
    if not taken.images:
        raise _nothing_taken(taken)
    title = wanted.title or said.title or _commonest(taken.names) or _stem(wanted.filename)
    fields = {"title": title, "description": said.description, "is_public": wanted.is_public}
    cover = taken.images.get(said.cover or "")
    pack = _make(runtime.database, wanted.owner_id, fields, taken.emojis, cover, request)
    author = said.author or _commonest(taken.authors)
    notes = [*inside.notes, *taken.notes][:MOST_NOTES]
    return ImportedPack(pack, taken.outcomes, notes, author)


def _asked(staged: StagedFile, wanted: WantedPack) -> dict[str, object]:
    return {
        "sha256": staged.sha256,
        "title": wanted.title,
        "identifier": wanted.identifier,
        "is_public": wanted.is_public,
        "auto_caption": wanted.auto_caption,
        "tags": wanted.tags,
    }


def _take(
    runtime: Runtime,
    taken: _Taken,
    wanted: WantedPack,
    name: str,
    file: StagedFile,
    request_id: str | None,
) -> None:
    """Take in a picture. Raises one of REFUSALS where it is refused."""
    if len(taken.images) >= MOST_PICTURES:
        file.discard()
        raise InvalidInput(f"A pack comes in with {MOST_PICTURES} pictures at most; add it later.")
    image = NewImage(
        wanted.owner_id,
        Texts(PurePosixPath(name).name),
        is_public=wanted.is_public,
        auto_caption=wanted.auto_caption,
        is_once_per_owner=True,
        tags=wanted.tags,
    )
    outcome = Outcome(name, take_in(runtime, file, image, FileClaims(), request_id=request_id))
    taken.outcomes.append(outcome)


def _note(taken: _Taken, name: str, emojis: object, note: StickerNote) -> None:
    """Keep what the list and the file say of the picture that was just taken in."""
    outcome = taken.outcomes[-1]
    image_id = 0 if outcome.taken is None else outcome.taken.image_id
    said, are_more = few_emojis(emojis)
    if not said:
        said, are_more = few_emojis(note.emojis)
    if are_more:
        taken.notes.append(f"{name} has many emojis; the first {len(said)} were taken.")
    if image_id in taken.emojis:
        taken.notes.append(f"{name} has the same bytes as another one; it is in the pack once.")
    else:
        taken.emojis[image_id] = said
    taken.images[name] = image_id
    taken.names.update(filter(None, [one_line(note.pack_name)]))
    taken.authors.update(filter(None, [one_line(note.publisher)]))


def _commonest(texts: Counter[str]) -> str:
    return max(texts, key=lambda text: texts[text], default="")


def _stem(filename: str) -> str:
    return one_line(PurePosixPath(filename).stem) or UNTITLED


def _nothing_taken(taken: _Taken) -> InvalidInput:
    said = [f"{each.name}: {each.refusal.detail}" for each in taken.outcomes[:20] if each.refusal]
    reason = "The ZIP holds no picture that could be taken in, so no pack was made."
    return InvalidInput(f"{reason} {' '.join(said)}".strip(), fields={"file": said or [reason]})


def _again(runtime: Runtime, archive: Archive, wanted: WantedPack, pack: ShownPack) -> ImportedPack:
    """Return the pack that an earlier request made. Nothing is taken in: some may be deleted since."""
    outcomes: list[Outcome] = []
    inside = PackZip.of(archive, wanted.identifier)
    for name, _ in inside.stickers(outcomes):
        try:
            file = unpacked(runtime, archive, inside.files[name])
        except REFUSALS as refusal:
            outcomes.append(Outcome(name, refusal=refusal))
            continue
        file.discard()
        known = _image_of(runtime, file.sha256, wanted.owner_id)
        outcomes.append(
            Outcome(name, refusal=Conflict(SEEN_BEFORE)) if known is None else Outcome(name, known)
        )
    notes = inside.notes[:MOST_NOTES]
    return ImportedPack(pack, outcomes, notes, inside.said.author, was_replayed=True)


def _image_of(runtime: Runtime, sha256: str, owner_id: int) -> TakenIn | None:
    """Return the owner's image of these bytes as one that was there; None for none."""
    with runtime.reading() as session:
        query = select(Content).where(Content.sha256 == sha256)
        content = session.execute(query).scalar_one_or_none()
        image_id = None if content is None else image_id_of(session, content, owner_id)
    if image_id is None:
        return None
    return TakenIn(image_id, None, False, was_replayed=True, change_seq=None, was_there=True)


def _make_pack(
    session: Session,
    owner_id: int,
    fields: Mapping[str, object],
    emojis: Mapping[int, list[str]],
    cover: int | None,
    request: Once,
) -> ShownPack:
    # One owner's requests come one after the other, so that none gets past the bound.
    session.get(User, owner_id, with_for_update=True)
    earlier = earlier_pack(session, request)
    if earlier is not None:
        return earlier
    require_room(session, owner_id)
    pack = Pack(owner_id=owner_id, **checked_fields(session, owner_id, fields))
    session.add(pack)
    session.flush()
    # Some may be deleted since they were taken in.
    ids = ids_seen(session, list(emojis), Audience(owner_id))
    there = [each for each in emojis if each in ids]
    add_to(session, pack, there, emojis={each: emojis[each] for each in there if emojis[each]})
    pack.cover_image_id = cover if cover in ids else None
    request.keep(session, pack.id)
    session.flush()
    return shown_pack(session, pack.id, Audience(owner_id))


_make = retried(_make_pack)

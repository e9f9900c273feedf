"""Export on the page of a pack: its forms, what keeps it from one, in words, and the ZIP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import request, send_file, url_for
from flask_babel import gettext, lazy_gettext
from werkzeug.exceptions import BadRequest

from mirada.kernel.errors import Conflict, ExportExpired, NotFound
from mirada.kernel.stickers import NAMES, RULES, Messenger
from mirada.packs.export_jobs import read_export
from mirada.packs.exporting import FORMATS, ORIGINALS, Export, export_pack
from mirada.packs.faults import Fault, FaultCode
from mirada.pictures.shown_images import shown_images
from webapp.callers.asking import scope_of_caller
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime
from webapp.pages.tiles import Tile

TEXTS: Mapping[FaultCode, Any] = {
    FaultCode.TOO_FEW: lazy_gettext(
        "%(name)s takes packs of %(least)s stickers or more. Add some."
    ),
    FaultCode.TOO_MANY: lazy_gettext(
        "%(name)s takes %(most)s stickers at most. Make two packs of it."
    ),
    FaultCode.LONG_TITLE: lazy_gettext(
        "%(name)s takes titles of %(most)s characters at most. Shorten it."
    ),
    FaultCode.NO_EMOJI: lazy_gettext("%(name)s asks for an emoji of each sticker. Give it one."),
    FaultCode.TOO_MANY_EMOJIS: lazy_gettext("%(name)s takes %(most)s emojis of a sticker at most."),
    FaultCode.NO_VIDEO: lazy_gettext(
        "%(name)s takes animations as videos, which are not made here. Take it out, or put a still "
        "picture in its place."
    ),
    FaultCode.MIXED: lazy_gettext(
        "%(name)s takes packs of still or of moving stickers, and this one is not as the first. Put it "
        "into another pack."
    ),
    FaultCode.CANNOT_BE_MADE: lazy_gettext(
        "No sticker can be made of it. Take it out, or send a simpler one."
    ),
}
"""What keeps a pack from being exported, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Format:
    """A form of export, as people are told of it."""

    name: str
    title: str
    told: str


@dataclass(frozen=True, slots=True)
class ShownFault:
    """What keeps a pack from being exported, in words.

    Attributes:
        text: what it is, and what to do.
        tile: the picture at fault; None where it is the pack.
        place: of that picture, from 1.
        lacks_emoji: whether an emoji mends it.
    """

    text: str
    tile: Tile | None
    place: int | None
    lacks_emoji: bool


@dataclass(frozen=True, slots=True)
class Check:
    """What was found of a form of export.

    Attributes:
        form: which; "" where none was asked for.
        faults: what keeps the pack from it.
        count: files of pictures in the ZIP.
        byte_count: of the ZIP's files.
        refusal: why it could not be looked at; None where it was.
    """

    form: str = ""
    faults: Sequence[ShownFault] = ()
    count: int = 0
    byte_count: int = 0
    refusal: str | None = None

    @property
    def is_well(self) -> bool:
        """Whether the pack can be had so."""
        return bool(self.form) and not self.faults and self.refusal is None


NO_CHECK = Check()


def formats() -> list[Format]:
    """Return the forms of export, with what each asks of a pack."""
    found = [
        Format(
            ORIGINALS,
            gettext("Originals"),
            gettext(
                "Your own files as they are, and copies of other people's pictures without metadata."
            ),
        )
    ]
    for messenger in Messenger:
        rules = RULES[messenger]
        if rules.least > 1:
            told = gettext(
                "%(least)s to %(most)s stickers, each with an emoji.",
                least=rules.least,
                most=rules.most,
            )
        else:
            told = gettext("Up to %(most)s stickers, each with an emoji.", most=rules.most)
        found.append(Format(messenger.value, NAMES[messenger], told))
    return found


def check_of_request(pack_id: int) -> Check:
    """Return what keeps the pack from the form of export that the address names; nothing for none.

    Raises:
        NotAuthenticated: an export is asked for by nobody who is known.
        HTTPException: (400) there is no such form.
    """
    form = request.args.get("export")
    return NO_CHECK if form is None else checked(pack_id, _known(form), is_dry_run=True)[0]


def checked(pack_id: int, form: str, *, is_dry_run: bool) -> tuple[Check, Export | None]:
    """Return what keeps a pack from an export, and the export; None where it is refused whole."""
    require_user()
    runtime, audience = current_runtime(), current_caller().audience
    try:
        made = export_pack(runtime, pack_id, audience, form, is_dry_run=is_dry_run)
    except Conflict as error:
        return Check(form, refusal=error.detail), None
    ids = [fault.image_id for fault in made.faults if fault.image_id is not None]
    with runtime.reading() as session:
        images = shown_images(session, ids, scope_of_caller()) if ids else {}
    tiles = {image_id: Tile(image) for image_id, image in images.items()}
    faults = [
        ShownFault(
            _said(fault, form),
            tiles.get(fault.image_id or 0),
            fault.place,
            fault.code is FaultCode.NO_EMOJI,
        )
        for fault in made.faults
    ]
    return Check(form, faults, made.sticker_count, made.byte_count), made


@dataclass(frozen=True, slots=True)
class Later:
    """An export that a job makes: where it is fetched, or what is said of it until then."""

    address: str | None
    text: str


def later_of_request() -> Later | None:
    """Return what became of the export whose job the address names; None where it names none."""
    job_id, user_id = request.args.get("made", type=int), current_caller().user_id
    if job_id is None or user_id is None:
        return None
    try:
        read_export(current_runtime(), job_id, user_id)
    except NotFound:
        return None
    except Conflict as error:
        return Later(None, error.detail)
    except ExportExpired as error:
        return Later(None, error.detail)
    address = url_for("packs.get_export", job_id=job_id)
    return Later(address, gettext("The ZIP is ready. It is kept for a day."))


def zipped(made: Export) -> Any:
    """Return the reply with a ZIP."""
    assert made.file is not None
    return send_file(
        made.file, mimetype="application/zip", as_attachment=True, download_name=made.name
    )


def form_of_request(name: str) -> str:
    """Return the form of export that a field of the page's form names. Raises HTTPException (400)."""
    return _known(request.form.get(name, ""))


def _known(form: str) -> str:
    if form not in FORMATS:
        raise BadRequest(f"The form of an export is one of {', '.join(FORMATS)}.")
    return form


def _said(fault: Fault, form: str) -> str:
    """Return a fault in the reader's language, with what to do about it."""
    rules = RULES[Messenger(form)]
    text = str(TEXTS[fault.code]) % {
        "name": NAMES[Messenger(form)],
        "least": rules.least,
        "most": {
            FaultCode.TOO_MANY: rules.most,
            FaultCode.LONG_TITLE: rules.max_title,
            FaultCode.TOO_MANY_EMOJIS: rules.most_emojis,
        }.get(fault.code, 0),
    }
    # Why none can be made of a picture the decoder alone knows.
    return f"{text} {fault.reason}" if fault.code is FaultCode.CANNOT_BE_MADE else text

"""Suggestions taken or rejected: a picture comes into the pack, and a verdict is given for its theme.

Both are undone together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.classifier_models import Feedback
from mirada.db.deadlocks import retried
from mirada.db.models import Content, Image
from mirada.db.pack_models import Pack, PackChoice
from mirada.feedback import verdicts
from mirada.kernel.audience import Audience
from mirada.kernel.errors import NotFound
from mirada.kernel.ids import in_range
from mirada.packs.member_rows import require_by_hand
from mirada.packs.members import add_to, remove_from
from mirada.packs.packs import lock_pack
from mirada.pictures.images import see_image


@dataclass(frozen=True, slots=True)
class Chosen:
    """A suggestion that was taken or rejected; `feedback_id` is the verdict that it gave, if any."""

    pack_id: int
    image_id: int
    accepted: bool
    theme: str | None
    feedback_id: int | None


def _choose(
    session: Session,
    pack_id: int,
    owner_id: int,
    image_id: int,
    *,
    accepted: bool,
    emojis: Sequence[str] = (),
    expected_version: int | None = None,
) -> Chosen:
    audience = Audience(owner_id)
    pack = lock_pack(session, pack_id, owner_id, expected_version)
    require_by_hand(session, pack_id, audience)
    see_image(session, image_id, audience)
    _undo_choice(session, pack, image_id)
    choice = PackChoice(pack_id=pack.id, image_id=image_id, accepted=accepted)
    if pack.theme is not None:
        _judge(session, pack, choice)
    session.add(choice)
    session.flush()
    if accepted:
        add_to(session, pack, [image_id], emojis={image_id: emojis} if emojis else {})
    else:
        remove_from(session, pack, image_id)
    return Chosen(pack.id, image_id, accepted, pack.theme, choice.feedback_id)


choose = retried(_choose)
"""Take a suggestion into a pack of one's own, or reject it; said again, the later one counts.

Where the pack has a theme, that is a verdict for it, as if it was given by hand.

Raises:
    NotFound: there is no such pack of theirs, or no such image that they may see.
    PreconditionFailed: it is another version by now than `expected_version`.
    Conflict: the pack fills itself, or is full.
    InvalidInput: an emoji is none.
"""


def _undo(
    session: Session,
    pack_id: int,
    owner_id: int,
    image_id: int,
    *,
    expected_version: int | None = None,
) -> None:
    pack = lock_pack(session, pack_id, owner_id, expected_version)
    see_image(session, image_id, Audience(owner_id))
    if not _undo_choice(session, pack, image_id):
        raise NotFound(
            f"Image {image_id} was neither taken into pack {pack_id} as a suggestion, nor rejected."
        )


undo_choice = retried(_undo)
"""Undo `choose`: the picture leaves the pack, or may be suggested again; the verdict is as it was before.

Raises:
    NotFound: there is no such pack of theirs, no such image that they may see, or nothing to undo.
    PreconditionFailed: it is another version by now than `expected_version`.
"""


def decided(session: Session, pack_id: int) -> set[int]:
    """Return the ids of the images that were taken or rejected for a pack."""
    query = select(PackChoice.image_id).where(PackChoice.pack_id == pack_id)
    return set(session.execute(query).scalars())


def _undo_choice(session: Session, pack: Pack, image_id: int) -> bool:
    choice = session.get(PackChoice, (pack.id, in_range(image_id)), populate_existing=True)
    if choice is None:
        return False
    if choice.accepted:
        remove_from(session, pack, image_id)
    if choice.feedback_id is not None:
        _take_back(session, pack.owner_id, choice)
    session.delete(choice)
    session.flush()
    return True


def _judge(session: Session, pack: Pack, choice: PackChoice) -> None:
    given = verdicts.give_feedback(
        session,
        user_id=pack.owner_id,
        sha256=_sha256_of(session, choice.image_id),
        theme=pack.theme,
        accepted=choice.accepted,
    )
    if given.outcome is verdicts.Outcome.UNCHANGED:
        # It was said before, by hand: undoing this does not take that back.
        return
    choice.feedback_id = given.feedback.id
    choice.was_accepted = given.change.before


def _take_back(session: Session, owner_id: int, choice: PackChoice) -> None:
    row = session.get(Feedback, choice.feedback_id, populate_existing=True)
    if row is None or row.user_id != owner_id or row.accepted is not choice.accepted:
        # It was taken back, or changed, by hand since: that counts.
        return
    if choice.was_accepted is None:
        verdicts.delete_feedback(session, row.id, owner_id)
        return
    verdicts.give_feedback(
        session,
        user_id=owner_id,
        sha256=_sha256_of(session, choice.image_id),
        theme=row.theme,
        accepted=choice.was_accepted,
    )


def _sha256_of(session: Session, image_id: int) -> str:
    query = select(Content.sha256).join(Image, Image.content_id == Content.id)
    return session.execute(query.where(Image.id == image_id)).scalar_one()

"""Verdicts given, changed, listed and taken back, and the names in them; `evidence` applies them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload

from mirada.db import audit, changes
from mirada.db.classifier_models import Feedback
from mirada.db.contents import lock_content
from mirada.db.idempotency import once
from mirada.db.models import Content
from mirada.db.pages import newest_first
from mirada.db.verdicts import is_not_put_away
from mirada.db.visibility import may_see_content
from mirada.feedback.opinions import Change
from mirada.kernel.asset_ids import checked_asset_id
from mirada.kernel.audience import Audience
from mirada.kernel.audit import Action
from mirada.kernel.errors import Conflict, NotFound
from mirada.kernel.ids import in_range
from mirada.kernel.themes import theme_key

_SHA256 = re.compile(r"[0-9a-f]{64}")


def image_hash(text: str) -> str | None:
    """Return a picture's SHA-256 as 64 lower-case hex digits, None for what cannot be one."""
    lower = text.strip().lower() if len(text) < 100 else ""
    return lower if _SHA256.fullmatch(lower) else None


class Outcome(StrEnum):
    """The outcome of giving a verdict."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Given:
    """A verdict as it stands, its content loaded, and what giving it came to.

    Attributes:
        feedback: the row.
        outcome: whether it was new, changed, or known.
        was_replayed: the Idempotency-Key had done its work before; nothing was written.
    """

    feedback: Feedback
    outcome: Outcome
    was_replayed: bool = False

    @property
    def change(self) -> Change:
        """The change of opinion that giving it was."""
        row = self.feedback
        before = {
            Outcome.CREATED: None,
            Outcome.REPLACED: not row.accepted,
            Outcome.UNCHANGED: row.accepted,
        }[self.outcome]
        return Change(row.user_id, row.content_id, row.theme, before, row.accepted)


def give_feedback(
    session: Session,
    *,
    user_id: int,
    sha256: str,
    theme: object,
    accepted: bool,
    asset_id: object = None,
    idempotency_key: str | None = None,
) -> Given:
    """Keep one person's verdict: does this picture belong to this theme?

    The same verdict again changes nothing, another one replaces it: of a person, a picture and a
    theme there is one row, also when two requests race.

    Args:
        session: a transaction.
        user_id: whose verdict.
        sha256: of the picture, hex; one the person may see or had classified themselves.
        theme: any name, see `theme_key`; a label or not.
        accepted: True: it belongs. False: it does not.
        asset_id: what the caller calls the picture; None leaves a known one as it is.
        idempotency_key: keeps a request that comes late a second time from undoing a later change.

    Raises:
        InvalidInput: the theme or the asset id cannot be one, or the key is another request's.
        NotFound: no such picture, or not this person's to see.
        Conflict: the key's verdict was taken back since.
    """
    key, asset_id = theme_key(theme), checked_asset_id(asset_id)
    request = once(
        user_id,
        idempotency_key,
        sha256.lower(),
        {"theme": key, "accepted": accepted, "asset_id": asset_id},
    )
    content_id = content_of(session, user_id, sha256)
    # The content's row first, as everywhere: twins of this request take turns, and the picture can
    # be deleted neither now nor between the two looks.
    lock_content(session, content_id)
    if content_of(session, user_id, sha256) != content_id:
        raise _unknown(sha256)
    earlier = request.earlier(session)
    if earlier is not None:
        return Given(_replayed(session, earlier, user_id), Outcome.UNCHANGED, was_replayed=True)
    given = _kept(session, user_id, content_id, key, accepted, asset_id)
    # Refuses a key that another request took meanwhile: this one is then undone.
    request.keep(session, given.feedback.id)
    return given


def get_feedback(session: Session, feedback_id: int, user_id: int) -> Feedback:
    """Return one's own verdict, its content loaded. Raises NotFound for anything else."""
    row = session.execute(
        with_contents().where(Feedback.id == in_range(feedback_id), Feedback.user_id == user_id)
    ).scalar_one_or_none()
    if row is None:
        raise _absent(feedback_id)
    return row


def list_feedback(
    session: Session,
    user_id: int,
    *,
    theme: str | None = None,
    cursor: int | None = None,
    limit: int = 50,
) -> list[Feedback]:
    """Return at most `limit` of one's own verdicts, newest first, contents loaded.

    Args:
        session: any.
        user_id: whose.
        theme: only this one's; None for all.
        cursor: the id of the last verdict of the page before; None for the first page.
        limit: >= 1.

    Raises:
        InvalidInput: the theme cannot be one.
    """
    query = with_contents().where(Feedback.user_id == user_id, is_not_put_away())
    if theme is not None:
        query = query.where(Feedback.theme == theme_key(theme))
    return list(session.execute(newest_first(query, Feedback.id, cursor, limit)).scalars())


def delete_feedback(
    session: Session, feedback_id: int, user_id: int, *, is_administrator: bool = False
) -> None:
    """Take a verdict back: scores are what they were before it.

    Args:
        session: a transaction.
        feedback_id: which one.
        user_id: who asks; people take back their own.
        is_administrator: may take back anybody's, which is how a vandal's go.

    Raises:
        NotFound: there is none, or it is not theirs to take back.
    """
    query = select(Feedback.content_id).where(Feedback.id == in_range(feedback_id))
    if not is_administrator:
        query = query.where(Feedback.user_id == user_id)
    content_id = session.execute(query).scalar_one_or_none()
    if content_id is None:
        raise _absent(feedback_id)
    lock_content(session, content_id)
    row = session.get(Feedback, feedback_id)
    if row is None:
        raise _absent(feedback_id)
    audit.record_of_others(session, Action.VERDICT_DELETE, row.id, row.user_id, user_id)
    session.delete(row)
    session.flush()
    # Who remembers the evidence follows the number.
    changes.note(session)


def _kept(
    session: Session,
    user_id: int,
    content_id: int,
    key: str,
    accepted: bool,
    asset_id: str | None,
) -> Given:
    row = session.execute(
        with_contents()
        .where(
            Feedback.user_id == user_id, Feedback.content_id == content_id, Feedback.theme == key
        )
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()
    if row is None:
        changes.note(session)
        row = Feedback(
            user_id=user_id, content_id=content_id, theme=key, accepted=accepted, asset_id=asset_id
        )
        session.add(row)
        session.flush()
        # Loaded here, so that the reply can be written after the session.
        assert row.content.sha256
        return Given(row, Outcome.CREATED)
    outcome = Outcome.UNCHANGED if row.accepted is accepted else Outcome.REPLACED
    if outcome is Outcome.REPLACED:
        changes.note(session)
    row.accepted = accepted
    if asset_id is not None:
        row.asset_id = asset_id
    session.flush()
    return Given(row, outcome)


def _replayed(session: Session, feedback_id: int, user_id: int) -> Feedback:
    try:
        return get_feedback(session, feedback_id, user_id)
    except NotFound as error:
        raise Conflict(
            "The verdict of this Idempotency-Key was taken back since. Send a new key to give it "
            "again."
        ) from error


def content_of(session: Session, user_id: int, sha256: str) -> int:
    """Return the id of a picture that a person may judge. Raises NotFound for anything else."""
    content_id = session.execute(
        select(Content.id).where(
            Content.sha256 == image_hash(sha256), may_see_content(Audience(user_id), Content.id)
        )
    ).scalar_one_or_none()
    if content_id is None:
        raise _unknown(sha256)
    return content_id


def _unknown(sha256: str) -> NotFound:
    # The same words whether nobody has the picture or somebody else does.
    return NotFound(
        f"There is no picture {sha256[:100]!r} that you may see. Its hash is the SHA-256 of its "
        "bytes; upload it or have it classified first."
    )


def _absent(feedback_id: int) -> NotFound:
    return NotFound(f"There is no verdict {feedback_id}, or it is not yours.")


def with_contents() -> Select[Feedback]:
    """Return the query for verdicts with their contents loaded."""
    return select(Feedback).options(joinedload(Feedback.content))

"""Verdicts that are not given, or not taken back yet: what that would change. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from mirada.db.classifier_models import Feedback
from mirada.feedback.opinions import Change
from mirada.feedback.verdicts import Outcome, content_of, get_feedback, with_contents
from mirada.kernel.asset_ids import checked_asset_id
from mirada.kernel.themes import theme_key


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A verdict that was not given: what giving it would change.

    Attributes:
        change: of the person's opinion.
        sha256: of the picture.
        standing: the verdict that is there; None without one. Its content is loaded.
        outcome: what giving it would come to.
    """

    change: Change
    sha256: str
    standing: Feedback | None
    outcome: Outcome


def foresee_feedback(
    session: Session,
    *,
    user_id: int,
    sha256: str,
    theme: object,
    accepted: bool,
    asset_id: object = None,
) -> Foreseen:
    """Return what giving a verdict would change; nothing is written. Raises as `give_feedback` does."""
    key = theme_key(theme)
    checked_asset_id(asset_id)
    content_id = content_of(session, user_id, sha256)
    standing = session.execute(
        with_contents().where(
            Feedback.user_id == user_id, Feedback.content_id == content_id, Feedback.theme == key
        )
    ).scalar_one_or_none()
    before = None if standing is None else standing.accepted
    outcome = Outcome.CREATED
    if before is not None:
        outcome = Outcome.UNCHANGED if before is accepted else Outcome.REPLACED
    change = Change(user_id, content_id, key, before, accepted)
    return Foreseen(change, sha256.lower(), standing, outcome)


def foresee_undoing(session: Session, feedback_id: int, user_id: int) -> Change:
    """Return what taking one's own verdict back changes. Raises NotFound for anything else."""
    row = get_feedback(session, feedback_id, user_id)
    return Change(user_id, row.content_id, row.theme, row.accepted, None)

"""What a viewer says of a group of duplicates: that they are none, for them alone; and the way back."""

from __future__ import annotations

from itertools import combinations

from sqlalchemy import delete, or_
from sqlalchemy.orm import Session

from mirada.db.deadlocks import retried
from mirada.db.duplicate_models import NotDuplicates
from mirada.db.inserts import inserting_unless_there
from mirada.db.session import count_changed
from mirada.duplicates.seen import get_group
from mirada.kernel.audience import Audience
from mirada.kernel.duplicates import Tier
from mirada.kernel.errors import InvalidInput
from mirada.pictures.images import see_image

MOST_IMAGES = 50
"""Of a group that is said to be none: 1,225 pairs."""


def _are_none(session: Session, tier: Tier, viewer_id: int, image_id: int) -> int:
    """Remember that the images of a group are no duplicates for its viewer, and return how many they are.

    Raises:
        NotFound: there is no group of this tier with that image, or none that the viewer sees.
        InvalidInput: it holds more images than are remembered as pairs.
    """
    group = get_group(session, tier, viewer_id, image_id)
    ids = sorted(member.image_id for member in group.members)
    if len(ids) > MOST_IMAGES:
        raise InvalidInput(
            f"This group has {len(ids)} images; of {MOST_IMAGES} at most it can be said. "
            "Delete some of them, or raise the threshold."
        )
    pairs = [
        {"user_id": viewer_id, "one_id": one, "other_id": other}
        for one, other in combinations(ids, 2)
    ]
    session.execute(inserting_unless_there(session, NotDuplicates), pairs)
    return len(ids)


def _forget(session: Session, viewer_id: int, image_id: int) -> int:
    """Forget what a viewer said of an image, and return of how many pairs that was.

    Raises:
        NotFound: there is no such image, or the viewer may not see it.
    """
    see_image(session, image_id, Audience(viewer_id))
    either = or_(NotDuplicates.one_id == image_id, NotDuplicates.other_id == image_id)
    return count_changed(
        session, delete(NotDuplicates).where(NotDuplicates.user_id == viewer_id, either)
    )


are_none = retried(_are_none)
forget = retried(_forget)

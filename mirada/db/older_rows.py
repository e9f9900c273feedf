"""Completes rows that a process of an older version wrote while the tables were this version's already.

An upgrade restarts processes one after the other, and an older one goes on inserting images without what
it does not know. So it is not left to migrations alone: every start looks, and so does the sweeper.
What a job makes (looks, copies, labels) is found by the question that queues the job.
"""

from __future__ import annotations

import logging

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from mirada.db import word_index
from mirada.db.deadlocks import in_transaction
from mirada.db.models import Image
from mirada.db.session import Database
from mirada.kernel.keywords import CUT_VERSION
from mirada.kernel.picture_tokens import new_token

IMAGES_TOGETHER = 500
"""Images of one transaction."""

log = logging.getLogger(__name__)
_IMAGES = Image.__table__
# Both by an index, so that a look which finds nothing costs nothing and locks nothing.
_WITHOUT_WORDS = select(Image.id).where(Image.words_version < CUT_VERSION).limit(1)
_WITHOUT_TOKEN = select(Image.id).where(Image.picture_token.is_(None)).order_by(Image.id)
# One that got a token meanwhile, with a change of who may see it, keeps that. `updated_at` is set to
# itself, because it would otherwise take the clock: an address is no change of the image.
_GIVE_TOKEN = (
    update(_IMAGES)  # type: ignore[arg-type]
    .where(_IMAGES.c.id == bindparam("image"), _IMAGES.c.picture_token.is_(None))
    .values(picture_token=bindparam("token"), updated_at=_IMAGES.c.updated_at)
)


def complete(database: Database) -> None:
    """Write the words and the addresses that images lack; harmless to repeat, and to stop on the way.

    Raises:
        Unavailable: not now.
    """
    with database.reading() as session:
        lacks_words = session.execute(_WITHOUT_WORDS).first() is not None
        lacks_tokens = session.execute(_WITHOUT_TOKEN.limit(1)).first() is not None
    if lacks_words:
        word_index.write_missing(database)
    count = 0
    while lacks_tokens and (given := in_transaction(database, _give_tokens)):
        count += given
    if count:
        log.info("%s images that an older version took in have addresses now.", count)


def _give_tokens(session: Session) -> int:
    ids = session.execute(_WITHOUT_TOKEN.limit(IMAGES_TOGETHER)).scalars().all()
    if ids:
        session.execute(_GIVE_TOKEN, [{"image": each, "token": new_token()} for each in ids])
    return len(ids)

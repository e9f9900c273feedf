"""The change counter, which numbers changes in commit order. Only this module writes `change_seq`.

Code that inserts, changes or deletes a vector, or changes the visibility of an image, calls `touch`.
The transaction calls `stamp` as its last statements. The counter's row stays locked until the commit,
so a reader that has seen number n has seen everything up to n. SEARCH measured no missed row on three
engines; polling by id missed up to 43 %.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mirada.db.chunks import chunks
from mirada.db.memory_models import TextEmbedding
from mirada.db.models import ChangeCounter, Embedding
from mirada.db.pgvector.copying import copy_touched

_TOUCHED = "mirada_touched_contents"
_TOUCHED_TEXTS = "mirada_touched_texts"
_NOTED = "mirada_noted"
_COMMITTED = "mirada_change_seq"


# Built once: these run for every picture.
_ADVANCE = (
    update(ChangeCounter.__table__)  # type: ignore[arg-type]
    .where(ChangeCounter.id == 1)
    .values(v=ChangeCounter.__table__.c.v + 1)
)
_READ = select(ChangeCounter.v).where(ChangeCounter.id == 1)


def touch(session: Session, content_ids: Iterable[int]) -> None:
    """Note contents whose vectors, or whose images' owner or visibility, this transaction changes."""
    session.info.setdefault(_TOUCHED, set()).update(content_ids)


def touch_texts(session: Session, text_ids: Iterable[int | None]) -> None:
    """Note texts in the same way; None, of an image without a prompt, is skipped."""
    texts = (text_id for text_id in text_ids if text_id is not None)
    session.info.setdefault(_TOUCHED_TEXTS, set()).update(texts)


def note(session: Session) -> None:
    """Note that this transaction changes what a filter looks at, though no vector is concerned.

    It takes a number like every other, and indexes have nothing to read for it: renumbering the
    vectors instead would fill their deltas. See `mirada.db.filters`.
    """
    session.info[_NOTED] = True


def stamp(session: Session) -> None:
    """Advance the counter and number the touched rows; call it last before the commit."""
    contents = sorted(session.info.pop(_TOUCHED, ()))
    texts = sorted(session.info.pop(_TOUCHED_TEXTS, ()))
    if not (session.info.pop(_NOTED, False) or contents or texts):
        return
    session.flush()
    session.execute(_ADVANCE)
    change_seq = session.execute(_READ).scalar_one()
    numbered: tuple[tuple[Any, Any, list[int]], ...] = (
        (Embedding, Embedding.content_id, contents),
        (TextEmbedding, TextEmbedding.text_id, texts),
    )
    for entity, subject, touched in numbered:
        for chunk in chunks(touched) if touched else ():
            session.execute(
                update(entity)
                .where(subject.in_(chunk))
                .values(change_seq=change_seq)
                .execution_options(synchronize_session=False)
            )
    copy_touched(session, contents, texts)
    session.info[_COMMITTED] = change_seq


def committed_seq(session: Session) -> int | None:
    """Return the number of this transaction's changes; None if it changed nothing searchable."""
    seq = session.info.get(_COMMITTED)
    return int(seq) if seq is not None else None


def current_seq(session: Session) -> int:
    """Return the committed value of the counter."""
    return int(session.execute(_READ).scalar_one())

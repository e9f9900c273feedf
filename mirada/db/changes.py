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
from mirada.kernel.embeddings import SpaceKind

_TOUCHED = "mirada_touched_contents"
_TOUCHED_TEXTS = "mirada_touched_texts"
_BESIDE = "mirada_touched_beside"
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


def touch_beside(session: Session, space_id: int, kind: SpaceKind, ids: Iterable[int]) -> None:
    """Note contents, or texts, whose vectors in one space alone this transaction adds.

    Those in other spaces keep their numbers: their indexes have nothing to read.
    """
    beside = session.info.setdefault(_BESIDE, {})
    beside.setdefault((space_id, kind), set()).update(ids)


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
    beside = session.info.pop(_BESIDE, {})
    if not (session.info.pop(_NOTED, False) or contents or texts or beside):
        return
    session.flush()
    session.execute(_ADVANCE)
    change_seq = session.execute(_READ).scalar_one()
    _number(session, Embedding, contents, change_seq)
    _number(session, TextEmbedding, texts, change_seq)
    for (space_id, kind), ids in beside.items():
        entity = Embedding if kind is SpaceKind.IMAGE else TextEmbedding
        _number(session, entity, sorted(ids), change_seq, entity.space_id == space_id)
        (contents if kind is SpaceKind.IMAGE else texts).extend(ids)
    copy_touched(session, contents, texts)
    session.info[_COMMITTED] = change_seq


def _number(
    session: Session, entity: Any, touched: list[int], change_seq: int, *conditions: Any
) -> None:
    subject = Embedding.content_id if entity is Embedding else TextEmbedding.text_id
    for chunk in chunks(touched) if touched else ():
        session.execute(
            update(entity)
            .where(subject.in_(chunk), *conditions)
            .values(change_seq=change_seq)
            .execution_options(synchronize_session=False)
        )


def committed_seq(session: Session) -> int | None:
    """Return the number of this transaction's changes; None if it changed nothing searchable."""
    seq = session.info.get(_COMMITTED)
    return int(seq) if seq is not None else None


def current_seq(session: Session) -> int:
    """Return the committed value of the counter."""
    return int(session.execute(_READ).scalar_one())

"""Queries of a set and the images judged for them; who owns the set alone reads and writes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mirada.db.deadlocks import retried
from mirada.db.evaluation_models import EvaluationQuery, EvaluationSet
from mirada.db.idempotency import once
from mirada.db.models import utc_now
from mirada.evaluation.judged_queries import judgements_of
from mirada.evaluation.judgements import checked_judgements, write_judgements
from mirada.evaluation.kept_queries import KeptQuery, get_query, of_set, query_row
from mirada.evaluation.languages import checked_language
from mirada.evaluation.sets import locked_set, note_change
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.kernel.user_text import checked_text

MOST_QUERIES = 1_000
"""Of one set."""
MAX_TEXT_CHARS = 500
"""Of a query; encoders read about 80 tokens."""


@dataclass(frozen=True, slots=True)
class NewQuery:
    """A query as it is to be kept.

    Attributes:
        text: what is searched for.
        language: such as "pt"; None where it is not said.
        good: ids of images that belong among the results.
        bad: ids of images that do not.
        theme: the theme whose verdicts filled it; None for none.
    """

    text: str | None
    language: str | None = None
    good: Collection[int] = ()
    bad: Collection[int] = ()
    theme: str | None = None


@dataclass(frozen=True, slots=True)
class MadeQuery:
    """A new query; `was_replayed`: an earlier request with the same Idempotency-Key made it."""

    query: KeptQuery
    was_replayed: bool = False


def add_query(
    session: Session, set_id: int, owner_id: int, new: NewQuery, *, key: str | None = None
) -> MadeQuery:
    """Insert a query with its judged images.

    Args:
        session: a transaction.
        set_id: into which set.
        owner_id: who asks; people add to their own sets.
        new: the query.
        key: the request's Idempotency-Key.

    Raises:
        NotFound: there is no such set of theirs, or no such image that they may see.
        InvalidInput: the text or language cannot be one, an image is judged both ways, or the key is
            another request's.
        Conflict: the set has the same text in the same language, or as many queries as it may; or the
            key's query is gone since.
    """
    fields = {
        "text": new.text,
        "language": new.language,
        "good": sorted(set(new.good)),
        "bad": sorted(set(new.bad)),
    }
    request = once(owner_id, key, f"evaluation query of {set_id}", fields)
    row = locked_set(session, set_id, owner_id)
    earlier = request.earlier(session)
    if earlier is not None:
        try:
            return MadeQuery(get_query(session, set_id, earlier, owner_id), was_replayed=True)
        except NotFound as error:
            raise Conflict(
                "The query of this Idempotency-Key was deleted since. Send a new key to make it again."
            ) from error
    query_id = insert_query(session, row, new)
    request.keep(session, query_id)
    return MadeQuery(get_query(session, set_id, query_id, owner_id))


def insert_query(session: Session, row: EvaluationSet, new: NewQuery) -> int:
    """Insert a query into a locked set and return its id; raises as `add_query` does."""
    text, language = checked_query_text(new.text), checked_language(new.language)
    _refuse_more(session, row.id)
    _refuse_same(session, row.id, text, language)
    judged = checked_judgements(session, row.owner_id, new.good, new.bad)
    query = EvaluationQuery(set_id=row.id, text=text, language=language, theme=new.theme)
    session.add(query)
    session.flush()
    write_judgements(session, query.id, judged)
    note_change(row)
    session.flush()
    return query.id


def change_query(
    session: Session, set_id: int, query_id: int, owner_id: int, fields: Mapping[str, Any]
) -> KeptQuery:
    """Change what is named of a query: `text`, `language`, `good`, `bad`.

    A list takes the place of the former one, and of what was gone of it. The other list stays, but
    for images that this one has now.

    Raises:
        NotFound, InvalidInput, Conflict: as `add_query` does.
    """
    row = locked_set(session, set_id, owner_id)
    query = query_row(session, set_id, query_id)
    text = checked_query_text(fields["text"]) if "text" in fields else query.text
    language = checked_language(fields["language"]) if "language" in fields else query.language
    if (text, language) != (query.text, query.language):
        _refuse_same(session, set_id, text, language, but=query_id)
        query.text, query.language = text, language
    if "good" in fields or "bad" in fields:
        judged = judgements_of(session, [query_id])[query_id]
        sent = checked_judgements(
            session, owner_id, fields.get("good") or (), fields.get("bad") or ()
        )
        kept = {
            image: is_good
            for image, is_good in judged.items()
            if ("good" if is_good else "bad") not in fields
        }
        write_judgements(session, query_id, kept | sent, before=judged)
    query.updated_at = utc_now()
    note_change(row)
    session.flush()
    return get_query(session, set_id, query_id, owner_id)


def judge_image(
    session: Session,
    set_id: int,
    query_id: int,
    owner_id: int,
    image_id: int,
    is_good: bool | None,
) -> KeptQuery:
    """Judge one image for a query, or take its judgement back with None.

    Raises:
        NotFound: there is no such query of theirs, they see no such image, or it is not judged.
        InvalidInput: the query has as many judged images as it may.
    """
    row = locked_set(session, set_id, owner_id)
    query = query_row(session, set_id, query_id)
    sent = checked_judgements(session, owner_id, [image_id], [])
    judged = judgements_of(session, [query_id])[query_id]
    if is_good is None:
        if image_id not in judged:
            raise NotFound(f"There is no image {image_id}.")
        after = {image: verdict for image, verdict in judged.items() if image != image_id}
    else:
        after = judged | dict.fromkeys(sent, is_good)
    write_judgements(session, query_id, after, before=judged)
    query.updated_at = utc_now()
    note_change(row)
    session.flush()
    return get_query(session, set_id, query_id, owner_id)


def delete_query(session: Session, set_id: int, query_id: int, owner_id: int) -> None:
    """Delete a query with its judgements; raises NotFound."""
    row = locked_set(session, set_id, owner_id)
    session.delete(query_row(session, set_id, query_id))
    note_change(row)
    session.flush()


add = retried(add_query)
change = retried(change_query)
judge = retried(judge_image)
remove = retried(delete_query)


def checked_query_text(text: str | None) -> str:
    """Return a query's text with one blank between words.

    Raises:
        InvalidInput: it is blank, too long, or cannot be stored.
    """
    checked = checked_text("text", text)
    if checked is None:
        reason = "A query needs words."
    else:
        words = " ".join(checked.split())
        if len(words) <= MAX_TEXT_CHARS:
            return words
        reason = f"At most {MAX_TEXT_CHARS} characters; this has {len(words):,}."
    raise InvalidInput(reason, fields={"text": [reason]})


def _refuse_more(session: Session, set_id: int) -> None:
    count = select(func.count(EvaluationQuery.id)).where(EvaluationQuery.set_id == set_id)
    if session.execute(count).scalar_one() >= MOST_QUERIES:
        raise Conflict(
            f"The set has {MOST_QUERIES:,} queries, as many as one may have. Begin another set."
        )


def _refuse_same(
    session: Session, set_id: int, text: str, language: str | None, *, but: int | None = None
) -> None:
    # Compared here: in MySQL's usual collations "a" equals "A".
    same = [
        row.id
        for row in session.execute(of_set(set_id)).scalars()
        if (row.text, row.language) == (text, language) and row.id != but
    ]
    if same:
        raise Conflict(f"Query {same[0]} of this set has that text in that language; change it.")

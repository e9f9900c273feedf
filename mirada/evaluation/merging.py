"""Many queries put into a set at once: new ones are added, known ones get further judgements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy.orm import Session

from mirada.db.evaluation_models import EvaluationQuery, EvaluationSet
from mirada.db.models import utc_now
from mirada.evaluation.judged_queries import judgements_of
from mirada.evaluation.judgements import MOST_JUDGED, write_judgements
from mirada.evaluation.kept_queries import of_set
from mirada.evaluation.queries import MOST_QUERIES, NewQuery
from mirada.evaluation.sets import note_change
from mirada.kernel.errors import Conflict


class Outcome(StrEnum):
    """The fate of a query that is put into a set."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Merged:
    """A query that was put into a set.

    Attributes:
        query: as it was sent.
        query_id: of the set's query; None for one that would be created.
        outcome: what became of it.
    """

    query: NewQuery
    query_id: int | None
    outcome: Outcome


def merge_queries(
    session: Session,
    row: EvaluationSet | None,
    sent: Sequence[NewQuery],
    *,
    is_preview: bool = False,
) -> list[Merged]:
    """Put queries into a set. A known one keeps its judgements; on the images of the sent one its count.

    A query is known by its theme, else by its text and language.

    Args:
        session: a transaction, in which the set is locked; for reading where nothing is written.
        row: the set; None, with `is_preview` alone, for one that is still to be made.
        sent: checked queries of images that the set's owner sees, each text and language once.
        is_preview: write nothing.

    Raises:
        Conflict: the set, or a query, would get more than it may have.
    """
    known = [] if row is None else list(session.execute(of_set(row.id)).scalars())
    found = [_known(known, query) for query in sent]
    fresh = sum(each is None for each in found)
    if len(known) + fresh > MOST_QUERIES:
        raise Conflict(
            f"The set would have {len(known) + fresh:,} queries; it may have {MOST_QUERIES:,}."
        )
    judged = judgements_of(session, [each.id for each in found if each is not None])
    merged = []
    for query, old in zip(sent, found, strict=True):
        # Of two themes one may be this query's, and the other the text that it was given since.
        before = {} if old is None else judged[old.id]
        after = {**before, **dict.fromkeys(query.good, True), **dict.fromkeys(query.bad, False)}
        _refuse_many(query, after)
        outcome = _outcome(old, before, after)
        if old is not None:
            judged[old.id] = after
        if row is not None and not is_preview and outcome is not Outcome.UNCHANGED:
            old = old or _inserted(session, row, query)
            # A query that was known by its text is known by its theme from now on.
            old.theme = old.theme or query.theme
            old.updated_at = utc_now()
            write_judgements(session, old.id, after, before=before)
        merged.append(Merged(query, None if old is None else old.id, outcome))
    if row is not None and not is_preview:
        note_change(row)
        session.flush()
    return merged


def _known(known: Sequence[EvaluationQuery], query: NewQuery) -> EvaluationQuery | None:
    if query.theme is not None:
        for each in known:
            if each.theme == query.theme:
                return each
    for each in known:
        if (each.text, each.language) == (query.text, query.language):
            return each
    return None


def _outcome(
    old: EvaluationQuery | None, before: Mapping[int, bool], after: Mapping[int, bool]
) -> Outcome:
    if old is None:
        return Outcome.CREATED
    return Outcome.UNCHANGED if before == after else Outcome.CHANGED


def _inserted(session: Session, row: EvaluationSet, query: NewQuery) -> EvaluationQuery:
    new = EvaluationQuery(
        set_id=row.id, text=query.text, language=query.language, theme=query.theme
    )
    session.add(new)
    session.flush()
    return new


def _refuse_many(query: NewQuery, judged: Mapping[int, bool]) -> None:
    if len(judged) > MOST_JUDGED:
        raise Conflict(
            f"The query '{query.text}' would have {len(judged)} judged images; it may have "
            f"{MOST_JUDGED}."
        )

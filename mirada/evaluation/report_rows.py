"""Reports as they are kept: the figures of a set in one space, with their date, so that one sees a trend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session, defer

from mirada.db.deadlocks import retried
from mirada.db.evaluation_models import EvaluationReport
from mirada.db.models import utc_now
from mirada.db.pages import newest_first
from mirada.evaluation.evaluating import Evaluation
from mirada.evaluation.figures import Figures, mean_change
from mirada.evaluation.judged_queries import JudgedQuery
from mirada.evaluation.sets import get_set, locked_set
from mirada.kernel.errors import NotFound
from mirada.kernel.ids import in_range
from mirada.kernel.intervals import Estimate

MOST_REPORTS = 200
"""Of one set; the oldest goes when another one is made."""


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A report as its owner sees it.

    Attributes:
        id: of the report.
        set_id: of its set.
        space: name of the space that was measured.
        model: its encoder and weights.
        job_id: the job that makes it, or made it; None where none was needed.
        figures: as `figures_as_json` returns them; None until it is finished, and where it failed.
        of_queries: as `queries_as_json` returns them; None likewise, and in lists.
        failure: why there are no figures; None where there are, or will be.
        created_at: when it was asked for.
        finished_at: when it was finished; None until then.
    """

    id: int
    set_id: int
    space: str
    model: str
    job_id: int | None
    figures: Mapping[str, Any] | None
    of_queries: Sequence[Mapping[str, Any]] | None
    failure: str | None
    created_at: datetime
    finished_at: datetime | None


def begin_report(session: Session, set_id: int, space_id: int, space: str, model: str) -> int:
    """Insert an unfinished report into a locked set and return its id; the oldest ones go."""
    row = EvaluationReport(set_id=set_id, space_id=space_id, space_name=space, model=model)
    session.add(row)
    session.flush()
    kept = select(EvaluationReport.id).where(EvaluationReport.set_id == set_id)
    old = session.execute(kept.order_by(EvaluationReport.id.desc()).offset(MOST_REPORTS)).scalars()
    # Read first: MySQL does not delete from a table that it reads with an OFFSET.
    session.execute(
        delete(EvaluationReport)
        .where(EvaluationReport.id.in_(list(old)))
        .execution_options(synchronize_session=False)
    )
    return row.id


def unfinished_report(session: Session, set_id: int, space_id: int) -> int | None:
    """Return the newest report of a set in a space that is being made; None for none."""
    query = select(EvaluationReport.id).where(
        EvaluationReport.set_id == set_id,
        EvaluationReport.space_id == space_id,
        EvaluationReport.finished_at.is_(None),
    )
    return session.execute(query.order_by(EvaluationReport.id.desc()).limit(1)).scalar_one_or_none()


def finish_report(
    session: Session, report_id: int, found: Evaluation, queries: Sequence[JudgedQuery]
) -> None:
    """Keep the figures; a report that was deleted meanwhile stays deleted."""
    row = session.get(EvaluationReport, report_id, with_for_update=True)
    if row is not None:
        row.figures, row.of_queries = figures_as_json(found), queries_as_json(found, queries)
        row.failure, row.finished_at = None, utc_now()
        session.flush()


def give_up_report(session: Session, report_id: int, reason: str) -> None:
    """Keep why there will be no figures."""
    row = session.get(EvaluationReport, report_id, with_for_update=True)
    if row is not None:
        row.failure, row.finished_at = reason, utc_now()


def reopen_report(session: Session, report_id: int) -> None:
    """Let a report be made once more."""
    row = session.get(EvaluationReport, report_id, with_for_update=True)
    if row is not None:
        row.failure = row.finished_at = None


def lock_report(session: Session, report_id: int) -> None:
    """Lock a report's row before that of its job."""
    session.get(EvaluationReport, report_id, with_for_update=True)


def list_reports(
    session: Session,
    set_id: int,
    owner_id: int,
    *,
    cursor: int | None = None,
    limit: int = 50,
) -> list[KeptReport]:
    """Return the reports of a person's set, newest first, without the figures of each query.

    Args:
        session: for reading.
        set_id: which set.
        owner_id: who asks.
        cursor: the id of the last report of the page before; None for the first page.
        limit: >= 1.

    Raises:
        NotFound: there is no such set of theirs.
    """
    get_set(session, set_id, owner_id)
    query = _of_set(set_id).options(defer(EvaluationReport.of_queries))
    rows = session.execute(newest_first(query, EvaluationReport.id, cursor, limit)).scalars()
    return [_kept(row, None) for row in rows]


def get_report(session: Session, set_id: int, report_id: int, owner_id: int) -> KeptReport:
    """Return a report of a person's set. Raises NotFound for anything else."""
    get_set(session, set_id, owner_id)
    row = _row(session, set_id, report_id)
    return _kept(row, row.of_queries)


@dataclass(frozen=True, slots=True)
class Change:
    """The change from an older report of a set to another one, over the queries that both measured.

    Attributes:
        queries: how many.
        recall: mean change of recall@10, in [-1, 1].
        ndcg: of nDCG@10.
    """

    queries: int
    recall: Estimate
    ndcg: Estimate


def change_between(before: KeptReport, after: KeptReport) -> Change | None:
    """Return the change from one report to another, query by query; None where they share none.

    Judgements that were changed between the two have a part in it.

    Args:
        before: with the figures of its queries.
        after: likewise.
    """
    old = {each["query_id"]: each for each in before.of_queries or ()}
    pairs = [
        (old[each["query_id"]], each) for each in after.of_queries or () if each["query_id"] in old
    ]
    if not pairs:
        return None
    recall, ndcg = (
        mean_change((one[name], other[name]) for one, other in pairs)
        for name in ("recall_at_10", "ndcg_at_10")
    )
    return Change(len(pairs), recall, ndcg)


def report_before(session: Session, report: KeptReport) -> KeptReport | None:
    """Return the newest finished report of the same set that is older; None for the first."""
    query = _of_set(report.set_id).where(
        EvaluationReport.id < report.id, EvaluationReport.figures.is_not(None)
    )
    row = session.execute(query.order_by(EvaluationReport.id.desc()).limit(1)).scalar_one_or_none()
    return None if row is None else _kept(row, row.of_queries)


def delete_report(session: Session, set_id: int, report_id: int, owner_id: int) -> None:
    """Delete a report of a person's set; raises NotFound."""
    locked_set(session, set_id, owner_id)
    session.delete(_row(session, set_id, report_id))
    session.flush()


remove = retried(delete_report)


def figures_as_json(found: Evaluation) -> dict[str, Any]:
    """Return counts and means as JSON values."""
    return {
        "counted": asdict(found.counted),
        "overall": None if found.overall is None else means_as_json(found.overall),
        "languages": [
            {"language": language, **means_as_json(figures)}
            for language, figures in found.languages.items()
        ],
    }


def means_as_json(figures: Figures) -> dict[str, Any]:
    """Return means with their intervals as JSON values."""
    of_judged = figures.ndcg_of_judged
    return {
        "queries": figures.queries,
        "recall_at_10": asdict(figures.recall),
        "ndcg_at_10": asdict(figures.ndcg),
        "ndcg_at_10_of_judged": None if of_judged is None else asdict(of_judged),
        "bad_share": figures.bad_share,
        "judged_share": figures.judged_share,
    }


def queries_as_json(found: Evaluation, queries: Sequence[JudgedQuery]) -> list[dict[str, Any]]:
    """Return the figures of each query that counts, those that went worst first."""
    by_id = {query.id: query for query in queries}
    worst_first = sorted(found.queries.items(), key=lambda each: (each[1].ndcg, each[0]))
    return [
        {
            "query_id": query_id,
            "text": by_id[query_id].text,
            "language": by_id[query_id].language,
            "recall_at_10": figures.recall,
            "ndcg_at_10": figures.ndcg,
            "ndcg_at_10_of_judged": figures.ndcg_of_judged,
            "good": figures.good,
            "bad": figures.bad,
            "good_shown": figures.good_shown,
            "bad_shown": figures.bad_shown,
        }
        for query_id, figures in worst_first
    ]


def _of_set(set_id: int) -> Select[EvaluationReport]:
    return select(EvaluationReport).where(EvaluationReport.set_id == set_id)


def _row(session: Session, set_id: int, report_id: int) -> EvaluationReport:
    query = _of_set(set_id).where(EvaluationReport.id == in_range(report_id))
    row = session.execute(query).scalar_one_or_none()
    if row is None:
        raise NotFound(f"There is no report {report_id} of this set.")
    return row


def _kept(row: EvaluationReport, of_queries: Sequence[Mapping[str, Any]] | None) -> KeptReport:
    return KeptReport(
        row.id,
        row.set_id,
        row.space_name,
        row.model,
        row.job_id,
        row.figures,
        of_queries,
        row.failure,
        row.created_at,
        row.finished_at,
    )

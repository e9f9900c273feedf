"""The job that measures a large set. Running it twice writes the same figures again."""

from __future__ import annotations

from mirada.background import giving_way
from mirada.db.evaluation_models import EvaluationReport
from mirada.evaluation.evaluating import evaluate
from mirada.evaluation.in_use import measured_in_use
from mirada.evaluation.judged_queries import judged_queries
from mirada.evaluation.report_rows import finish_report, give_up_report, lock_report, reopen_report
from mirada.evaluation.reports import EVALUATE_SET
from mirada.jobs import attempts
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy, SubjectRules
from mirada.runtime import Runtime


def evaluate_set(runtime: Runtime, attempt: Attempt) -> None:
    """Measure the set of the job's report; nothing is left to do for one that was deleted."""
    report_id = attempt.job.subject_id
    assert report_id is not None
    with runtime.reading() as session:
        row = session.get(EvaluationReport, report_id)
        queries = [] if row is None else judged_queries(session, row.set_id)
    if row is None:
        attempts.finish_alone(runtime, attempt)
        return
    measured = measured_in_use(runtime, str(row.space_id))
    # It reads every vector, and people search meanwhile.
    found = giving_way(lambda: evaluate(runtime, measured, queries, attempt.report))
    with runtime.transaction() as session:
        finish_report(session, report_id, found, queries)
        attempts.finish(session, attempt.job.id, attempt.token)


KIND = Kind(
    EVALUATE_SET,
    evaluate_set,
    RetryPolicy(max_attempts=3),
    title="Measure models on judged queries",
    subject_rules=SubjectRules(lock=lock_report, give_up=give_up_report, retry=reopen_report),
)

"""Reports of evaluation sets, kept so that one sees a trend; on the blueprint of the sets."""

from __future__ import annotations

from typing import Any

from mirada.evaluation import report_rows, reports
from webapp.api.evaluations import blueprint
from webapp.callers.auth import require_user
from webapp.http.creations import idempotency_key, made, made_headers, once_parameters
from webapp.http.current import current_runtime, request_id
from webapp.http.paging import Listed, PageQuery
from webapp.schemas.evaluation_reports import (
    REPORT_EXAMPLE,
    UNFINISHED_EXAMPLE,
    WHOLE_REPORT_EXAMPLE,
    EvaluationReportPageSchema,
    EvaluationReportQuerySchema,
    NewEvaluationReportSchema,
    WholeEvaluationReportSchema,
    report_body,
    whole_report_body,
)

MADE_HEADERS = made_headers("Where the report is.", "asked for the report")


@blueprint.get("/<id:evaluation_id>/reports")
@blueprint.pages(
    "listEvaluationReports",
    "List the reports of a set, newest first",
    EvaluationReportPageSchema,
    example=REPORT_EXAMPLE,
    refusals=(404,),
)
def list_evaluation_reports(query: PageQuery, evaluation_id: int) -> Listed[Any]:
    """Of one of the caller's own sets, of every model that was measured; the last 200 are kept."""
    user = require_user()
    with current_runtime().reading() as session:
        found = report_rows.list_reports(session, evaluation_id, user.id, **query.bounds)
    return Listed(found, report_body)


@blueprint.post("/<id:evaluation_id>/reports")
@blueprint.operation(
    "makeEvaluationReport",
    "Measure how well a model finds what a set asks for",
    refusals=(400, 404, 409, 415, 422),
    parameters=once_parameters("one key makes one report"),
)
@blueprint.arguments(NewEvaluationReportSchema, example={"space": "image"})
@blueprint.alt_response(
    202,
    schema=WholeEvaluationReportSchema,
    description="The set is large: a job makes the report. Ask for its address again, or follow the "
    "job, which tells how far it is.",
    example=UNFINISHED_EXAMPLE,
    headers=MADE_HEADERS,
)
@blueprint.response(
    201, WholeEvaluationReportSchema, example=WHOLE_REPORT_EXAMPLE, headers=MADE_HEADERS
)
def make_evaluation_report(fields: dict[str, Any], evaluation_id: int) -> Any:
    """Every picture that the caller sees is compared with every query; no index has a say.

    recall@10 and nDCG@10 are told over all queries and for each language, with intervals of 95 %. A
    set that is being measured already gives the report of that.
    """
    user, runtime = require_user(), current_runtime()
    asked = reports.ask_report(
        runtime,
        evaluation_id,
        user.id,
        fields["space"],
        key=idempotency_key(),
        request_id=request_id(),
    )
    if asked.job_to_ring is not None:
        runtime.doorbell.ring(asked.job_to_ring, reports.EVALUATE_SET)
    with runtime.reading() as session:
        body = whole_report_body(asked.report, report_rows.report_before(session, asked.report))
    status = 202 if asked.report.finished_at is None else 201
    return made(body, was_replayed=asked.was_replayed, status=status)


@blueprint.get("/<id:evaluation_id>/reports/<id:report_id>")
@blueprint.operation("getEvaluationReport", "Read a report of a set", refusals=(404,))
@blueprint.arguments(EvaluationReportQuerySchema, location="query")
@blueprint.response(200, WholeEvaluationReportSchema, example=WHOLE_REPORT_EXAMPLE)
def get_evaluation_report(query: dict[str, Any], evaluation_id: int, report_id: int) -> Any:
    """With the figures of each query, and the change since another report of the set."""
    user = require_user()
    with current_runtime().reading() as session:
        report = report_rows.get_report(session, evaluation_id, report_id, user.id)
        before = (
            report_rows.get_report(session, evaluation_id, query["against"], user.id)
            if "against" in query
            else report_rows.report_before(session, report)
        )
        return whole_report_body(report, before)


@blueprint.delete("/<id:evaluation_id>/reports/<id:report_id>")
@blueprint.operation("deleteEvaluationReport", "Delete a report of a set", refusals=(404,))
@blueprint.response(204)
def delete_evaluation_report(evaluation_id: int, report_id: int) -> None:
    """The set stays as it is."""
    user = require_user()
    report_rows.remove(current_runtime().database, evaluation_id, report_id, user.id)

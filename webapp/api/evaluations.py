"""Evaluations: sets of queries with good and bad images; reports of how well a model finds them."""

from __future__ import annotations

from typing import Any

from mirada.evaluation import from_feedback, kept_queries, queries, sets
from webapp.callers.auth import require_user
from webapp.http.creations import idempotency_key, made, made_headers, once_parameters
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import ApiBlueprint
from webapp.schemas.evaluations import (
    FILLED_EXAMPLE,
    NEW_QUERY_EXAMPLE,
    QUERY_EXAMPLE,
    SET_EXAMPLE,
    EvaluationFillingSchema,
    EvaluationJudgementSchema,
    EvaluationPageSchema,
    EvaluationQueryChangeSchema,
    EvaluationQueryPageSchema,
    EvaluationQuerySchema,
    EvaluationSchema,
    FilledEvaluationSchema,
    NewEvaluationQuerySchema,
    NewEvaluationSchema,
    filled_body,
    query_body,
    set_body,
)

blueprint = ApiBlueprint(
    "evaluations",
    __name__,
    url_prefix="/api/v1/evaluations",
    description="How well a model finds what you judged to be right",
)


@blueprint.get("")
@blueprint.pages(
    "listEvaluations",
    "List evaluation sets, newest first",
    EvaluationPageSchema,
    example=SET_EXAMPLE,
)
def list_evaluations(query: PageQuery) -> Listed[Any]:
    """The caller's own; nobody else's are told to anybody."""
    user = require_user()
    with current_runtime().reading() as session:
        return Listed(sets.list_sets(session, user.id, **query.bounds), set_body)


@blueprint.post("")
@blueprint.operation(
    "createEvaluation",
    "Create an evaluation set",
    refusals=(400, 409, 413, 415, 422),
    parameters=once_parameters("one key makes one set"),
)
@blueprint.arguments(NewEvaluationSchema, example={"name": SET_EXAMPLE["name"]})
@blueprint.response(
    201,
    EvaluationSchema,
    example=SET_EXAMPLE | {"query_count": 0},
    headers=made_headers("Where the set is.", "made the set"),
)
def create_evaluation(fields: dict[str, Any]) -> Any:
    """Empty; one person may have 50, each with 1,000 queries."""
    user = require_user()
    new = sets.make(current_runtime().database, user.id, fields["name"], key=idempotency_key())
    return made(set_body(new.set), was_replayed=new.was_replayed)


@blueprint.get("/<id:evaluation_id>")
@blueprint.operation("getEvaluation", "Read an evaluation set", refusals=(404,))
@blueprint.response(200, EvaluationSchema, example=SET_EXAMPLE)
def get_evaluation(evaluation_id: int) -> Any:
    """One of the caller's own."""
    user = require_user()
    with current_runtime().reading() as session:
        return set_body(sets.get_set(session, evaluation_id, user.id))


@blueprint.patch("/<id:evaluation_id>")
@blueprint.operation(
    "changeEvaluation", "Rename an evaluation set", refusals=(400, 404, 409, 415, 422)
)
@blueprint.arguments(NewEvaluationSchema, example={"name": SET_EXAMPLE["name"]})
@blueprint.response(200, EvaluationSchema, example=SET_EXAMPLE)
def change_evaluation(fields: dict[str, Any], evaluation_id: int) -> Any:
    """One of the caller's own."""
    user = require_user()
    return set_body(sets.rename(current_runtime().database, evaluation_id, user.id, fields["name"]))


@blueprint.delete("/<id:evaluation_id>")
@blueprint.operation("deleteEvaluation", "Delete an evaluation set", refusals=(404,))
@blueprint.response(204)
def delete_evaluation(evaluation_id: int) -> None:
    """With its queries and reports."""
    user = require_user()
    sets.remove(current_runtime().database, evaluation_id, user.id)


@blueprint.post("/<id:evaluation_id>/feedback")
@blueprint.operation(
    "fillEvaluation",
    "Fill an evaluation set from your verdicts",
    refusals=(400, 404, 409, 415, 422),
)
@blueprint.arguments(EvaluationFillingSchema, example={"language": "en", "preview": True})
@blueprint.response(200, FilledEvaluationSchema, example=FILLED_EXAMPLE)
def fill_evaluation(fields: dict[str, Any], evaluation_id: int) -> Any:
    """Each theme that you judged becomes a query: what you accepted is good, what you rejected bad.

    With `preview` nothing is written. Filled again, a query gets what you judged since; judgements
    that were made in the set itself stay. Others' verdicts do not count.
    """
    user = require_user()
    filled = from_feedback.fill(
        current_runtime().database,
        evaluation_id,
        user.id,
        themes=fields["themes"],
        language=fields["language"],
        is_preview=fields["preview"],
    )
    return filled_body(filled, is_preview=fields["preview"])


@blueprint.get("/<id:evaluation_id>/queries")
@blueprint.pages(
    "listEvaluationQueries",
    "List the queries of a set, newest first",
    EvaluationQueryPageSchema,
    example=QUERY_EXAMPLE,
    refusals=(404,),
)
def list_evaluation_queries(query: PageQuery, evaluation_id: int) -> Listed[Any]:
    """Of one of the caller's own sets, with the judged images that the caller sees now."""
    user = require_user()
    with current_runtime().reading() as session:
        found = kept_queries.list_queries(session, evaluation_id, user.id, **query.bounds)
    return Listed(found, query_body)


@blueprint.post("/<id:evaluation_id>/queries")
@blueprint.operation(
    "addEvaluationQuery",
    "Add a query to a set",
    refusals=(400, 404, 409, 413, 415, 422),
    parameters=once_parameters("one key adds one query"),
)
@blueprint.arguments(NewEvaluationQuerySchema, example=NEW_QUERY_EXAMPLE)
@blueprint.response(
    201,
    EvaluationQuerySchema,
    example=QUERY_EXAMPLE,
    headers=made_headers("Where the query is.", "added the query"),
)
def add_evaluation_query(fields: dict[str, Any], evaluation_id: int) -> Any:
    """With images that the caller may see. It counts in reports once one of them is good."""
    user = require_user()
    new = queries.NewQuery(
        fields["text"],
        fields.get("language"),
        fields.get("good", ()),
        fields.get("bad", ()),
    )
    added = queries.add(
        current_runtime().database, evaluation_id, user.id, new, key=idempotency_key()
    )
    return made(query_body(added.query), was_replayed=added.was_replayed)


@blueprint.get("/<id:evaluation_id>/queries/<id:query_id>")
@blueprint.operation("getEvaluationQuery", "Read a query of a set", refusals=(404,))
@blueprint.response(200, EvaluationQuerySchema, example=QUERY_EXAMPLE)
def get_evaluation_query(evaluation_id: int, query_id: int) -> Any:
    """Of one of the caller's own sets."""
    user = require_user()
    with current_runtime().reading() as session:
        return query_body(kept_queries.get_query(session, evaluation_id, query_id, user.id))


@blueprint.patch("/<id:evaluation_id>/queries/<id:query_id>")
@blueprint.operation(
    "changeEvaluationQuery", "Change a query of a set", refusals=(400, 404, 409, 415, 422)
)
@blueprint.arguments(EvaluationQueryChangeSchema, example={"good": [17, 21, 30]})
@blueprint.response(200, EvaluationQuerySchema, example=QUERY_EXAMPLE | {"good": [17, 21, 30]})
def change_evaluation_query(fields: dict[str, Any], evaluation_id: int, query_id: int) -> Any:
    """A list takes the place of the former one, and of what is gone of it."""
    user = require_user()
    return query_body(
        queries.change(current_runtime().database, evaluation_id, query_id, user.id, fields)
    )


@blueprint.delete("/<id:evaluation_id>/queries/<id:query_id>")
@blueprint.operation("deleteEvaluationQuery", "Delete a query of a set", refusals=(404,))
@blueprint.response(204)
def delete_evaluation_query(evaluation_id: int, query_id: int) -> None:
    """Reports that were made keep its text and figures."""
    user = require_user()
    queries.remove(current_runtime().database, evaluation_id, query_id, user.id)


@blueprint.put("/<id:evaluation_id>/queries/<id:query_id>/images/<id:image_id>")
@blueprint.operation(
    "judgeEvaluationImage", "Judge an image for a query", refusals=(400, 404, 415, 422)
)
@blueprint.arguments(EvaluationJudgementSchema, example={"is_good": True})
@blueprint.response(200, EvaluationQuerySchema, example=QUERY_EXAMPLE)
def judge_evaluation_image(
    fields: dict[str, Any], evaluation_id: int, query_id: int, image_id: int
) -> Any:
    """Good or bad, in place of what was said of it before; such as while looking at results."""
    user = require_user()
    return query_body(
        queries.judge(
            current_runtime().database,
            evaluation_id,
            query_id,
            user.id,
            image_id,
            fields["is_good"],
        )
    )


@blueprint.delete("/<id:evaluation_id>/queries/<id:query_id>/images/<id:image_id>")
@blueprint.operation("forgetEvaluationImage", "Take a judgement of an image back", refusals=(404,))
@blueprint.response(204)
def forget_evaluation_image(evaluation_id: int, query_id: int, image_id: int) -> None:
    """The image counts as not judged again."""
    user = require_user()
    queries.judge(current_runtime().database, evaluation_id, query_id, user.id, image_id, None)

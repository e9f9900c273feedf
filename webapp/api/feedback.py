"""Verdicts on pictures: give, list and take them back; and reports of what they taught of a theme."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Response, jsonify

from mirada.classify.theme_reports import theme_report
from mirada.classify.verdict_effect import effect_of
from mirada.embedding.interactive import interactive_encoder
from mirada.feedback import foreseeing, theme_verdicts, verdicts
from mirada.feedback.opinions import Change
from mirada.kernel.audience import Audience
from mirada.kernel.errors import NotFound
from webapp.callers.auth import current_caller, require_user
from webapp.http.creations import idempotency_key, made, made_headers, once_parameters
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import ApiBlueprint
from webapp.schemas.effects import EFFECT_EXAMPLE, UndoneSchema, effect_body
from webapp.schemas.feedback import (
    FEEDBACK_EXAMPLE,
    NEW_FEEDBACK_EXAMPLE,
    REPORTED_VERDICT_EXAMPLE,
    THEME_EXAMPLE,
    THEME_REPORT_EXAMPLE,
    FeedbackListQuerySchema,
    FeedbackSchema,
    JudgedThemeSchema,
    NewFeedbackSchema,
    ThemeReportSchema,
    feedback_body,
    given_body,
    judged_theme_body,
    reported_verdict_body,
    theme_report_body,
)
from webapp.schemas.replies import page_of
from webapp.schemas.verdicts import (
    GIVEN_FEEDBACK_EXAMPLE,
    FeedbackQuerySchema,
    ForeseenFeedbackSchema,
    GivenFeedbackSchema,
    UndoingQuerySchema,
    foreseen_body,
)

blueprint = ApiBlueprint(
    "feedback",
    __name__,
    url_prefix="/api/v1/feedback",
    description="What people say belongs to a theme, and what was learned from it",
)
_GIVEN_HEADERS = made_headers("Where the verdict is.", "gave the verdict")


@blueprint.get("")
@blueprint.pages(
    "listFeedback",
    "List your verdicts, newest first",
    page_of(FeedbackSchema),
    query=FeedbackListQuerySchema,
    example=FEEDBACK_EXAMPLE,
)
def list_feedback(query: PageQuery) -> Listed[Any]:
    """The caller's own; nobody else's are listed to anybody."""
    user = require_user()
    with current_runtime().reading() as session:
        return Listed(
            verdicts.list_feedback(session, user.id, theme=query.filters["theme"], **query.bounds),
            feedback_body,
        )


@blueprint.post("")
@blueprint.operation(
    "giveFeedback",
    "Say whether a picture belongs to a theme",
    refusals=(400, 404, 409, 413, 415, 422),
    parameters=once_parameters("a late repetition then undoes no later change"),
)
@blueprint.arguments(FeedbackQuerySchema, location="query")
@blueprint.arguments(NewFeedbackSchema, location="json", example=NEW_FEEDBACK_EXAMPLE)
@blueprint.alt_response(
    200,
    schema=ForeseenFeedbackSchema,
    description="You had given a verdict before and this one stands in its place; or a dry run.",
    example=GIVEN_FEEDBACK_EXAMPLE | {"outcome": "replaced"},
    headers=_GIVEN_HEADERS,
)
@blueprint.response(
    201, GivenFeedbackSchema, example=GIVEN_FEEDBACK_EXAMPLE, headers=_GIVEN_HEADERS
)
def give_feedback(query: dict[str, Any], fields: dict[str, Any]) -> Any:
    """About a picture you may see or had classified. It counts in everybody's classifications.

    The same verdict again counts once; another one replaces it. `effect` tells what it changes, of
    this picture and of those like it that you may see; `dry_run` tells it before, and writes nothing.
    """
    if query["dry_run"]:
        foreseen = _foreseen_by_caller(fields)
        return foreseen_body(foreseen) | _effect(foreseen.change), 200
    given = given_by_caller(fields, idempotency_key())
    status = 201 if given.outcome is verdicts.Outcome.CREATED else 200
    body = given_body(given) | _effect(given.change)
    return made(body, was_replayed=given.was_replayed, status=status)


@blueprint.get("/<id:feedback_id>")
@blueprint.operation("getFeedback", "Read one of your verdicts", refusals=(404,))
@blueprint.response(200, FeedbackSchema, example=FEEDBACK_EXAMPLE)
def get_feedback(feedback_id: int) -> Any:
    """As it stands."""
    user = require_user()
    with current_runtime().reading() as session:
        return feedback_body(verdicts.get_feedback(session, feedback_id, user.id))


@blueprint.delete("/<id:feedback_id>")
@blueprint.operation("deleteFeedback", "Take a verdict back", refusals=(404,))
@blueprint.arguments(UndoingQuerySchema, location="query")
@blueprint.alt_response(
    200,
    schema=UndoneSchema,
    description="It is taken back, or with `dry_run` would be; this is what that changes.",
    example={"effect": EFFECT_EXAMPLE},
)
@blueprint.response(204, description="It is taken back.")
def delete_feedback(query: dict[str, Any], feedback_id: int) -> Any:
    """Scores are what they were before it. An administrator may take back anybody's.

    The effect is told of your own verdicts alone; of others' it is null.
    """
    user, change = require_user(), None
    if query["dry_run"] or query["effect"]:
        with current_runtime().reading() as session, suppress(NotFound):
            change = foreseeing.foresee_undoing(session, feedback_id, user.id)
    if query["dry_run"]:
        if change is None:
            raise NotFound(f"There is no verdict {feedback_id}, or it is not yours.")
        return jsonify(UndoneSchema().dump(_effect(change)))
    with current_runtime().transaction() as session:
        verdicts.delete_feedback(
            session,
            feedback_id,
            user.id,
            is_administrator=current_caller().is_administrator,
        )
    if not query["effect"]:
        return Response(status=204)
    return jsonify(UndoneSchema().dump({"effect": None} if change is None else _effect(change)))


@blueprint.get("/themes")
@blueprint.pages(
    "listThemes",
    "List themes that were judged",
    page_of(JudgedThemeSchema),
    example=THEME_EXAMPLE,
)
def list_themes(query: PageQuery) -> Listed[Any]:
    """Those that the caller judged, or of which a public picture was judged.

    The counts are of these verdicts; nothing tells of others' on private pictures.
    """
    user = require_user()
    with current_runtime().reading() as session:
        found = theme_verdicts.list_themes(session, Audience(user.id), **query.bounds)
    return Listed(
        found,
        lambda theme: judged_theme_body(theme.theme, theme.counts),
        lambda theme: theme.newest_id,
    )


@blueprint.get("/themes/<path:theme>")
@blueprint.pages(
    "getTheme",
    "Read what was learned of a theme, and from what",
    ThemeReportSchema,
    example=REPORTED_VERDICT_EXAMPLE,
    beside=THEME_REPORT_EXAMPLE,
)
def get_theme(query: PageQuery, theme: str) -> Listed[Any]:
    """The caller's verdicts and those on public pictures, newest first, each with what it does.

    Others' verdicts on private pictures move the scores too and are not told. A theme that
    nobody judged has an empty report.
    """
    user, runtime = require_user(), current_runtime()
    encoder = interactive_encoder(runtime) if runtime.settings.embeddings_enabled else None
    report = theme_report(runtime, encoder, theme, Audience(user.id), **query.bounds)
    return Listed(
        report.verdicts,
        lambda verdict: reported_verdict_body(verdict, user.id),
        lambda verdict: verdict.feedback.id,
        theme_report_body(report),
    )


def _effect(change: Change) -> dict[str, Any]:
    """Return the field of a reply that tells the effect of a change of the caller's opinion."""
    found = effect_of(current_runtime(), change, current_caller().audience)
    return {"effect": effect_body(found)}


def _foreseen_by_caller(fields: dict[str, Any]) -> foreseeing.Foreseen:
    user = require_user()
    with current_runtime().reading() as session:
        return foreseeing.foresee_feedback(
            session,
            user_id=user.id,
            sha256=fields["image_hash"],
            theme=fields["theme"],
            accepted=fields["accepted"],
            asset_id=fields["asset_id"],
        )


def given_by_caller(fields: dict[str, Any], idempotency_key: str | None = None) -> verdicts.Given:
    """Keep the caller's verdict of a `NewFeedbackSchema`; raises as `give_feedback` does."""
    user = require_user()
    with current_runtime().transaction() as session:
        return verdicts.give_feedback(
            session,
            user_id=user.id,
            sha256=fields["image_hash"],
            theme=fields["theme"],
            accepted=fields["accepted"],
            asset_id=fields["asset_id"],
            idempotency_key=idempotency_key,
        )

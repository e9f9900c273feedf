"""What the forms of an image's page do: each answers with its section for a script, else leads back.

A form that is refused is shown again with what was typed, and with the reason in a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Response, redirect, request, url_for
from flask_babel import gettext
from werkzeug.exceptions import BadRequest

from mirada.feedback import foreseeing, verdicts
from mirada.kernel.errors import InvalidInput, MiradaError, PreconditionFailed
from mirada.pictures import comments, images, likes
from mirada.pictures.text_jobs import queue_text_jobs
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime, request_id
from webapp.http.errors import status_of
from webapp.pages.image_address import ImagePage, page_of_request
from webapp.pages.image_labels import told
from webapp.pages.image_view import NOTHING, After, shown
from webapp.pages.shell import is_fragment

Reply = Any


def like(image_id: int) -> Reply:
    """Like it, or take that back."""
    user, asked, database = require_user(), page_of_request(image_id), current_runtime().database
    act = likes.give_like if _switch("liked") else likes.take_like_back
    act(database, image_id, user.id)
    return done(asked, "head")


def show_to(image_id: int) -> Reply:
    """Show it to everybody, or to its owner alone."""
    asked = page_of_request(image_id)
    # What is wanted is said whole, so it is no mistake whatever another tab did.
    _change(image_id, {"is_public": _switch("is_public")}, None)
    return done(asked, "head")


def hide(image_id: int) -> Reply:
    """Make somebody else's public picture private, with a reason for them. For administrators."""
    reason = field("reason").strip()
    _change(image_id, {"is_public": False} | ({"reason": reason} if reason else {}), None)
    # Whoever hid it does not see it any more.
    return redirect(url_for("pages.explore"), 303)


def rename(image_id: int) -> Reply:
    """Give it another caption; refused where it was changed in another tab meanwhile."""
    told_so = gettext(
        "This picture was changed meanwhile, perhaps in another tab. What you wrote is still here: "
        "save it again to put it in place of the title above."
    )
    return _write(image_id, "caption", "head", told_so)


def reprompt(image_id: int) -> Reply:
    """Give it another prompt; refused where it was changed in another tab meanwhile."""
    told_so = gettext(
        "This picture was changed meanwhile, perhaps in another tab. What you wrote is still here: "
        "save it again to put it in place of the prompt above."
    )
    return _write(image_id, "prompt", "made", told_so)


def _write(image_id: int, name: str, section: str, told_so: str) -> Reply:
    """Change a text of a picture; `told_so` is said where another version is there by now."""
    asked, text = page_of_request(image_id), field(name)
    try:
        _change(image_id, {name: text.strip() or None}, number("version"))
    except PreconditionFailed as error:
        return refused(asked, error, {name: text}, told_so)
    except InvalidInput as error:
        return refused(asked, error, {name: text})
    return done(asked, section)


def judge(image_id: int) -> Reply:
    """Say whether a label is right."""
    user, asked, runtime = require_user(), page_of_request(image_id), current_runtime()
    theme, accepted = field("theme"), _switch("accepted")
    with runtime.reading() as session:
        sha256 = images.get_image(session, image_id, current_caller().audience).content.sha256
    with runtime.transaction() as session:
        given = verdicts.give_feedback(
            session, user_id=user.id, sha256=sha256, theme=theme, accepted=accepted
        )
    change, verdict_id = given.change, given.feedback.id
    if not is_fragment():
        was = None if change.before is None else int(change.before)
        return _back(asked, "labels", verdict=verdict_id, was=was)
    return shown(asked, After(told=told(change, verdict_id)))


def take_back(image_id: int) -> Reply:
    """Take one's verdict on a label back."""
    user, asked, runtime = require_user(), page_of_request(image_id), current_runtime()
    verdict_id = number("verdict")
    with runtime.reading() as session:
        change = foreseeing.foresee_undoing(session, verdict_id, user.id)
    with runtime.transaction() as session:
        verdicts.delete_feedback(session, verdict_id, user.id)
    if not is_fragment():
        return _back(asked, "labels")
    return shown(asked, After(told=told(change, None)))


def comment(image_id: int) -> Reply:
    """Write a comment."""
    user, asked, text = require_user(), page_of_request(image_id), field("text")
    try:
        comments.post_comment(
            current_runtime().database,
            image_id,
            user.id,
            text,
            idempotency_key=request.form.get("once") or None,
        )
    except InvalidInput as error:
        return refused(asked, error, {"text": text})
    return done(asked, "comments")


def remove_comment(image_id: int) -> Reply:
    """Delete a comment."""
    user, asked = require_user(), page_of_request(image_id)
    comments.remove_comment(
        current_runtime().database,
        image_id,
        number("comment"),
        user.id,
        is_administrator=current_caller().is_administrator,
    )
    return done(asked, "comments")


def _change(image_id: int, changes: Mapping[str, Any], version: int | None) -> None:
    user, runtime = require_user(), current_runtime()
    with runtime.transaction() as session:
        image = images.change_image(
            session,
            image_id,
            user.id,
            expected_version=version,
            changes=changes,
            is_administrator=current_caller().is_administrator,
        )
        jobs = queue_text_jobs(runtime, session, image, changes, request_id())
    for job in jobs:
        runtime.doorbell.ring(job.id, job.kind)


def done(asked: ImagePage, section: str, *, out_of_pack: str | None = None) -> Reply:
    """Answer a form that has done what it was to do; `out_of_pack` names what may be undone."""
    if is_fragment():
        return shown(replace(asked, out_of_pack=out_of_pack), NOTHING)
    return _back(asked, section, out_of_pack=out_of_pack)


def _back(asked: ImagePage, section: str, **told: Any) -> Response | Any:
    kept = {name: value for name, value in told.items() if value is not None}
    return redirect(f"{asked.with_(**kept)}#{section}", 303)


def refused(
    asked: ImagePage,
    error: MiradaError,
    typed: Mapping[str, str],
    sentence: str | None = None,
) -> Response:
    """Answer a form that was refused: the page again, with what was typed and the reason."""
    return shown(asked, After(sentence or error.detail, status_of(error), typed))


def field(name: str) -> str:
    """Return a field of the form. Raises BadRequest."""
    value = request.form.get(name)
    if value is None:
        raise BadRequest(f"The form lacks {name}.")
    return value


def _switch(name: str) -> bool:
    value = field(name)
    if value not in ("0", "1"):
        raise BadRequest(f"{name} must be 0 or 1.")
    return value == "1"


def number(name: str) -> int:
    """Return a field of the form that is a number, >= 0. Raises BadRequest."""
    value = field(name)
    if not value.isdecimal() or len(value) > 18:
        raise BadRequest(f"{name} must be a number.")
    return int(value)

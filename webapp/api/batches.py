"""Many images at once: change them, see what became of it, undo it."""

from __future__ import annotations

from typing import Any

from flask import url_for

from mirada.batches import batches
from mirada.batches.batches import Outcome
from mirada.batches.doing import Asker, Name
from mirada.batches.wanted import Wanted, checked_value
from mirada.kernel.conditions import written_conditions
from webapp.api.images import blueprint as image_blueprint
from webapp.callers.asking import scope_of_caller
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime, request_id
from webapp.http.rest import CHANGE_SEQ_HEADER, ApiBlueprint, change_seq_headers, header
from webapp.schemas.batches import BATCH_EXAMPLE, ManyChangedSchema, ManyImagesSchema, batch_body

blueprint = ApiBlueprint(
    "undo", __name__, url_prefix="/api/v1/undo", description="Changes of many images, undone"
)
Reply = tuple[dict[str, Any], int, dict[str, str]]


@image_blueprint.post("/batch")
@image_blueprint.operation(
    "changeManyImages", "Change many images", refusals=(400, 403, 404, 409, 415, 422)
)
@image_blueprint.arguments(
    ManyImagesSchema, example={"ids": [7, 8, 9], "action": "add_tags", "value": ["cat"]}
)
@image_blueprint.alt_response(
    202,
    schema=ManyChangedSchema,
    description="A job does it: the filter lets more than 500 images through.",
    example=BATCH_EXAMPLE | {"job_id": 40, "job_url": "/api/v1/jobs/40", "state": "running"},
    headers={"Location": header("What became of it.")},
)
@image_blueprint.response(200, ManyChangedSchema, example=BATCH_EXAMPLE, headers=CHANGE_SEQ_HEADER)
def change_many_images(fields: dict[str, Any]) -> Any:
    """Visibility, tags, packs and the trash. One that cannot be changed fails alone, and says why.

    A `filter` is of the caller's own images; `restore` looks in their trash. What is sent twice is done
    once: an image that is as it is to be stays as it is. A job can be cancelled, and goes on after a stop
    where it was.

    `delete` puts images into the trash, and is 409 where there is none (TRASH_DAYS=0). A pack is the
    caller's own, else 404; into it may go whatever they see, in the order of `ids`. `reclassify` and
    `recaption` queue jobs, and nothing of them can be undone. `reclassify` takes whatever the caller
    sees. `recaption` asks for pictures that no model has described as it is asked now.
    """
    user, runtime = require_user(), current_runtime()
    action = Name(fields["action"])
    conditions: list[str] = []
    if fields["filter"] is not None:
        # Judging is queued where it is asked for, as lists do.
        is_of_trash = batches.is_of_trash(action)
        scope_of_caller(fields["filter"], own_alone=not is_of_trash, in_trash=is_of_trash)
        conditions = written_conditions(fields["filter"])
    wanted = Wanted(
        action,
        checked_value(action, fields["value"]),
        None if fields["ids"] is None else tuple(dict.fromkeys(fields["ids"])),
        tuple(conditions),
    )
    asker = Asker(user.id, current_caller().is_administrator)
    return outcome_reply(batches.change_many(runtime, wanted, asker, request_id()))


@blueprint.get("/<token>")
@blueprint.operation(
    "getManyChanged", "Read what became of a change of many images", refusals=(404,)
)
@blueprint.response(200, ManyChangedSchema, example=BATCH_EXAMPLE)
def get_many_changed(token: str) -> Any:
    """For whoever made it, by its `undo`, as long as it can be undone."""
    user = require_user()
    return outcome_body(batches.read(current_runtime(), token, user.id))


@blueprint.post("/<token>")
@blueprint.operation("undoManyChanged", "Undo a change of many images", refusals=(404, 409))
@blueprint.alt_response(
    202,
    schema=ManyChangedSchema,
    description="A job sets back what was changed: it is more than 500 images.",
    example=BATCH_EXAMPLE | {"job_id": 41, "job_url": "/api/v1/jobs/41", "state": "undoing"},
    headers={"Location": header("What became of it.")},
)
@blueprint.response(
    200,
    ManyChangedSchema,
    example=BATCH_EXAMPLE | {"state": "undone", "undone": 2},
    headers=CHANGE_SEQ_HEADER,
)
def undo_many_changed(token: str) -> Any:
    """What it really changed is set back, also where its job has done a part of it, which then ends.

    An image that was changed since, in the same respect, stays as it is, and is told in `left`.
    """
    user = require_user()
    asker = Asker(user.id, current_caller().is_administrator)
    return outcome_reply(batches.undo(current_runtime(), token, asker, request_id()))


def outcome_body(outcome: Outcome) -> dict[str, Any]:
    """Return the fields for `ManyChangedSchema`."""
    job_id = outcome.job_id
    return batch_body(
        outcome,
        None if outcome.undo is None else url_for("undo.get_many_changed", token=outcome.undo),
        None if job_id is None else url_for("jobs.get_job", job_id=job_id),
    )


def outcome_reply(outcome: Outcome) -> Reply:
    """Return the reply that tells what became of a change, 202 while a job does it."""
    body = outcome_body(outcome)
    if body["state"] in ("running", "undoing"):
        return body, 202, {"Location": body["undo_url"]}
    return body, 200, {} if outcome.change_seq is None else change_seq_headers(outcome.change_seq)

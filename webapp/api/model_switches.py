"""The change of the image model while it serves, for administrators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mirada.model_switch import changing, turning
from mirada.model_switch.changing import Asked
from mirada.model_switch.reporting import missing_of, report_of
from mirada.people.identity import Person
from mirada.runtime import Runtime
from webapp.api.models import blueprint
from webapp.callers.auth import require_administrator
from webapp.http.creations import made
from webapp.http.current import current_runtime, request_id
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import View, header
from webapp.schemas.model_switches import (
    MISSING_EXAMPLE,
    SWITCH_EXAMPLE,
    MissingPageSchema,
    NewSwitchSchema,
    SwitchSchema,
    missing_body,
    switch_body,
)
from workers.kinds import KINDS

LOCATION = {"Location": header("The change to follow.")}
REFUSALS = (403, 409)
BEGIN_REFUSALS = (400, 403, 409, 415, 422, 503)


def _step(
    path: str, operation_id: str, summary: str, refusals: tuple[int, ...] = REFUSALS
) -> Callable[[View], View]:
    """Return the decorator of a request that asks for a step of a change, and is answered with the change."""

    def decorated(view: View) -> View:
        answering = blueprint.response(202, SwitchSchema, example=SWITCH_EXAMPLE, headers=LOCATION)(
            view
        )
        described = blueprint.operation(operation_id, summary, refusals=refusals)(answering)
        return blueprint.post(f"/switch{path}")(described)

    return decorated


@blueprint.get("/switch")
@blueprint.operation("getModelSwitch", "Read the change of the model", refusals=(403, 404))
@blueprint.response(200, SwitchSchema, example=SWITCH_EXAMPLE)
def get_model_switch() -> Any:
    """The one that is on, else the last one: its state, progress, comparison, and what can be done."""
    return _body(require_administrator())


@_step("", "beginModelSwitch", "Begin to change the model", BEGIN_REFUSALS)
@blueprint.arguments(NewSwitchSchema, example={"model": "production"})
def begin_model_switch(wanted: dict[str, Any]) -> Any:
    """A second space is built beside the one in use, from the originals; searches go on meanwhile.

    The same model again, while its space is being built, goes on with that.
    """
    user = require_administrator()
    changing.begin(
        current_runtime(),
        wanted["model"],
        wanted["pretrained"],
        Asked(user.id, request_id()),
        flips_by_itself=wanted["flip"],
    )
    return _made(user)


@_step("/flip", "flipModels", "Put the new model into use")
def flip_models() -> Any:
    """In every process at once. Where `is_prepared` says so, it is done when this is answered.

    Else the state is `flipping` until each process has loaded the model.
    """
    return _stepped(turning.flip)


@_step("/rollback", "rollBackModels", "Go back to the model of before")
def roll_back_models() -> Any:
    """As long as its vectors are kept; nothing is lost, since new pictures got vectors of both models.

    Where `is_prepared` says so, it is done when this is answered; else the state is `returning`.
    """
    return _stepped(turning.go_back)


@_step("/discard", "discardOldModel", "Remove the vectors of the model of before")
def discard_old_model() -> Any:
    """The change is final then, and another one can begin."""
    return _stepped(changing.discard)


@_step("/cancel", "cancelModelSwitch", "End a change that was not made")
def cancel_model_switch() -> Any:
    """What was built is removed."""
    return _stepped(changing.cancel)


@blueprint.get("/switch/missing")
@blueprint.pages(
    "listMissingPictures",
    "List pictures that the new model could not embed",
    MissingPageSchema,
    refusals=(403,),
    example=MISSING_EXAMPLE,
)
def list_missing_pictures(query: PageQuery) -> Listed[Any]:
    """Because their bytes are gone, or were never kept; newest first. They keep their images."""
    require_administrator()
    with current_runtime().reading() as session:
        missing = missing_of(session, **query.bounds)
    return Listed(missing, missing_body)


def _stepped(step: Callable[[Runtime, Asked], object]) -> Any:
    user = require_administrator()
    step(current_runtime(), Asked(user.id, request_id()))
    return _made(user)


def _made(user: Person) -> Any:
    return made(_body(user), was_replayed=False, status=202)


def _body(user: Person) -> dict[str, Any]:
    with current_runtime().reading() as session:
        return switch_body(report_of(session, user, KINDS))

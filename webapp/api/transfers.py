"""Runs of `mirada import` and `mirada export`: how far they are, and how they ended."""

from __future__ import annotations

from typing import Any

from mirada.transfer import seen
from webapp.callers.auth import require_user
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import ApiBlueprint
from webapp.schemas.transfers import (
    TRANSFER_EXAMPLE,
    TransferPageSchema,
    TransferSchema,
    transfer_body,
)

blueprint = ApiBlueprint(
    "transfers",
    __name__,
    url_prefix="/api/v1/transfers",
    description="Imports and exports that run at the command line",
)


@blueprint.get("")
@blueprint.pages(
    "listTransfers",
    "List imports and exports, newest first",
    TransferPageSchema,
    example=TRANSFER_EXAMPLE,
)
def list_transfers(query: PageQuery) -> Listed[Any]:
    """Those whose `--owner` is the caller; an administrator sees all.

    Of a run that was killed the state is `stopped`. Dry runs are not in the list.
    """
    user = require_user()
    with current_runtime().reading() as session:
        return Listed(seen.list_runs(session, user, **query.bounds), transfer_body)


@blueprint.get("/<id:transfer_id>")
@blueprint.operation("getTransfer", "Read an import or export", refusals=(404,))
@blueprint.response(200, TransferSchema, example=TRANSFER_EXAMPLE)
def get_transfer(transfer_id: int) -> Any:
    """How far it is, what was refused and why, and what to do where it was stopped or failed."""
    user = require_user()
    with current_runtime().reading() as session:
        return transfer_body(seen.get_run(session, transfer_id, user))

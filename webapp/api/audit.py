"""What administrators and keys did: for administrators everything, for a user what concerns them."""

from __future__ import annotations

from typing import Any

from mirada.people import audit
from mirada.people.audit import Wanted
from webapp.callers.auth import require_administrator, require_user
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import ApiBlueprint
from webapp.schemas.audit import (
    ENTRY_EXAMPLE,
    OWN_EXAMPLE,
    AuditPageSchema,
    AuditQuerySchema,
    MyAuditQuerySchema,
    entry_body,
)

blueprint = ApiBlueprint(
    "audit", __name__, url_prefix="/api/v1", description="What administrators and keys did"
)


@blueprint.get("/audit")
@blueprint.pages(
    "listAudit",
    "List what was done, newest first",
    AuditPageSchema,
    query=AuditQuerySchema,
    example=ENTRY_EXAMPLE,
    refusals=(403,),
)
def list_audit(query: PageQuery) -> Listed[Any]:
    """By administrators to others, with keys and sign-in links, and at the command line.

    Entries are kept for AUDIT_DAYS days. For administrators.
    """
    require_administrator()
    wanted = _wanted(query, query.filters["user"])
    with current_runtime().reading() as session:
        return Listed(audit.list_entries(session, wanted, **query.bounds), entry_body)


@blueprint.get("/users/me/audit")
@blueprint.pages(
    "listMyAudit",
    "List what you did, and what was done to yours, newest first",
    AuditPageSchema,
    query=MyAuditQuerySchema,
    example=OWN_EXAMPLE,
)
def list_my_audit(query: PageQuery) -> Listed[Any]:
    """Of others it is told only that an administrator did it, and of what you did to others not to whom."""
    user = require_user()
    wanted = _wanted(query, user.id)
    with current_runtime().reading() as session:
        entries = audit.list_entries(session, wanted, reader_id=user.id, **query.bounds)
    return Listed(entries, entry_body)


def _wanted(query: PageQuery, user_id: int | None) -> Wanted:
    filters = query.filters
    return Wanted(user_id, filters["action"], filters["since"], filters["until"])

"""What somebody searched for lately, on their settings: erased one by one, or all at once."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Blueprint, redirect, request, url_for

from mirada.kernel.errors import NotFound
from mirada.suggestions import recent
from webapp.callers.auth import require_user
from webapp.http.current import current_runtime
from webapp.pages.shell import own_address


def register(blueprint: Blueprint) -> None:
    """Add what the forms do."""

    @blueprint.post("/recent-searches/erase")
    def erase_recent_searches() -> Any:
        """Erase all, or the one that the form names, and lead back."""
        user_id, database = require_user().id, current_runtime().database
        one = request.form.get("search", "")
        if one.isdecimal():
            # It may be gone already, as was wished.
            with suppress(NotFound):
                recent.erase_recent(database, int(one), user_id)
        elif "all" in request.form:
            recent.erase_all_recent(database, user_id)
        back = own_address(request.form.get("back"), url_for("pages.settings"))
        return redirect(f"{back.partition('#')[0]}#recent", 303)

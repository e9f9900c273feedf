"""A picture to ask with, sent by a form: it is kept for a day, and the address of Explore names it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, request, url_for

from mirada.search import query_pictures
from mirada.search.request import SentPicture
from webapp.callers.auth import require_user
from webapp.http.current import current_runtime
from webapp.http.uploads import staged_of, uploaded_file
from webapp.pages.explore_address import with_picture
from webapp.pages.shell import own_address


def register(blueprint: Blueprint) -> None:
    """Add the form's address."""

    @blueprint.post("/query-picture")
    def keep_query_picture() -> Any:
        """Keep the picture, and lead to what is like it."""
        user = require_user()
        staged = staged_of(uploaded_file())
        # Browsers go by the name's ending, and people rename files: the bytes say what they are.
        sent = SentPicture(staged.path, None)
        kept = query_pictures.keep_query_picture(current_runtime(), sent, staged.sha256, user.id)
        back = own_address(request.form.get("back"), url_for("pages.explore"))
        return redirect(with_picture(kept.picture.id, back), 303)

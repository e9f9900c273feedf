"""A pack that comes in as a ZIP, by the page that makes packs."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_babel import gettext

from mirada.kernel.errors import MiradaError
from mirada.packs.importing import WantedPack, import_pack
from webapp.callers.auth import require_user
from webapp.http import uploads
from webapp.http.current import current_runtime, request_id
from webapp.http.errors import status_of
from webapp.pages.packs import form_of_import
from webapp.pages.shell import page


def take_in() -> Any:
    """Make a pack of a ZIP, and tell what became of each file in it."""
    user = require_user()
    sent = uploads.uploaded_file()
    is_public = request.form.get("is_public") == "1"
    wanted = WantedPack(user.id, uploads.sent_filename(sent) or "", is_public=is_public)
    try:
        imported = import_pack(
            current_runtime(),
            uploads.staged_of(sent),
            wanted,
            request_id=request_id(),
            key=request.form.get("once") or None,
        )
    except MiradaError as error:
        return form_of_import(error.detail, status_of(error))
    refused = [one for one in imported.outcomes if one.refusal is not None]
    return page(
        "pack_imported.html",
        title=gettext("The pack came in"),
        here="pages.packs",
        imported=imported,
        refused=refused,
        count=len(imported.outcomes) - len(refused),
    )

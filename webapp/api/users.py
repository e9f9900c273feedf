"""Users: who the caller is."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView

from webapp.auth import require_user
from webapp.rest import ApiBlueprint
from webapp.schemas.users import UserSchema

blueprint = ApiBlueprint(
    "users", __name__, url_prefix="/api/v1/users", description="Who is calling"
)


@blueprint.route("/me")
class Me(MethodView):
    """The caller."""

    @blueprint.operation("getMe", "Read who you are")
    @blueprint.response(
        200,
        UserSchema,
        example={
            "id": 1,
            "username": "local",
            "role": "administrator",
            "created_at": "2026-01-02T03:04:05+00:00",
        },
    )
    def get(self) -> Any:
        """The owner of the key; without one, where that is allowed, the local user."""
        user = require_user()
        return {
            "id": user.id,
            "username": user.username,
            "role": str(user.role),
            "created_at": user.created_at,
        }

"""The OpenAPI document, and the two readers for it that ship with the app."""

from __future__ import annotations

import hashlib
import json

from flask import Blueprint, Response, current_app, render_template, request

from webapp.http.current import current_runtime

blueprint = Blueprint("docs", __name__)


@blueprint.get("/openapi.json")
def openapi_json() -> Response:
    """The OpenAPI 3.1 document of every operation."""
    document = current_runtime().remembered("openapi", _document)
    response = Response(document, mimetype="application/json")
    response.set_etag(hashlib.sha256(document).hexdigest()[:32])
    return response.make_conditional(request)  # type: ignore[return-value]


@blueprint.get("/docs")
def swagger_ui() -> str:
    """Swagger UI, to try operations out."""
    return render_template(
        "reader.html",
        title="Mirada API",
        element="swagger-ui",
        stylesheet="vendor/swagger-ui/swagger-ui.css",
        scripts=("vendor/swagger-ui/swagger-ui-bundle.js", "docs/swagger-init.js"),
    )


@blueprint.get("/redoc")
def redoc() -> str:
    """ReDoc, to read."""
    return render_template(
        "reader.html",
        title="Mirada API reference",
        element="redoc",
        stylesheet="docs/redoc.css",
        scripts=("vendor/redoc/redoc.standalone.js", "docs/redoc-init.js"),
    )


def _document() -> bytes:
    api = current_app.extensions["flask-smorest"]["apis"][""]["ext_obj"]
    return json.dumps(api.spec.to_dict(), indent=1).encode()

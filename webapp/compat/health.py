"""Health checks, in the form of the image search backend and of the embedding service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import marshmallow as ma
from flask import Response, jsonify

from mirada.health.probes import health_of
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint, View
from webapp.schemas.replies import ReplySchema

blueprint = ApiBlueprint("health", __name__, description="Whether it works")
"""Without these nothing can be found; without the others only something is slow or refused."""
RETRY_AFTER_S = "5"
HEALTH_EXAMPLE = {
    "status": "healthy",
    "service": "image-search-backend",
    "database": "connected",
    "model_loaded": True,
    "device": "cpu",
    "checks": {"database": {"ok": True, "detail": "connected"}},
}


class CheckSchema(ReplySchema):
    """One dependency."""

    ok = ma.fields.Boolean(required=True)
    detail = ma.fields.String(required=True)


class HealthSchema(ReplySchema):
    """The state of the server and its dependencies."""

    status = ma.fields.String(
        required=True, validate=ma.validate.OneOf(["healthy", "degraded", "unhealthy"])
    )
    service = ma.fields.String(required=True)
    database = ma.fields.String(
        required=True, validate=ma.validate.OneOf(["connected", "disconnected"])
    )
    model_loaded = ma.fields.Boolean(required=True)
    device = ma.fields.String(required=True)
    checks = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.Nested(CheckSchema), required=True
    )


class LiveSchema(ReplySchema):
    """The process answers."""

    status = ma.fields.String(required=True)


def _probe(
    operation_id: str, summary: str, schema: type[ma.Schema], example: Any
) -> Callable[[View], View]:
    """Return a decorator that documents a check which anybody may ask for."""

    def decorate(view: View) -> View:
        if schema is HealthSchema:
            view = blueprint.alt_response(
                503, schema=schema, description="It cannot serve just now."
            )(view)
        view = blueprint.response(200, schema, example=example)(view)
        return blueprint.doc(operationId=operation_id, summary=summary, security=[{}])(view)

    return decorate


EVERYTHING = ("Check everything", HealthSchema, HEALTH_EXAMPLE)
LIFE = ("Check that the process answers", LiveSchema, {"status": "alive"})


@blueprint.get("/health")
@_probe("getHealth", *EVERYTHING)
def get_health() -> Any:
    """Each dependency is really used: the database read, a picture and a text embedded.

    200 when pictures can be embedded and found, "degraded" when something else is amiss or
    EMBEDDINGS_ENABLED=false; 503 and "unhealthy" when the database is down or nothing can be
    embedded, also while weights load.
    """
    runtime = current_runtime()
    health = health_of(runtime)
    results = health.check()
    is_healthy = health.serves(results)
    is_whole = all(result.is_ok for result in results.values())
    has_encoder = runtime.encoder_is_loaded()
    response = jsonify(
        status="healthy" if is_whole else "degraded" if is_healthy else "unhealthy",
        service="image-search-backend",
        database="connected" if results["database"].is_ok else "disconnected",
        model_loaded=has_encoder and results["encoder"].is_ok,
        device=runtime.encoder.device if has_encoder else runtime.settings.embeddings_device,
        checks={
            name: {"ok": result.is_ok, "detail": result.detail} for name, result in results.items()
        },
    )
    response.headers["Cache-Control"] = "no-store"
    if not is_healthy:
        response.status_code = 503
        response.headers["Retry-After"] = RETRY_AFTER_S
    return response


@blueprint.get("/readyz")
@_probe("getReady", *EVERYTHING)
def get_ready() -> Any:
    """The same as /health."""
    return get_health()


@blueprint.get("/health/live")
@_probe("getLive", *LIFE)
def get_live() -> Response:
    """Touches nothing else, so it stays 200 while dependencies are down."""
    return jsonify(status="alive")


@blueprint.get("/livez")
@_probe("getLivez", *LIFE)
def get_livez() -> Response:
    """The same as /health/live."""
    return get_live()

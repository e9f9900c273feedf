"""The OpenAPI document: what it says of the whole API, and how schemas are written into it."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import marshmallow as ma
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask
from flask_smorest import Api

from mirada import __version__
from webapp.callers.acting import HEADER as PERSON_HEADER
from webapp.callers.sessions import COOKIE
from webapp.http import errors
from webapp.http.rest import header
from webapp.schemas.replies import ProblemSchema

DESCRIPTION = """\
A visual memory: pictures go in, are understood, and are found again by picture or by words.

**Keys.** Send `Authorization: Bearer KEY` (or `X-API-Key`). With `AUTH_MODE=open` calls without a
key act as the local user, whose rights `OPEN_AS` says; with `AUTH_MODE=keys` they may read and
search public images only. A server in open mode that listens on a loopback address (`HOST`)
answers calls without a key only under `localhost` or such an address; one that listens to the
network acts for whoever reaches it, so close it off or ask for keys. In open mode a page of another
site is answered only if `ALLOWED_ORIGINS` names it. A wrong, expired or revoked key is 401
everywhere, also where none is needed.

**Scopes.** A key may be limited; a call that it is not good for is a 403 `scope_missing`.
`read`: every GET, and the POSTs that only ask (searches, similar images, embeddings). `write`: every
other call, classifications included, for they are remembered; it does not include `read`. `admin`:
together with those, what only an administrator may; without it an administrator's key does what any
user's does. `metrics`: the metrics of the installation. `act_for`: together with `read` or `write`,
to do that for people of your product. A key without scopes may do all that its owner may, but for
`act_for`.

**People of your product.** A key with the scope `act_for` names whom a call is for in
`X-Mirada-User`: your id of them, 1 to 191 characters of UTF-8, made at first use. A token of your
product (`JWT_SECRET`, `JWKS_FILE`), sent as a key is, names them in `sub`. They are users, never
administrators, and see what any user sees. The header without a key is 401, with a key that lacks
the scope 403, and never ignored.

**Browsers** sign in with `POST /api/v1/session` and a key, and get a cookie that does what the key
does: for 12 hours, and no longer than the key counts. It works for pages of this server only. Calls
that change something need its token in `X-CSRF-Token` as well (403 `csrf_failed`); calls with a key
need neither, and a key that is sent is what counts, cookie or not.

**Errors** are `application/problem+json` (RFC 9457) with a stable `code`. What is not yours looks
absent: 404. A 503 carries `Retry-After`: the same request may work later. Every operation lists what
it answers; before one is chosen the server itself may say 400 (no HTTP), 404 (no such address), 405,
408 (sent too slowly), 413 or 431 (too large). Query parameters and form fields without a meaning are
answered with 422 under `/api/v1`. The routes of the five systems ignore them, as those systems did;
`POST /api/v1/images`, `.../images/search` and `.../images/ID/similar`, which are among them, name
them in `ignored` and `X-Ignored`.

**Freshness.** Whatever changes what can be found answers with `X-Change-Seq`; send it back as
`X-Min-Change-Seq` and a search includes that change or says 503 (409 for a number that this
database never gave, as after a restored backup). Anonymous calls neither get these numbers nor
may send them: they count everybody's changes. (Under `AUTH_MODE=open` no call is anonymous.)
"""


class PlainConverter(OpenAPIConverter):
    """Schemas as generated clients need them."""

    def field2default(self, field: ma.fields.Field, **more: Any) -> dict[str, Any]:
        """Return no default; generators take a field of a body that has one for required."""
        return {}

    def field2property(self, field: ma.fields.Field) -> dict[str, Any]:
        """Return a field's schema, whose description says what counts where it is left out."""
        found: dict[str, Any] = super().field2property(field)
        default = self._default(field)
        if default is not None:
            said = f"{found.get('description', '')} {json.dumps(default)} where it is left out."
            found["description"] = said.strip()
        return found

    def _field2parameter(
        self, field: ma.fields.Field, *, name: str, location: str
    ) -> dict[str, Any]:
        """Return a parameter, which may have a default and is never null: addresses have no null."""
        found: dict[str, Any] = super()._field2parameter(field, name=name, location=location)
        schema, default = found["schema"], self._default(field)
        if isinstance(schema.get("type"), list):
            (schema["type"],) = (each for each in schema["type"] if each != "null")
        if default is not None:
            schema["default"] = default
        return found

    def schema2jsonschema(self, schema: ma.Schema) -> dict[str, Any]:
        """Return a schema with the rules that no single field can tell, from `Meta.rules`."""
        found: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        return found | getattr(schema.Meta, "rules", {})

    def _default(self, field: ma.fields.Field) -> Any:
        """Return what counts where a field is left out; None for nothing that is worth telling."""
        default = super().field2default(field).get("default")
        return None if default == [] else default


class PlainPlugin(MarshmallowPlugin):
    """The plugin with that converter."""

    Converter = PlainConverter


class MiradaApi(Api):
    """The API object; it documents and sends error replies as problems."""

    ERROR_SCHEMA = ProblemSchema
    # A reply that may be anything would hide those that nobody has described.
    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask) -> None:
        """Set up an empty specification on the app; blueprints are registered afterwards."""
        prefix = app.extensions["mirada_runtime"].settings.script_name
        app.config.update(
            API_TITLE="Mirada",
            API_VERSION=__version__,
            OPENAPI_VERSION="3.1.0",
            OPENAPI_URL_PREFIX=None,
            API_SPEC_OPTIONS={
                "info": {"description": DESCRIPTION},
                "servers": [{"url": prefix or "/", "description": "This server"}],
                # An empty requirement says that a key may be left out.
                "security": [
                    {"bearer": []},
                    {"apiKey": []},
                    {"bearer": [], "actFor": []},
                    {"session": []},
                    {},
                ],
            },
        )
        super().__init__(app, spec_kwargs={"marshmallow_plugin": PlainPlugin()})
        schemes = self.spec.components
        schemes.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
        schemes.security_scheme("apiKey", {"type": "apiKey", "in": "header", "name": "X-API-Key"})
        act_for = {"type": "apiKey", "in": "header", "name": PERSON_HEADER}
        schemes.security_scheme("actFor", act_for)
        schemes.security_scheme("session", {"type": "apiKey", "in": "cookie", "name": COOKIE})

    def handle_http_exception(self, error: Any) -> Any:
        """Answer with a problem."""
        return errors.handle_http_exception(error)

    def _register_pagination_header(self) -> None:
        """Leave out a header that no operation sends, and with it the schema it would bring."""

    def _register_responses(self) -> None:
        content = {errors.PROBLEM_MEDIA_TYPE: {"schema": ProblemSchema}}
        replies: dict[str, dict[str, Any]] = {
            status.name: {"description": status.phrase, "content": content}
            for status in HTTPStatus
            if status >= 400
        }
        replies[HTTPStatus.SERVICE_UNAVAILABLE.name]["headers"] = {
            "Retry-After": header("Seconds after which to try again.", "integer")
        }
        for name, reply in replies.items():
            self.spec.components.response(name, reply, lazy=True)

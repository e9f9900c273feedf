"""Flask-smorest for Mirada: problems for errors, a multipart location, documented operations and lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

import marshmallow as ma
from flask import Flask, request
from flask_smorest import Api, Blueprint
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy
from werkzeug.datastructures import CombinedMultiDict
from werkzeug.exceptions import UnsupportedMediaType

from mirada.kernel.errors import InvalidInput
from webapp.callers.sessions import COOKIE
from webapp.http import errors
from webapp.http.paging import Listed, Reply, paged
from webapp.schemas.replies import PageQuerySchema, ProblemSchema

View = TypeVar("View", bound=Callable[..., Any])

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
user's does. `metrics`: the metrics of the installation. A key without scopes may do all that its
owner may.

**Browsers** sign in with `POST /api/v1/session` and a key, and get a cookie that does what the key
does: for 12 hours, and no longer than the key counts. It works for pages of this server only. Calls
that change something need its token in `X-CSRF-Token` as well (403 `csrf_failed`); calls with a key
need neither, and a key that is sent is what counts, cookie or not.

**Errors** are `application/problem+json` (RFC 9457) with a stable `code`. What is not yours looks
absent: 404. A 503 carries `Retry-After`: the same request may work later.

**Freshness.** Whatever changes what can be found answers with `X-Change-Seq`; send it back as
`X-Min-Change-Seq` and a search includes that change or says 503 (409 for a number that this
database never gave, as after a restored backup). Calls without a key neither get these numbers nor
may send them: they count everybody's changes.
"""

ALWAYS = (401, 403, 500, 503)
"""A wrong key and a foreign Host are refused everywhere, and everything can be down."""


class ApiParser(FlaskParser):
    """A parser with the location "multipart": form fields and files in one schema, as in OpenAPI 3."""

    DEFAULT_UNKNOWN_BY_LOCATION = {  # noqa: RUF012 - as webargs has it
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "multipart": ma.EXCLUDE,
        "query": ma.EXCLUDE,
        "json": ma.RAISE,
    }
    __location_map__ = {  # noqa: RUF012 - as webargs has it
        **FlaskParser.__location_map__,
        "multipart": "load_multipart",
    }

    def load_json(self, req: Any, schema: ma.Schema) -> Any:
        """Return the JSON body; nesting or a number without end is the client's fault, no crash.

        Raises UnsupportedMediaType (415) for a body that does not say that it is JSON.
        """
        if not req.is_json and (req.mimetype or req.content_length):
            raise UnsupportedMediaType("Send application/json.")
        try:
            return super().load_json(req, schema)
        except (RecursionError, ValueError) as error:
            raise InvalidInput(
                "The JSON body is nested too deeply or has absurd numbers."
            ) from error

    def load_multipart(self, req: Any, schema: ma.Schema) -> MultiDictProxy:
        """Return fields and files together."""
        return MultiDictProxy(CombinedMultiDict([req.files, req.form]), schema)


class ApiBlueprint(Blueprint):
    """A blueprint that documents the name and the errors of every operation."""

    ARGUMENTS_PARSER = ApiParser()
    # Documented as an object and sent as a string: clients that check the schema refuse it.
    PAGINATION_HEADER_NAME = None
    DEFAULT_LOCATION_CONTENT_TYPE_MAPPING: ClassVar[dict[str, str]] = {
        **Blueprint.DEFAULT_LOCATION_CONTENT_TYPE_MAPPING,
        "multipart": "multipart/form-data",
    }

    def operation(
        self, operation_id: str, summary: str, *, refusals: tuple[int, ...] = (), **doc: Any
    ) -> Callable[[View], View]:
        """Return a decorator that documents an operation.

        Args:
            operation_id: stable; generated clients name their functions by it.
            summary: one line.
            refusals: statuses of its error replies, beyond those that every operation has, and
                every one with a body.
            **doc: more of the OpenAPI operation object.
        """

        def decorate(view: View) -> View:
            of_body = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE,) if _takes_a_body(view) else ()
            for status in sorted({*refusals, *ALWAYS, *of_body}):
                view = self.alt_response(status, HTTPStatus(status).name)(view)
            return self.doc(operationId=operation_id, summary=summary, **doc)(view)

        return decorate

    def pages(
        self,
        operation_id: str,
        summary: str,
        page: type[ma.Schema],
        *,
        example: Any,
        query: type[PageQuerySchema] = PageQuerySchema,
        beside: Mapping[str, Any] | None = None,
        refusals: tuple[int, ...] = (),
    ) -> Callable[[Callable[..., Listed[Any]]], Callable[..., Reply]]:
        """Return a decorator for a view that lists, page by page; see `paged`.

        Args:
            operation_id: as `operation` takes it.
            summary: one line.
            page: schema of the reply, from `page_of`.
            example: of one result.
            query: which page, and the list's filters.
            beside: further fields of the example.
            refusals: as `operation` takes them; 422 is one of every list.
        """

        def decorate(view: Callable[..., Listed[Any]]) -> Callable[..., Reply]:
            answer = self.response(
                200,
                page,
                headers={"Link": header("Pages, RFC 8288.")},
                example={"results": [example], "count": 1, "next": None, **(beside or {})},
            )(paged(view))
            answer = self.arguments(query, location="query")(answer)
            return self.operation(operation_id, summary, refusals=(*refusals, 422))(answer)

        return decorate


def _takes_a_body(view: View) -> bool:
    """Return whether a view's `arguments`, which stand under `operation`, come in the body."""
    of_arguments = getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", ())
    bodies = ApiBlueprint.DEFAULT_LOCATION_CONTENT_TYPE_MAPPING
    return any(parameter["in"] in bodies for parameter in of_arguments)


class MiradaApi(Api):
    """The API object; it documents and sends error replies as problems."""

    ERROR_SCHEMA = ProblemSchema

    def __init__(self, app: Flask) -> None:
        """Set up an empty specification on the app; blueprints are registered afterwards."""
        app.config.update(
            API_TITLE="Mirada",
            API_VERSION="v1",
            OPENAPI_VERSION="3.1.0",
            OPENAPI_URL_PREFIX=None,
            API_SPEC_OPTIONS={
                "info": {"description": DESCRIPTION},
                "servers": [{"url": "/", "description": "This server"}],
                # An empty requirement says that a key may be left out.
                "security": [{"bearer": []}, {"apiKey": []}, {"session": []}, {}],
            },
        )
        super().__init__(app)
        schemes = self.spec.components
        schemes.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
        schemes.security_scheme("apiKey", {"type": "apiKey", "in": "header", "name": "X-API-Key"})
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
        replies["DEFAULT_ERROR"] = {"description": "A problem.", "content": content}
        replies[HTTPStatus.SERVICE_UNAVAILABLE.name]["headers"] = {
            "Retry-After": header("Seconds after which to try again.", "integer")
        }
        for name, reply in replies.items():
            self.spec.components.response(name, reply, lazy=True)


def header(description: str, kind: str = "string") -> dict[str, Any]:
    """Return the documentation of a response header."""
    return {"description": description, "schema": {"type": kind}}


def request_header(name: str, description: str, kind: str = "string") -> dict[str, Any]:
    """Return the documentation of an optional request header."""
    return {
        "in": "header",
        "name": name,
        "description": description,
        "required": False,
        "schema": {"type": kind},
    }


CHANGE_SEQ_HEADER = {
    "X-Change-Seq": header("Number of this change; see X-Min-Change-Seq.", "integer")
}
"""Of every reply to a change of what can be found."""
MIN_CHANGE_SEQ = request_header(
    "X-Min-Change-Seq",
    "Answer only from a state that includes this change: 503 while it is on its way, 409 when "
    "this database never gave that number. For callers with a key.",
    "integer",
)
"""Of every search."""


def change_seq_headers(change_seq: int | None) -> dict[str, str]:
    """Return the header with the number of a change; none of None."""
    return {} if change_seq is None else {"X-Change-Seq": str(change_seq)}


def multipart_body(schema: type[ma.Schema], **fields: Any) -> dict[str, Any]:
    """Return the documentation of a multipart request body with a picture.

    Args:
        schema: of its parts.
        **fields: values of text parts, for the example.
    """
    content = {"schema": schema, "example": {"file": "@cat.png", **fields}}
    return {"required": True, "content": {"multipart/form-data": content}}


def json_fields(schema: type[ma.Schema], instead: str) -> dict[str, Any]:
    """Return the validated fields of the JSON body being served, where a form may come instead.

    Raises UnsupportedMediaType with the sentence `instead`, and HTTP 422 with messages by field.
    """
    if not request.is_json:
        raise UnsupportedMediaType(instead)
    return ApiBlueprint.ARGUMENTS_PARSER.parse(schema(), location="json")


def multipart_fields(schema: type[ma.Schema]) -> dict[str, Any]:
    """Return the validated fields of the multipart request being served.

    Views call it themselves, after they know who is calling: the body of somebody who may not
    upload is never received. Raises HTTP 422 with messages by field.
    """
    return ApiBlueprint.ARGUMENTS_PARSER.parse(schema(), location="multipart")

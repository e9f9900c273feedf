"""Flask-smorest for Mirada: problems for errors, a multipart location, documented operations and lists."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import wraps
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

import marshmallow as ma
from flask import request
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy
from werkzeug.datastructures import CombinedMultiDict
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from webapp.http import json_bodies, unknown
from webapp.http.paging import Listed, Reply, paged
from webapp.schemas.replies import PageQuerySchema

View = TypeVar("View", bound=Callable[..., Any])

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
        """Return the JSON body.

        Raises:
            UnsupportedMediaType: (415) the body does not say that it is JSON.
            BadRequest: (400) it is nested without end, or has a number or an object without end.
        """
        if not req.is_json and (req.mimetype or req.content_length):
            raise UnsupportedMediaType("Send application/json.")
        try:
            body = super().load_json(req, schema)
        except (RecursionError, ValueError) as error:
            raise BadRequest(
                "The JSON body is nested too deeply, or has a number of thousands of digits."
            ) from error
        json_bodies.check(body)
        return body

    def handle_error(
        self, error: ma.ValidationError, req: Any, schema: ma.Schema, **how: Any
    ) -> Any:
        """Answer what does not fit the schema; unknown fields are told with those that there are."""
        messages = error.messages_dict.items()
        error.messages = {where: unknown.told(inner, schema) for where, inner in messages}
        super().handle_error(error, req, schema, **how)

    def load_multipart(self, req: Any, schema: ma.Schema) -> MultiDictProxy:
        """Return fields and files together."""
        return MultiDictProxy(CombinedMultiDict([req.files, req.form]), schema)


def _never_copied(schema: Any) -> Any:
    """Return a schema of which a deep copy is itself; anything else as it is.

    Each decorator of a view copies what is documented of it so far: of 260 schemas they would make 1,800,
    in every process that serves.
    """
    if isinstance(schema, ma.Schema):
        vars(schema)["__deepcopy__"] = lambda _memo: schema
    return schema


class ApiBlueprint(Blueprint):
    """A blueprint that documents the name and the errors of every operation.

    Attributes:
        ignores_unknown: whether query parameters and form fields without a meaning are ignored, as
            the system did whose routes these are; else they are refused.
    """

    ARGUMENTS_PARSER = ApiParser()
    # Documented as an object and sent as a string: clients that check the schema refuse it.
    PAGINATION_HEADER_NAME = None
    DEFAULT_LOCATION_CONTENT_TYPE_MAPPING: ClassVar[dict[str, str]] = {
        **Blueprint.DEFAULT_LOCATION_CONTENT_TYPE_MAPPING,
        "multipart": "multipart/form-data",
    }

    def __init__(self, *names: Any, ignores_unknown: bool = False, **more: Any) -> None:
        """Set up a blueprint without routes; further arguments as Flask-smorest takes them."""
        super().__init__(*names, **more)
        self.ignores_unknown = ignores_unknown

    def arguments(self, schema: Any, **more: Any) -> Callable[[View], View]:
        """Return a decorator as Flask-smorest does; a schema is made once, and not for each request."""
        made = _never_copied(schema() if isinstance(schema, type) else schema)
        decorate: Callable[[View], View] = super().arguments(made, **more)
        return decorate

    def _make_doc_response_schema(self, schema: Any) -> Any:
        return _never_copied(super()._make_doc_response_schema(schema))

    def operation(
        self,
        operation_id: str,
        summary: str,
        *,
        refusals: tuple[int, ...] = (),
        parameters: Sequence[Mapping[str, Any]] = (),
        ignores_unknown: bool | None = None,
        **doc: Any,
    ) -> Callable[[View], View]:
        """Return a decorator that documents an operation and refuses what it does not know.

        Args:
            operation_id: stable; generated clients name their functions by it.
            summary: one line.
            refusals: statuses of its error replies, beyond those that every operation has, and
                every one with a body.
            parameters: headers, and queries that no `arguments` of the view name.
            ignores_unknown: what holds for this operation alone; None: for the blueprint.
            **doc: more of the OpenAPI operation object.
        """
        are_ignored = self.ignores_unknown if ignores_unknown is None else ignores_unknown

        def decorate(view: View) -> View:
            known = _query_names(view, parameters)
            statuses = {*refusals, *ALWAYS}
            statuses |= {HTTPStatus.REQUEST_ENTITY_TOO_LARGE} if _takes_a_body(view) else set()
            statuses |= set() if are_ignored else {HTTPStatus.UNPROCESSABLE_ENTITY}
            # Values that are each permitted may be too long for one line together.
            statuses |= {HTTPStatus.REQUEST_URI_TOO_LONG} if known else set()

            @wraps(view)
            def checked(*positional: Any, **named: Any) -> Any:
                unknown.begin(known, are_ignored=are_ignored)
                return view(*positional, **named)

            documented: Any = checked
            for status in sorted(statuses):
                documented = self.alt_response(status, HTTPStatus(status).name)(documented)
            documented = self.doc(operationId=operation_id, summary=summary, **doc)(documented)
            # In the list that `arguments` began; a list in `doc` would stand in its place.
            arguments = documented._apidoc.setdefault("arguments", {})
            arguments.setdefault("parameters", []).extend(deepcopy(list(parameters)))
            return documented

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
                headers=LINK_HEADER,
                example={"results": [example], "count": 1, "next": None, **(beside or {})},
            )(paged(view))
            answer = self.arguments(query, location="query")(answer)
            return self.operation(operation_id, summary, refusals=(*refusals, 422))(answer)

        return decorate


def _of_arguments(view: View) -> Sequence[Mapping[str, Any]]:
    """Return what a view's `arguments`, which stand under `operation`, said of themselves."""
    found: Sequence[Mapping[str, Any]] = (
        getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", ())
    )
    return found


def _takes_a_body(view: View) -> bool:
    bodies = ApiBlueprint.DEFAULT_LOCATION_CONTENT_TYPE_MAPPING
    return any(parameter["in"] in bodies for parameter in _of_arguments(view))


def _query_names(view: View, parameters: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Return the names of the query parameters that a view takes."""
    schemas = [each["schema"] for each in _of_arguments(view) if each["in"] == "query"]
    by_hand = {each["name"] for each in parameters if each["in"] == "query"}
    return frozenset(by_hand.union(*map(field_names, schemas)))


@functools.cache
def field_names(schema: type[ma.Schema] | ma.Schema) -> frozenset[str]:
    """Return the names of a schema's fields as requests have them."""
    fields = (schema() if isinstance(schema, type) else schema).load_fields
    return frozenset(field.data_key or name for name, field in fields.items())


def header(description: str, kind: str = "string") -> dict[str, Any]:
    """Return the documentation of a response header."""
    return {"description": description, "schema": {"type": kind}}


def request_header(
    name: str, description: str, kind: str = "string", **rules: Any
) -> dict[str, Any]:
    """Return the documentation of an optional request header; `rules` are more of its schema."""
    return {
        "in": "header",
        "name": name,
        "description": description,
        "required": False,
        "schema": {"type": kind, **rules},
    }


LINK_HEADER = {"Link": header("Pages, RFC 8288.")}
"""Of every reply that may have a next page."""
CHANGE_SEQ_HEADER = {
    "X-Change-Seq": header("Number of this change; see X-Min-Change-Seq.", "integer")
}
"""Of every reply to a change of what can be found."""
IGNORED_HEADER = {
    unknown.HEADER: header("Names in the request that mean nothing here, percent-encoded.")
}
"""Of the routes under /api/v1 that ignore such names."""
MIN_CHANGE_SEQ = request_header(
    "X-Min-Change-Seq",
    "Answer only from a state that includes this change: 503 while it is on its way, 409 when "
    "this database never gave that number. For callers with a key.",
    "integer",
    minimum=0,
    maximum=10**18 - 1,
)
"""Of every search."""


def change_seq_headers(change_seq: int | None) -> dict[str, str]:
    """Return the header with the number of a change; none of None."""
    return {} if change_seq is None else {"X-Change-Seq": str(change_seq)}


def multipart_body(schema: type[ma.Schema], **fields: Any) -> dict[str, Any]:
    """Return the documentation of a multipart request body with a picture.

    Args:
        schema: of its parts.
        **fields: values of parts, for the example; `files` stand in place of one `file`.
    """
    sent = {} if "files" in fields else {"file": "@cat.png"}
    content = {"schema": schema, "example": {**sent, **fields}}
    return {"required": True, "content": {"multipart/form-data": content}}


def json_fields(schema: type[ma.Schema] | ma.Schema, instead: str) -> dict[str, Any]:
    """Return the validated fields of the JSON body being served, where a form may come instead.

    Raises UnsupportedMediaType with the sentence `instead`, and HTTP 422 with messages by field.
    """
    if not request.is_json:
        raise UnsupportedMediaType(instead)
    loading = schema if isinstance(schema, ma.Schema) else schema()
    return ApiBlueprint.ARGUMENTS_PARSER.parse(loading, location="json")


def multipart_fields(schema: type[ma.Schema]) -> dict[str, Any]:
    """Return the validated fields of the multipart request being served.

    Views call it themselves, after they know who is calling: the body of somebody who may not
    upload is never received. Raises HTTP 422 with messages by field.
    """
    unknown.check("form field", request.form, field_names(schema) | {"file"})
    return ApiBlueprint.ARGUMENTS_PARSER.parse(schema(), location="multipart")

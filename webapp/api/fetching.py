"""Images that are sent as their addresses: the parts of `createImage` that take JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from flask import Response, jsonify, request, url_for
from werkzeug.exceptions import BadRequest

from mirada.fetching import request as fetching
from mirada.fetching.request import FETCH_IMAGE, WantedPicture
from mirada.kernel.errors import InvalidInput
from mirada.people.identity import Person
from webapp.http import json_bodies, unknown
from webapp.http.creations import idempotency_key, queued
from webapp.http.current import current_runtime, request_id
from webapp.http.rest import json_fields
from webapp.schemas.fetching import (
    LINES_EXAMPLE,
    MAX_LINES,
    FetchedLinesSchema,
    PictureAtUrlSchema,
)
from webapp.schemas.jobs import JOB_EXAMPLE, JobSchema

JSON = "application/json"
LINES = "application/x-ndjson"
INSTEAD = (
    "Send the picture as multipart/form-data with a part named 'file', for example "
    f"curl -F file=@picture.jpg; or its address as {JSON}, or many as {LINES}, one object a line."
)
EXAMPLE = {"url": "https://pictures.example/cat.png", "is_public": True}
BODIES: dict[str, Any] = {
    JSON: {"schema": PictureAtUrlSchema, "example": EXAMPLE},
    LINES: {
        "schema": {
            "type": "string",
            "description": f"At most {MAX_LINES} lines, each an object as of {JSON}.",
        },
        "example": "\n".join(json.dumps(EXAMPLE | {"asset_id": name}) for name in ("a-1", "a-2")),
    },
}
"""The request bodies of `createImage` beside the form, by media type."""
REPLY: dict[str, Any] = {"oneOf": [JobSchema, FetchedLinesSchema]}
REPLY_EXAMPLES = {
    "one": {
        "summary": "One address",
        "value": JOB_EXAMPLE | {"kind": FETCH_IMAGE, "state": "queued", "space_id": None},
    },
    "many": {"summary": "A line for each address", "value": LINES_EXAMPLE},
}
Line = tuple[int, WantedPicture | InvalidInput]
Reply = tuple[Response, int, dict[str, str]]


def or_addresses(body: dict[str, Any]) -> dict[str, Any]:
    """Return the documentation of a request body that may be addresses instead."""
    return {**body, "content": {**body["content"], **BODIES}}


def is_sent() -> bool:
    """Return whether the request being served sends addresses in place of a picture."""
    return request.is_json or request.mimetype == LINES


def create_by_address(user: Person, query: Mapping[str, Any]) -> Reply:
    """Queue what fetches the request's addresses, and answer with the job, or with each line's.

    Args:
        user: who asks.
        query: the fields of `NewImageQuerySchema`.
    """
    if request.mimetype == LINES:
        return _create_many(user, query)
    runtime = current_runtime()
    wanted = _wanted(json_fields(PictureAtUrlSchema, INSTEAD), query)
    with runtime.transaction() as session:
        requested = fetching.request_picture(
            session,
            runtime.settings,
            user.id,
            wanted,
            request_id=request_id(),
            idempotency_key=idempotency_key(),
        )
    body, status, headers = queued(
        requested.job_id, FETCH_IMAGE, user, was_replayed=requested.was_replayed
    )
    # Dumped here: the operation's own schema is of an image.
    return jsonify(JobSchema().dump(body)), status, headers


def _wanted(fields: Mapping[str, Any], query: Mapping[str, Any]) -> WantedPicture:
    return WantedPicture(
        url=fields["url"],
        prompt=fields["prompt"],
        caption=fields["caption"] or query["caption"],
        asset_id=fields["asset_id"],
        auto_caption=fields["auto_caption"],
        is_public=fields["is_public"],
        read_metadata=fields["read_metadata"],
        is_once_per_owner=query["on_duplicate"] == "return",
        tags=fields["tags"],
    )


def _create_many(user: Person, query: Mapping[str, Any]) -> Reply:
    runtime = current_runtime()
    if idempotency_key() is not None:
        raise InvalidInput("An Idempotency-Key is for one address; give each line an asset_id.")
    read = _lines(query)
    wanted = [each for _, each in read if isinstance(each, WantedPicture)]
    with runtime.transaction() as session:
        made = iter(
            fetching.request_pictures(
                session, runtime.settings, user.id, wanted, request_id=request_id()
            )
        )
        results = [
            (number, next(made) if isinstance(each, WantedPicture) else each)
            for number, each in read
        ]
    jobs = [each for _, each in results if isinstance(each, int)]
    for job_id in jobs:
        runtime.doorbell.ring(job_id, FETCH_IMAGE)
    body = {
        "queued": len(jobs),
        "refused": len(results) - len(jobs),
        "results": [_line_body(*each) for each in results],
    }
    return jsonify(FetchedLinesSchema().dump(body)), 202, {}


def _lines(query: Mapping[str, Any]) -> list[Line]:
    """Return the request's lines by their numbers, each read or with its fault. Raises InvalidInput."""
    lines = enumerate(request.get_data(cache=False).split(b"\n"), start=1)
    read = [(number, line) for number, line in lines if line.strip()]
    if not 1 <= len(read) <= MAX_LINES:
        raise InvalidInput(
            f"There are {len(read):,} lines; send 1 to {MAX_LINES:,}, each a JSON object with a url."
        )
    schema = PictureAtUrlSchema()
    return [(number, _picture(line, schema, query)) for number, line in read]


def _picture(
    line: bytes, schema: ma.Schema, query: Mapping[str, Any]
) -> WantedPicture | InvalidInput:
    try:
        fields = json.loads(line)
        json_bodies.check(fields)
    except (ValueError, RecursionError, BadRequest):
        fields = None
    if not isinstance(fields, dict):
        return InvalidInput("The line is no JSON object.")
    try:
        return _wanted(schema.load(fields, unknown=ma.RAISE), query)
    except ma.ValidationError as error:
        told = json_bodies.shortened(unknown.told(error.messages_dict, schema))
        detail = "; ".join(
            f"{name}: {' '.join(map(str, each if isinstance(each, list) else [each]))}"
            for name, each in told.items()
        )
        return InvalidInput(detail)


def _line_body(number: int, found: int | InvalidInput) -> dict[str, Any]:
    if isinstance(found, int):
        job_url = f"{url_for('jobs.list_jobs')}/{found}"
        return {"line": number, "job_id": found, "job_url": job_url, "error": None}
    error = {"code": found.code, "detail": found.detail}
    return {"line": number, "job_id": None, "job_url": None, "error": error}

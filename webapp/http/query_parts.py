"""The parts of a query, from the validated fields of a request and its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import request

from mirada.kernel.errors import InvalidInput
from mirada.search.queries import QueryKind
from mirada.search.request import KeptPicture, Part, parts_of_signs
from webapp.http.uploads import part_of_upload, parts_of_uploads
from webapp.schemas.query_parts import Syntax

QUESTIONS = ("text", "image_id", "picture", "vector", "file", "query")
KINDS = {"text": QueryKind.TEXT, "image_id": QueryKind.IMAGE_ID, "vector": QueryKind.VECTOR}


def asks_anything(fields: Mapping[str, Any]) -> bool:
    """Return whether there is a question among the fields of a search."""
    return any(fields.get(name) is not None for name in QUESTIONS)


def parts_of(fields: Mapping[str, Any]) -> tuple[Part, ...]:
    """Return what a search asks with, from the fields of `SearchSchema`.

    Raises:
        InvalidInput: there is not exactly one question, its signs cannot be read, or it names a file
            that was not sent.
    """
    question = _question(fields)
    if question == "query":
        return _of_list(fields["query"])
    if question == "file":
        return (part_of_upload(),)
    if question == "picture":
        return (Part(QueryKind.PICTURE, KeptPicture(fields["picture"])),)
    if question == "text" and fields["syntax"] == Syntax.SIGNS:
        return parts_of_signs(fields["text"])
    return (Part(KINDS[question], fields[question]),)


def _question(fields: Mapping[str, Any]) -> str:
    given = [name for name in QUESTIONS if fields.get(name) is not None]
    if request.files and "query" not in given:
        given.append("file")
    if len(given) != 1:
        message = f"Send exactly one of {', '.join(QUESTIONS)}; " + (
            f"this has {' and '.join(given)}." if given else "this has none."
        )
        raise InvalidInput(message, fields={name: [message] for name in given or QUESTIONS})
    return given[0]


def _of_list(listed: list[dict[str, Any]]) -> tuple[Part, ...]:
    names = [each["picture"] for each in listed if isinstance(each.get("picture"), str)]
    sent = parts_of_uploads(names) if names or request.files else {}
    parts = []
    for each in listed:
        value = each.get("picture")
        if value is None:
            name = next(name for name in KINDS if name in each)
            parts.append(Part(KINDS[name], each[name], each["weight"]))
        else:
            picture = KeptPicture(value) if isinstance(value, int) else sent[value]
            parts.append(Part(QueryKind.PICTURE, picture, each["weight"]))
    return tuple(parts)

"""The edited lists of labels and styles over HTTP: everybody reads them, administrators edit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from flask import request

from mirada.db.named_lists import Named, NamedList
from mirada.kernel.errors import InvalidInput
from mirada.kernel.labels import normalised_name
from webapp.callers.auth import require_administrator
from webapp.http.current import current_runtime
from webapp.http.rest import header, request_header
from webapp.schemas.texts import THEME

NAME_IN_PATH = {
    "in": "path",
    "name": "name",
    "required": True,
    "schema": {"type": "string", "minLength": 1, **THEME},
}
IF_MATCH = request_header("If-Match", "Do it only to what has this tag.")
IF_NONE_MATCH = request_header("If-None-Match", "`*`: do it only where there is none of this name.")
ETAG_HEADER = {"ETag": header("Tag of what it is now, for If-Match.")}
Answer = tuple[dict[str, Any], int, dict[str, str]]
Value = TypeVar("Value", bound=Named)


@dataclass(frozen=True, slots=True)
class EditedList(Generic[Value]):
    """The actions of the views of one list.

    Attributes:
        values: the list.
        body: returns a value's fields for the reply, its `url` among them.
    """

    values: NamedList[Value]
    body: Callable[[Value], dict[str, Any]]

    def listed(self, **more: Any) -> Answer:
        """Return body, status and headers of the whole list; `more` are further fields of it."""
        with current_runtime().reading() as session:
            in_force = self.values.in_force(session)
            is_edited = self.values.is_edited(session)
        results = [self.body(value) for value in in_force]
        body = {"results": results, "count": len(results), "is_edited": is_edited, **more}
        return body, 200, self._etag(in_force)

    def reset(self) -> None:
        """Go back to the built-in list. Raises PreconditionFailed where If-Match names another list."""
        require_administrator()
        with current_runtime().transaction() as session:
            self.values.reset(session, _as_asked)

    def read(self, name: str) -> Answer:
        """Return body, status and headers of one value. Raises NotFound."""
        with current_runtime().reading() as session:
            value = self.values.get(session, self._known(name))
        return self.body(value), 200, self._etag(value)

    def put(self, name: str, made_of: Callable[[str], Value]) -> Answer:
        """Add or replace a value, and return body, status and headers.

        Args:
            name: as the path has it.
            made_of: returns the value of that name, normalised.

        Raises:
            PreconditionFailed: If-Match or If-None-Match forbids it.
        """
        require_administrator()
        try:
            value = made_of(normalised_name(name))
        except InvalidInput as error:
            raise InvalidInput(error.detail, fields={"name": [error.detail]}) from error
        with current_runtime().transaction() as session:
            is_new = self.values.put(session, value, _as_asked)
        body, headers = self.body(value), self._etag(value)
        return body, 201 if is_new else 200, headers | ({"Location": body["url"]} if is_new else {})

    def delete(self, name: str) -> None:
        """Take a value out. Raises NotFound, Conflict for the last one, or PreconditionFailed."""
        require_administrator()
        with current_runtime().transaction() as session:
            self.values.delete(session, self._known(name), _as_asked)

    def _known(self, name: str) -> str:
        try:
            return normalised_name(name)
        except InvalidInput as error:
            raise self.values.absent(name) from error

    def _etag(self, value: Value | list[Value]) -> dict[str, str]:
        return {"ETag": f'"{self.values.revision(value)}"'}


def _as_asked(current: str | None) -> bool:
    """Return whether the request's conditions permit to change what has this revision (RFC 9110, 13.1)."""
    if "If-Match" in request.headers:
        return current is not None and request.if_match.contains(current)
    if "If-None-Match" in request.headers:
        return current is None or not request.if_none_match.contains_weak(current)
    return True

"""The edited lists of labels and styles over HTTP: everybody reads them, administrators edit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mirada.db.named_lists import Named, NamedList
from mirada.kernel.errors import InvalidInput
from mirada.kernel.labels import normalised_name
from webapp.callers.auth import require_administrator
from webapp.http.current import current_runtime
from webapp.schemas.texts import THEME

NAME_IN_PATH = {
    "in": "path",
    "name": "name",
    "required": True,
    "schema": {"type": "string", "minLength": 1, **THEME},
}
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

    def listed(self) -> dict[str, Any]:
        """Return the body of the whole list."""
        with current_runtime().reading() as session:
            in_force = self.values.in_force(session)
            is_edited = self.values.is_edited(session)
        results = [self.body(value) for value in in_force]
        return {"results": results, "count": len(results), "is_edited": is_edited}

    def reset(self) -> None:
        """Go back to the built-in list."""
        require_administrator()
        with current_runtime().transaction() as session:
            self.values.reset(session)

    def read(self, name: str) -> dict[str, Any]:
        """Return the body of one value. Raises NotFound."""
        with current_runtime().reading() as session:
            return self.body(self.values.get(session, self._known(name)))

    def put(
        self, name: str, made_of: Callable[[str], Value]
    ) -> tuple[dict[str, Any], int, dict[str, str]]:
        """Add or replace a value, and return body, status and headers.

        Args:
            name: as the path has it.
            made_of: returns the value of that name, normalised.
        """
        require_administrator()
        try:
            value = made_of(normalised_name(name))
        except InvalidInput as error:
            raise InvalidInput(error.detail, fields={"name": [error.detail]}) from error
        with current_runtime().transaction() as session:
            is_new = self.values.put(session, value)
        body = self.body(value)
        return body, 201 if is_new else 200, {"Location": body["url"]} if is_new else {}

    def delete(self, name: str) -> None:
        """Take a value out. Raises NotFound, or Conflict for the last one."""
        require_administrator()
        with current_runtime().transaction() as session:
            self.values.delete(session, self._known(name))

    def _known(self, name: str) -> str:
        try:
            return normalised_name(name)
        except InvalidInput as error:
            raise self.values.absent(name) from error

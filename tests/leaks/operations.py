"""The operations of an OpenAPI document, with every schema's references followed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

METHODS = ("get", "put", "post", "delete", "patch")
MULTIPART = "multipart/form-data"
JSON = "application/json"


@dataclass(frozen=True)
class Field:
    """One value that a request may carry: a parameter, or a property of its body.

    Attributes:
        place: "path", "query", "header" or a media type of the body.
        name: as it is sent.
        schema: what it may be.
        is_required: a request without it is refused.
    """

    place: str
    name: str
    schema: Mapping[str, Any] = field(repr=False)
    is_required: bool

    @property
    def is_file(self) -> bool:
        return bool(_item(self.schema).get("format") == "binary")

    @property
    def is_list(self) -> bool:
        return self.schema.get("type") == "array"


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    id: str
    method: str
    path: str
    fields: tuple[Field, ...]

    def in_place(self, *places: str) -> tuple[Field, ...]:
        return tuple(each for each in self.fields if each.place in places)

    @property
    def body_types(self) -> tuple[str, ...]:
        """Media types that its body may have; () when it takes none."""
        return tuple(dict.fromkeys(f.place for f in self.fields if "/" in f.place))

    def __str__(self) -> str:
        return f"{self.id} ({self.method} {self.path})"


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield every operation of a document."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                described = item[method]
                given = [*item.get("parameters", ()), *described.get("parameters", ())]
                yield Operation(
                    described["operationId"],
                    method.upper(),
                    path,
                    (*_parameters(given, document), *_body(described, document)),
                )


def _parameters(given: list[Any], document: Mapping[str, Any]) -> Iterator[Field]:
    for each in given:
        parameter = _followed(each, document)
        yield Field(
            parameter["in"],
            parameter["name"],
            _followed(parameter.get("schema", {}), document),
            bool(parameter.get("required", False)),
        )


def _body(described: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Field]:
    for media_type, content in described.get("requestBody", {}).get("content", {}).items():
        schema = _followed(content.get("schema", {}), document)
        required = schema.get("required", ())
        for name, inner in schema.get("properties", {}).items():
            yield Field(media_type, name, _followed(inner, document), name in required)


def _followed(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    if "items" in schema:
        return {**schema, "items": _followed(schema["items"], document)}
    return schema


def _item(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    items: Mapping[str, Any] = schema.get("items", schema)
    return items

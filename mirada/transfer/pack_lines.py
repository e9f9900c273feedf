"""The lines of packs of an export, read and checked: somebody may have written in them since."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mirada.kernel.conditions import read_conditions, written_conditions
from mirada.kernel.errors import InvalidInput
from mirada.kernel.user_text import UNSTORABLE
from mirada.search.queries import ALL, Source

_SOURCES = frozenset({*Source, ALL})


def _storable(text: str) -> str:
    if UNSTORABLE.search(text):
        raise ValueError("it holds a NUL or half a surrogate pair, which is not text")
    return text


def _source(text: str) -> str:
    if text not in _SOURCES:
        raise ValueError(f"it is one of {', '.join(sorted(_SOURCES))}")
    return text


def _conditions(fields: dict[str, Any]) -> dict[str, Any]:
    try:
        return read_conditions(written_conditions(fields))
    except InvalidInput as error:
        raise ValueError(error.detail) from error


Text = Annotated[str, AfterValidator(_storable)]


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Person(_Line):
    username: Text
    external_id: Text | None


class _Image(_Line):
    id: int
    external_source: Text | None
    external_id: Text | None


class _Member(_Image):
    emojis: list[Text] | None


class _Search(_Line):
    text: Text | None = None
    syntax: Literal["plain", "signs"] | None = None
    image_id: int | None = None
    in_: Annotated[str, AfterValidator(_source)] | None = Field(None, alias="in")
    threshold: float | None = Field(None, ge=-1, le=1, allow_inf_nan=False)
    filter: Annotated[dict[str, Any], AfterValidator(_conditions)] | None = None


class _Pack(_Line):
    id: int
    title: Text
    description: Text | None
    is_public: bool
    theme: Text | None
    query: _Search | None
    owner: _Person
    created_at: Text
    cover_id: int | None
    images: list[_Member]
    query_image: _Image | None
    query_owners: dict[str, _Person]


def read_pack(line: bytes) -> dict[str, Any]:
    """Return the fields of a pack, as `packs_out` writes them; of a search only what is asked.

    Raises:
        InvalidInput: the line is no pack; the sentence names the field.
    """
    try:
        pack = _Pack.model_validate(json.loads(line))
    except ValidationError as error:
        first = error.errors()[0]
        named = ".".join(map(str, first["loc"])) or "The line"
        raise InvalidInput(f"It is not as an export has it: {named}: {first['msg']}.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The line is no JSON.") from error
    twice = [key for key, count in Counter(each.id for each in pack.images).items() if count > 1]
    if twice:
        raise InvalidInput(f"Image {twice[0]} is in it twice.")
    fields = pack.model_dump(exclude={"query"})
    query = pack.query and pack.query.model_dump(by_alias=True, exclude_none=True)
    return {**fields, "query": query}

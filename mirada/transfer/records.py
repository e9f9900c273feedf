"""Records: what a source says of one picture, read from the fields of a row or of a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mirada.kernel.asset_ids import checked_asset_id
from mirada.kernel.errors import InvalidInput
from mirada.kernel.external_ids import MAX_EXTERNAL_ID_CHARACTERS, checked_external_id
from mirada.kernel.tags import distinct_tags
from mirada.kernel.user_text import UNSTORABLE

NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "external_id", "image_id", "post_id", "key", "uuid"),
    "picture": (
        *("picture", "file", "file_name", "path", "image_path", "file_path"),
        *("image_url", "image", "url"),
    ),
    "owner": ("owner", "user_id", "owner_id", "author_id"),
    "owner_name": ("owner_name", "username"),
    "is_public": ("is_public", "public"),
    "created_at": ("created_at", "created", "uploaded_at"),
    "filename": ("filename", "original_filename", "file_name"),
    "prompt": ("prompt",),
    "caption": ("caption", "title", "alt"),
    "asset_id": ("asset_id",),
    "tags": ("tags", "keywords"),
    "likes": ("likes", "liked_by"),
    "comments": ("comments",),
    "feedback": ("feedback",),
    "vector": ("vector", "embedding", "image_embedding"),
}
"""Our names of the fields, and those that sources use for them, the likeliest first."""
_TRUE, _FALSE = {"true", "t", "1", "yes", "public"}, {"false", "f", "0", "no", "private"}


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is not taken.

    Attributes:
        number: of the row or line, from 1.
        external_id: what the source calls it; None where that could not be read.
        reason: a sentence.
    """

    number: int
    external_id: str | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return it as a report has it."""
        return {"row": self.number, "external_id": self.external_id, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Mark:
    """A like, a comment or a verdict: whose, when, and what it says.

    Attributes:
        by: what the source calls the person.
        at: None where the source does not say.
        text: of a comment, or the theme of a verdict.
        accepted: of a verdict.
        asset_id: of a verdict.
    """

    by: str
    at: datetime | None = None
    text: str = ""
    accepted: bool = True
    asset_id: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One picture of a source.

    Attributes:
        number: of the row or line, from 1.
        external_id: what the source calls it.
        picture: where its file is, as the source says it.
        owner: what the source calls its owner: the id there, or the user name where that is all there
            is; None where it says neither.
        owner_name: the owner's user name there.
        is_named_only: whether `owner` is a user name, for want of an id.
        is_public: None where the source does not say.
        created_at: likewise.
        filename, prompt, caption, asset_id, tags: as an upload has them.
        likes, comments, verdicts: of people of the source.
        vector: of its picture, in any form that `vectors.read` knows; None for none.
        more: what only our own exports have.
    """

    number: int
    external_id: str
    picture: str
    owner: str | None = None
    owner_name: str | None = None
    is_named_only: bool = False
    is_public: bool | None = None
    created_at: datetime | None = None
    filename: str | None = None
    prompt: str | None = None
    caption: str | None = None
    asset_id: str | None = None
    tags: tuple[str, ...] = ()
    likes: tuple[Mark, ...] = ()
    comments: tuple[Mark, ...] = ()
    verdicts: tuple[Mark, ...] = ()
    vector: Any = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def people(self) -> Iterable[str]:
        """The people it names."""
        yield from [] if self.owner is None else [self.owner]
        yield from (mark.by for mark in (*self.likes, *self.comments, *self.verdicts))


def record_of(
    number: int, fields: Mapping[str, Any], columns: Mapping[str, str] | None = None
) -> Record | Refused:
    """Return the record in the fields of a row, or why it cannot be read.

    Args:
        number: of the row, from 1.
        fields: by the names that the source uses.
        columns: our name -> the source's, for names that are none of NAMES.
    """
    external_id: str | None = None
    try:
        found = _by_our_names(fields, columns or {})
        external_id = checked_external_id(found.get("id"))
        return _record(number, external_id, found)
    except InvalidInput as error:
        return Refused(number, external_id, error.detail)


def _by_our_names(fields: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for ours, theirs in NAMES.items():
        names = (columns[ours],) if ours in columns else theirs
        for name in names:
            value = fields.get(name)
            # An array is compared number by number, and is no answer.
            if value is not None and not (isinstance(value, str) and value == ""):
                found[ours] = value
                break
    return found


def _record(number: int, external_id: str, found: Mapping[str, Any]) -> Record:
    picture = text_of(found, "picture")
    if picture is None:
        raise InvalidInput("It names no picture: a field such as file, path or image_url.")
    owner, owner_name = _person(found.get("owner")), text_of(found, "owner_name")
    # Without it a picture of somebody who is named would be given to whoever runs the import.
    is_named_only = owner is None and owner_name is not None
    return Record(
        number,
        external_id,
        picture,
        owner=owner_name if is_named_only else owner,
        owner_name=owner_name,
        is_named_only=is_named_only,
        is_public=_yes_or_no(found.get("is_public")),
        created_at=moment(found.get("created_at")),
        filename=text_of(found, "filename"),
        prompt=text_of(found, "prompt"),
        caption=text_of(found, "caption"),
        asset_id=checked_asset_id(text_of(found, "asset_id")),
        tags=_tags(found),
        likes=tuple(map(_mark, _list(found, "likes"))),
        comments=tuple(map(_mark, _list(found, "comments"))),
        verdicts=tuple(map(_mark, _list(found, "feedback"))),
        vector=found.get("vector"),
    )


def text_of(found: Mapping[str, Any], name: str) -> str | None:
    """Return a field that is a text, or a number, as a text. Raises InvalidInput."""
    value = found.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidInput(f"Its {name} is no text.")
    return _storable(name, value)


def _storable(name: str, text: str) -> str:
    if UNSTORABLE.search(text):
        raise InvalidInput(f"Its {name} holds a NUL or half a surrogate pair, which is not text.")
    return text


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    value = found.get(name, [])
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"Its {name} are no list in JSON.") from error
    if isinstance(value, int):
        # A number alone does not say who they are; the report counts what comes.
        return []
    if not isinstance(value, list):
        raise InvalidInput(f"Its {name} are no list.")
    return value


def _tags(found: Mapping[str, Any]) -> tuple[str, ...]:
    value = found.get("tags", [])
    if isinstance(value, str) and not value.lstrip().startswith("["):
        value = value.split(",")
    return distinct_tags(value if isinstance(value, list) else _list(found, "tags"))


def _person(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and 0 < len(text.strip()) <= MAX_EXTERNAL_ID_CHARACTERS:
        return _storable("person", text.strip())
    raise InvalidInput("A person is named by a number or a text.")


def _mark(value: Any) -> Mark:
    """Return a like, comment or verdict: an object, or the person of a like alone."""
    if not isinstance(value, Mapping):
        value = {"by": value}
    by = _person(value.get("by", value.get("user_id", value.get("user"))))
    if by is None:
        raise InvalidInput("A like, comment or verdict does not say whose it is.")
    accepted = _yes_or_no(value.get("accepted"))
    text = value.get("text", value.get("theme", value.get("body", "")))
    if not isinstance(text, str):
        raise InvalidInput("The text of a comment, or the theme of a verdict, is no text.")
    at = moment(value.get("at", value.get("created_at")))
    asset_id = checked_asset_id(value.get("asset_id"))
    return Mark(by, at, _storable("comment or theme", text), accepted is not False, asset_id)


def _yes_or_no(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise InvalidInput(f"'{text[:40]}' is neither true nor false.")


def moment(value: Any) -> datetime | None:
    """Return a time in UTC; without a time zone it is in UTC. Raises InvalidInput."""
    if value is None:
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidInput(f"'{str(value)[:40]}' is no time as ISO 8601 writes it.") from error

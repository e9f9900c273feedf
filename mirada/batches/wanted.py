"""What is to be done to many images, and the values that actions take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mirada.batches.doing import Name
from mirada.kernel.errors import InvalidInput
from mirada.kernel.tags import distinct_tags, normalised_tag

VISIBILITIES = ("public", "private")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be done.

    Attributes:
        action: what.
        value: as `checked_value` returns it.
        ids: to which images, each once; None where conditions say it.
        conditions: of a filter of the asker's own images, as `read_conditions` takes them.
    """

    action: Name
    value: Any
    ids: tuple[int, ...] | None
    conditions: tuple[str, ...] = ()


def checked_value(action: Name, value: Any) -> Any:
    """Return the value of an action as it is kept, but for merging, which knows its own.

    Raises:
        InvalidInput: the action takes another value, or none.
    """
    match action:
        case Name.SET_VISIBILITY if value in VISIBILITIES:
            return value
        case Name.SET_VISIBILITY:
            raise _no_value("For set_visibility it is public or private.")
        case Name.ADD_TAGS | Name.REMOVE_TAGS if isinstance(value, list) and value:
            return list(_tags(distinct_tags, value))
        case Name.ADD_TAGS | Name.REMOVE_TAGS:
            raise _no_value(f'For {action} it is a list of tags, such as ["cat"].')
        case Name.RENAME_TAG if isinstance(value, list) and len(value) == 2:
            return [_tags(normalised_tag, each) for each in value]
        case Name.RENAME_TAG:
            raise _no_value(
                'For rename_tag it is the tag and its new name, such as ["kat", "cat"].'
            )
        case Name.ADD_TO_PACK | Name.REMOVE_FROM_PACK:
            if isinstance(value, int) and not isinstance(value, bool):
                return value
            raise _no_value(f"For {action} it is the id of a pack of yours.")
        case _ if value is not None:
            raise _no_value(f"The action {action} takes none.")
    return None


def _tags(checked: Callable[[Any], Any], value: Any) -> Any:
    try:
        return checked(value)
    except InvalidInput as error:
        raise _no_value(error.detail) from error


def _no_value(message: str) -> InvalidInput:
    return InvalidInput(message, fields={"value": [message]})

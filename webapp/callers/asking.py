"""The caller of a search and how fresh the answer has to be, read from the request's headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import request

from mirada.kernel.audience import Scope
from mirada.kernel.conditions import filter_of
from mirada.kernel.errors import InvalidInput
from mirada.pictures.trash import Asker
from mirada.search.asked import Asked
from mirada.search.judging import narrowed
from mirada.search.pager import Pager
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime, request_id


def current_asker() -> Asker:
    """Return the caller as whoever deletes images or takes them back. Raises NotAuthenticated."""
    return Asker(require_user().id, current_caller().is_administrator)


def scope_of_caller(
    fields: Mapping[str, Any] | None = None, *, own_alone: bool = False, in_trash: bool = False
) -> Scope:
    """Return the caller and what they ask to see.

    Args:
        fields: validated fields of `webapp.schemas.filters`, beside others or not; None for no filter.
        own_alone: only the caller's own images are asked for.
        in_trash: their own in the trash are asked for.

    Raises:
        InvalidInput: they ask for something that is not judged here.
    """
    audience = current_caller().audience
    if own_alone:
        audience = audience.own_alone()
    if in_trash:
        audience = audience.own_trash()
    asked = filter_of(fields, current_runtime().settings.nsfw_threshold)
    return narrowed(current_runtime(), audience, asked, request_id())


def asked_by_caller(fields: Mapping[str, Any] | None = None, *, own_alone: bool = False) -> Asked:
    """Return the caller, what they ask to see, and the number in X-Min-Change-Seq.

    Args:
        fields: as `scope_of_caller` takes them.
        own_alone: only the caller's own images are asked for.

    Raises:
        NotAuthenticated: nobody is told how often the database changed who has no key.
        InvalidInput: the header is no number, or as `scope_of_caller` raises it.
    """
    scope = scope_of_caller(fields, own_alone=own_alone)
    given = request.headers.get("X-Min-Change-Seq")
    if given is None:
        return Asked(scope)
    require_user()
    if not given.isdecimal() or len(given) > 18:
        raise InvalidInput("X-Min-Change-Seq must be the number that X-Change-Seq gave.")
    return Asked(scope, int(given))


def pager_of_caller() -> Pager:
    """Return what gives the caller further pages of their searches: by their key, where they have one."""
    caller = current_caller()
    key_id = None if caller.key is None else caller.key.id
    return Pager(current_runtime(), caller.user_id, key_id)

"""Sets of queries as `mirada evaluate` names them: by their name and their owner's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from console.site import current_runtime
from mirada.evaluation import sets
from mirada.evaluation.sets import QuerySet
from mirada.kernel.errors import NotFound
from mirada.people import users


def user_id(username: str) -> int:
    """Return the id of a user of that name; raises NotFound."""
    with current_runtime().transaction() as session:
        return users.user_named(session, username).id


def set_of(name: str, username: str) -> QuerySet:
    """Return a user's set by its name; raises NotFound, and InvalidInput where it can be no name."""
    owner_id = user_id(username)
    with current_runtime().reading() as session:
        return sets.set_named(session, owner_id, name)


@contextmanager
def new_or_known(name: str, username: str) -> Iterator[QuerySet]:
    """Give a set, which is made where there is none, and taken back where filling it fails."""
    known = set_if_any(name, username)
    if known is not None:
        yield known
        return
    database, owner_id = current_runtime().database, user_id(username)
    new = sets.make(database, owner_id, name).set
    try:
        yield new
    except BaseException:
        sets.remove(database, new.id, owner_id)
        raise


def set_if_any(name: str, username: str) -> QuerySet | None:
    """Return a user's set by its name; None where there is none."""
    try:
        return set_of(name, username)
    except NotFound:
        return None

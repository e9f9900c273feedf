"""The acts that are written down (`mirada.db.audit`), and in whose name this thread acts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum


class Via(StrEnum):
    """A way in which somebody came in."""

    KEY = "key"
    SESSION = "session"
    LINK = "link"
    TOKEN = "token"  # noqa: S105 - of a product
    PRODUCT = "product"
    OPEN = "open"
    COMMAND_LINE = "command_line"
    SERVER = "server"


class Action(StrEnum):
    """An act. The part before the point is the kind of thing that it was done to."""

    USER_MAKE = "user.make"
    USER_ROLE = "user.role"
    USER_QUOTA = "user.quota"
    USER_END = "user.end"
    KEY_MAKE = "key.make"
    KEY_REPLACE = "key.replace"
    KEY_REVOKE = "key.revoke"
    LINK_MAKE = "link.make"
    LINK_USE = "link.use"
    IMAGE_HIDE = "image.hide"
    IMAGE_SHOW = "image.show"
    IMAGE_DELETE = "image.delete"
    IMAGE_ERASE = "image.erase"
    IMAGE_RESTORE = "image.restore"
    IMAGE_TAG = "image.tag"
    COMMENT_DELETE = "comment.delete"
    VERDICT_DELETE = "verdict.delete"
    PACK_DELETE = "pack.delete"
    LABELS_PUT = "labels.put"
    LABELS_DELETE = "labels.delete"
    LABELS_RESET = "labels.reset"
    STYLES_PUT = "styles.put"
    STYLES_DELETE = "styles.delete"
    STYLES_RESET = "styles.reset"
    INDEX_REBUILD = "index.rebuild"
    GROUPS_MAKE = "groups.make"
    MAP_MAKE = "map.make"
    MODEL_BEGIN = "model.begin"
    MODEL_FLIP = "model.flip"
    MODEL_GO_BACK = "model.go_back"
    MODEL_DISCARD = "model.discard"
    MODEL_CANCEL = "model.cancel"
    JOB_RETRY = "job.retry"
    JOB_CANCEL = "job.cancel"
    WEBHOOK_MAKE = "webhook.make"
    WEBHOOK_CHANGE = "webhook.change"
    WEBHOOK_SECRET = "webhook.secret"  # noqa: S105 - the name of an act
    WEBHOOK_DELETE = "webhook.delete"
    LIBRARY_EXPORT = "library.export"
    LIBRARY_IMPORT = "library.import"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts.

    Attributes:
        via: how they came in.
        user_id: who they are; None for the command line and the server itself.
        role: what they acted as: "user" or "administrator"; None without a user.
        key_id: the key that they called with, or that opened their session; None without one.
    """

    via: Via
    user_id: int | None = None
    role: str | None = None
    key_id: int | None = None


SERVER = Actor(Via.SERVER)
COMMAND_LINE = Actor(Via.COMMAND_LINE)
_actor: ContextVar[Actor] = ContextVar("actor", default=SERVER)


def current() -> Actor:
    """Return who acts in this thread; the server itself where nobody was named."""
    return _actor.get()


def begin(actor: Actor) -> None:
    """Let this thread act for somebody from now on; SERVER ends that."""
    _actor.set(actor)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Let the block act for somebody."""
    before = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(before)

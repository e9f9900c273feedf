"""The view of a thread: which spaces its request or job works in, from its beginning to its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from mirada.kernel.embeddings import SpaceKind


@dataclass(frozen=True, slots=True)
class ModelView:
    """The spaces in use, and the name under which a process keeps the encoders that belong to them.

    Attributes:
        spaces: numbers of the spaces. A kind that is missing is looked up in the database.
        suffix: ends the names of the view's encoders; empty for those of the process's start.
    """

    spaces: Mapping[SpaceKind, int] = field(default_factory=dict)
    suffix: str = ""

    @property
    def image_space_id(self) -> int | None:
        """Return the number of the image space, None while it is not known."""
        return self.spaces.get(SpaceKind.IMAGE)


_view: ContextVar[ModelView | None] = ContextVar("model_view", default=None)


def current() -> ModelView | None:
    """Return the view that this thread's work began with; None where it began with none."""
    return _view.get()


def begin(view: ModelView | None) -> None:
    """Let this thread work in a view from now on; None ends that."""
    _view.set(view)


@contextmanager
def working_in(view: ModelView) -> Iterator[None]:
    """Let the block work in a view."""
    before = _view.get()
    _view.set(view)
    try:
        yield
    finally:
        _view.set(before)

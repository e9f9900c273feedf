"""Asked: the scope of a search and how fresh its answer has to be, from a request or plain values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from mirada.db import spaces
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.errors import Conflict
from mirada.ports import VectorIndex
from mirada.runtime import Runtime

FRESHNESS_WAIT_S = 2.0
"""A search that waits longer for the change that it must reflect is Unavailable."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The terms of a search, whatever it looks for.

    Attributes:
        scope: the viewer, what is kept from them, and what they ask to see.
        min_change_seq: the answer reflects at least this change; None for as fresh as it is.
    """

    scope: Scope
    min_change_seq: int | None = None

    @property
    def audience(self) -> Audience:
        """The viewer and what is kept from them."""
        return self.scope.audience

    def without(self, image_id: int) -> Self:
        """Return the same with one more image kept out of the results."""
        return replace(self, scope=self.scope.without(image_id))

    def fresh_index(self, runtime: Runtime, space_id: int) -> VectorIndex:
        """Return the index of a space once it reflects the change that is asked for.

        Raises:
            Conflict: this database never gave that number, so waiting for it would never end.
            Unavailable: the change did not arrive within FRESHNESS_WAIT_S.
        """
        index = runtime.index(space_id)
        if self.min_change_seq is not None:
            self.require_given(runtime.vector_source(space_id).current_seq())
            index.wait_for(self.min_change_seq, timeout_s=FRESHNESS_WAIT_S)
        return index

    def require_given(self, current_seq: int | None) -> None:
        """Raise Conflict for a change number that this database, now at that one, never gave."""
        if current_seq is not None and (self.min_change_seq or 0) > current_seq:
            raise Conflict(
                f"This database never gave the change number {self.min_change_seq}; its latest is "
                f"{current_seq}. It was probably restored from a backup: forget the number and "
                "search without it."
            )


def current_change_seq(runtime: Runtime) -> int | None:
    """Return the last committed change number, None before there is any image space."""
    with runtime.reading() as session:
        space_id = spaces.pinned_space_id(session)
    return None if space_id is None else runtime.vector_source(space_id).current_seq()

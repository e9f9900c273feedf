"""The actions that put many images into a pack, or take them out."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, or_

from mirada.batches.doing import Doing, Images, Locked, State
from mirada.db.pack_models import Pack
from mirada.db.visibility import may_see
from mirada.kernel.audience import Audience
from mirada.kernel.errors import Conflict
from mirada.packs import standing
from mirada.packs.limits import MOST_IMAGES
from mirada.packs.member_rows import ids_seen, whole_order
from mirada.packs.members import lock_by_hand
from mirada.packs.standing import Standing


class _Packing(Doing):
    """An action for a pack of one's own, by its id, that people fill."""

    pack: Pack

    def begin(self) -> None:
        """Lock the pack. Raises NotFound: it is not theirs; Conflict: it fills itself."""
        self.pack = lock_by_hand(self.session, self.value, self.asker.user_id)

    def may(self, *, is_undoing: bool = False) -> ColumnElement[bool]:
        """Return the condition that they see the image; one in their trash keeps its place meanwhile."""
        audience = Audience(self.asker.user_id)
        seen = may_see(audience)
        return or_(seen, may_see(audience.own_trash())) if is_undoing else seen

    def states(self, images: Images) -> dict[int, State]:
        """Return how each image stands in the pack; None for one that is not in it."""
        found = standing.standing_of(self.session, self.pack, images)
        return {each: found[each]._asdict() if each in found else None for each in images}

    def write(self, images: Images, states: Mapping[int, State]) -> None:
        """Put images in, each at its place, and take out the others."""
        put = {each: Standing(**state) for each, state in states.items() if state is not None}
        standing.stand(self.session, self.pack, put, [each for each in states if each not in put])

    def is_same(self, now: State, then: State) -> bool:
        """Return whether it is in the pack as it was; its place may be another one by now."""
        return bool(_without_place(now) == _without_place(then))


class AddToPack(_Packing):
    """Put images at the end of a pack, in the order in which they are named."""

    _room: int

    def states(self, images: Images) -> dict[int, State]:
        """Return how each image stands in the pack, and see how many more it takes."""
        there = whole_order(self.session, self.pack.id)
        seen = ids_seen(self.session, there, Audience(self.asker.user_id))
        self._room = MOST_IMAGES - len(seen)
        return super().states(images)

    def after(self, _image: Locked, state: State) -> State:
        """Return it in the pack. Raises Conflict where the pack is full."""
        if state is not None:
            return state
        if self._room <= 0:
            raise Conflict(f"A pack has {MOST_IMAGES:,} pictures at most. Begin another one.")
        self._room -= 1
        return Standing()._asdict()


class RemoveFromPack(_Packing):
    """Take images out of a pack; undoing puts each where it was, with its emojis."""

    def after(self, _image: Locked, _state: State) -> State:
        """Return it outside."""
        return None


def _without_place(state: State) -> State:
    return None if state is None else {**state, "position": None}

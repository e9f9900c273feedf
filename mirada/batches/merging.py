"""The action that merges images of one's own into others: they go into the trash, what they have does not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_

from mirada.batches.belongings import Belongings, belongings_of, packs_of
from mirada.batches.doing import Images, Locked, State
from mirada.batches.giving import Gift, Hands
from mirada.batches.seeing import Delete
from mirada.db.pack_models import Pack
from mirada.db.visibility import may_change, may_take_back
from mirada.kernel.errors import Conflict
from mirada.pictures.images import absent

INTO, GAVE = "into", "gave"


class Merge(Delete):
    """Put images into the trash, and give what they have to the ones that are kept.

    Its value is `{"into": {ID: KEPT_ID}}`. Only one's own are merged, whoever asks.
    """

    _packs: Mapping[int, Pack]
    _images: Images
    _has: Mapping[int, Belongings]

    def may(self, *, is_undoing: bool = False) -> ColumnElement[bool]:
        """Return the condition that the image is their own; to undo it, in the trash or not."""
        own = may_change(self.asker.user_id)
        return or_(own, may_take_back(self.asker.user_id)) if is_undoing else own

    def beside(self, ids: Collection[int]) -> set[int]:
        """Return the images that these are merged into."""
        return {self._kept_of(each) for each in ids}

    def hold(self, ids: Collection[int]) -> None:
        """Lock the packs that the images are in, or the kept ones."""
        self._packs = packs_of(self.session, {*ids, *self.beside(ids)})

    def states(self, images: Images) -> dict[int, State]:
        """Return of each image whether it is in the trash, and read what belongs to it."""
        self._images = images
        self._has = belongings_of(self.session, images, self._packs, self.asker.user_id)
        return super().states(images)

    def after(self, image: Locked, state: State) -> State:
        """Return it in the trash, with what it gives.

        Raises:
            NotFound: the one to keep is not theirs, or in the trash.
            Conflict: it would be merged into itself.
            InvalidInput: the kept one would have too many tags.
        """
        kept_id = self._kept_of(image.id)
        if kept_id == image.id:
            raise Conflict("An image is not merged into itself.")
        kept = self._images.get(kept_id)
        if kept is None:
            raise absent(kept_id)
        given = self._has[image.id].give(
            self._has[kept_id],
            lambda pack_id: kept.is_public or self._packs[pack_id].owner_id == kept.owner_id,
            # What only its owner reads stays so.
            words=image.is_public or not kept.is_public,
        )
        return {**super().after(image, state), GAVE: given.to_json()}

    def write(self, images: Images, states: Mapping[int, State]) -> None:
        """Give what they have, and put them into the trash."""
        gifts = [self._gift(images, each, state[GAVE]) for each, state in states.items()]
        self._hands().give(gifts)
        super().write(images, states)

    def is_same(self, now: State, then: State) -> bool:
        """Return whether the image is in the trash as it was put there."""
        return bool(now == {name: value for name, value in then.items() if name != GAVE})

    def set_back(
        self, images: Images, states: Mapping[int, State], left: Mapping[int, State]
    ) -> None:
        """Take back what they gave, as far as it is there, and the images out of the trash."""
        there = [each for each in states if self._kept_of(each) in images]
        self._hands().take_back([self._gift(images, each, left[each][GAVE]) for each in there])
        # Their tags and texts are as they were; what is written is who sees them.
        super().write(images, states)

    def _gift(self, images: Images, image_id: int, given: Mapping[str, Any]) -> Gift:
        told = Belongings.of_json(dict(given))
        return Gift(images[image_id], images[self._kept_of(image_id)], told)

    def _hands(self) -> Hands:
        return Hands(self.session, self._packs, self.means)

    def _kept_of(self, image_id: int) -> int:
        return int(self.value[INTO][str(image_id)])


def merged_ids(value: Any, after_id: int, most: int) -> Sequence[int]:
    """Return the next images that are merged by an action's value: by id, behind one, at most so many."""
    ids = sorted(each for each in map(int, value[INTO]) if each > after_id)
    return ids[:most]

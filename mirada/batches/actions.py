"""The actions for many images, by name. A new one is a class and its line in `ACTIONS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mirada.batches.asking import Recaption, Reclassify
from mirada.batches.doing import Doing, Images, Locked, Name, State
from mirada.batches.merging import Merge
from mirada.batches.packing import AddToPack, RemoveFromPack
from mirada.batches.seeing import Delete, Restore, SetVisibility
from mirada.db import image_tags
from mirada.kernel.audit import Action
from mirada.kernel.tags import tag_key
from mirada.pictures.tags import edited, renamed


class _Tagging(Doing):
    """An action that changes tags."""

    def states(self, images: Images) -> dict[int, State]:
        """Return the tags of each image."""
        return {image_id: image.tags for image_id, image in images.items()}

    def write(self, _images: Images, states: Mapping[int, State]) -> None:
        """Write the tags."""
        image_tags.write(self.session, states)

    def act_of(self, _state: State) -> Action:
        """Return that its tags were changed."""
        return Action.IMAGE_TAG


class AddTags(_Tagging):
    """Put tags on images, as each owner writes them already."""

    _written: Mapping[int, Sequence[str]]

    def states(self, images: Images) -> dict[int, State]:
        """Return the tags of each image, and see how its owner writes the new ones."""
        self._written = {
            owner_id: image_tags.as_owner_writes(
                self.session, owner_id, self.value, self.asker.user_id
            )
            for owner_id in sorted({image.owner_id for image in images.values()})
        }
        return super().states(images)

    def after(self, image: Locked, _state: State) -> State:
        """Return its tags and these. Raises InvalidInput where they are too many."""
        return list(edited(image.tags, self._written[image.owner_id], ()))


class RemoveTags(_Tagging):
    """Take tags off images."""

    def after(self, image: Locked, _state: State) -> State:
        """Return its tags without these."""
        return list(edited(image.tags, (), self.value))


class RenameTag(_Tagging):
    """Call a tag of images by another name; where an image has both, they become one."""

    def after(self, image: Locked, _state: State) -> State:
        """Return its tags, which stay as they are where it has not this one."""
        old, new = self.value
        return renamed(image.tags, tag_key(old), new)


ACTIONS: Mapping[Name, type[Doing]] = {
    Name.SET_VISIBILITY: SetVisibility,
    Name.ADD_TAGS: AddTags,
    Name.REMOVE_TAGS: RemoveTags,
    Name.RENAME_TAG: RenameTag,
    Name.DELETE: Delete,
    Name.RESTORE: Restore,
    Name.ADD_TO_PACK: AddToPack,
    Name.REMOVE_FROM_PACK: RemoveFromPack,
    Name.RECLASSIFY: Reclassify,
    Name.RECAPTION: Recaption,
    Name.MERGE: Merge,
}

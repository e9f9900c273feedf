"""The actions that change who sees many images, or that put them into the trash and take them back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, or_, update

from mirada.batches.doing import Doing, Images, Locked, State, touch
from mirada.captions.wording import recipe_in_force
from mirada.captions.writing import request_caption
from mirada.db import word_index
from mirada.db.models import Image, utc_now
from mirada.db.visibility import may_change, may_take_back
from mirada.kernel.audit import Action
from mirada.kernel.errors import Conflict, NotAllowed
from mirada.kernel.picture_tokens import new_token
from mirada.webhooks import telling

_IMAGES = Image.__table__
_SHOW = (
    update(_IMAGES)  # type: ignore[arg-type]
    .where(_IMAGES.c.id == bindparam("image"))
    .values(
        is_public=bindparam("public"),
        is_hidden=bindparam("hidden"),
        hidden_reason=bindparam("reason"),
        version=_IMAGES.c.version + 1,
        picture_token=bindparam("token"),
        updated_at=bindparam("now", type_=_IMAGES.c.updated_at.type),
    )
)
_PUT = _SHOW.values(trashed_at=bindparam("trashed", type_=_IMAGES.c.trashed_at.type))
NO_TRASH = (
    "There is no trash here (TRASH_DAYS=0), so that deleting many images could not be undone. Delete "
    "them one by one, with DELETE /api/v1/images/ID."
)
NO_TRASH_ANY_MORE = (
    "There is no trash here any more (TRASH_DAYS=0), so what was restored does not go back to it: it would "
    "be erased."
)


def _seen(image: Locked) -> dict[str, State]:
    return {
        "is_public": image.is_public,
        "is_hidden": image.is_hidden,
        "hidden_reason": image.hidden_reason,
    }


class _Seen(Doing):
    """An action that changes who sees an image."""

    def write(self, images: Images, states: Mapping[int, State]) -> None:
        """Write the states, with new addresses of the pictures."""
        session, now = self.session, utc_now()
        rows = [
            {
                "image": image_id,
                "public": state["is_public"],
                "hidden": state["is_hidden"],
                "reason": state["hidden_reason"],
                "token": new_token(),
                "now": now,
                **self._more(state),
            }
            for image_id, state in sorted(states.items())
        ]
        session.execute(_PUT if "trashed" in rows[0] else _SHOW, rows)
        touch(session, images, states)
        word_index.rewrite_marked(session, list(states))

    def _more(self, _state: State) -> dict[str, State]:
        return {}


class SetVisibility(_Seen):
    """Show images to everybody, or to their owner alone."""

    def states(self, images: Images) -> dict[int, State]:
        """Return who sees each image."""
        return {image_id: _seen(image) for image_id, image in images.items()}

    def after(self, image: Locked, state: State) -> State:
        """Return who is to see it. Raises NotAllowed where an administrator hid it."""
        is_public = self.value == "public"
        if image.is_public == is_public:
            return state
        if image.is_hidden and not self.asker.is_administrator:
            raise NotAllowed("An administrator hid this image; only one of them shows it again.")
        is_hidden = not is_public and image.owner_id != self.asker.user_id
        return {"is_public": is_public, "is_hidden": is_hidden, "hidden_reason": None}

    def act_of(self, state: State) -> Action:
        """Return that it was shown, or hidden."""
        return Action.IMAGE_SHOW if state["is_public"] else Action.IMAGE_HIDE


class _Trashing(_Seen):
    """An action that puts images into the trash, or takes them out."""

    def may(self, *, is_undoing: bool = False) -> ColumnElement[bool]:
        """Return the condition that the image is theirs; to undo it, in the trash or not."""
        asker = self.asker
        if not is_undoing:
            return super().may()
        return or_(
            may_change(asker.user_id, is_administrator=asker.is_administrator),
            may_take_back(asker.user_id, is_administrator=asker.is_administrator),
        )

    def states(self, images: Images) -> dict[int, State]:
        """Return of each image whether it is in the trash, since when, and who sees it otherwise."""
        return {
            image_id: _seen(image)
            | {"trashed_at": None if image.trashed_at is None else image.trashed_at.isoformat()}
            for image_id, image in images.items()
        }

    def write(self, images: Images, states: Mapping[int, State]) -> None:
        """Write the states; tell webhooks what goes, and ask for captions of what comes back."""
        super().write(images, states)
        session, settings = self.session, self.means.settings
        gone = {
            each: images[each].owner_id for each, state in states.items() if state["trashed_at"]
        }
        telling.deleted(session, gone)
        if recipe_in_force(settings) is None:
            return
        back = [images[each] for each in states if each not in gone]
        lacking = {(each.content_id, each.owner_id) for each in back if each.lacks_description}
        for content_id, owner_id in sorted(lacking):
            request_caption(session, content_id, owner_id, self.means.request_id)

    def act_of(self, state: State) -> Action:
        """Return that it went into the trash, or came back."""
        return Action.IMAGE_DELETE if state["trashed_at"] else Action.IMAGE_RESTORE

    def _more(self, state: State) -> dict[str, State]:
        at = state["trashed_at"]
        return {"trashed": None if at is None else datetime.fromisoformat(at)}


class Delete(_Trashing):
    """Put images into the trash; what an administrator deletes of others is hidden as well."""

    def check(self) -> None:
        """Raise Conflict where there is no trash: nothing is erased by hundreds."""
        if not self.means.settings.trash_days:
            raise Conflict(NO_TRASH)

    def after(self, image: Locked, state: State) -> State:
        """Return it in the trash."""
        seen = state
        if image.owner_id != self.asker.user_id:
            seen = {**state, "is_public": False, "is_hidden": True}
        return {**seen, "trashed_at": _now()}


class Restore(_Trashing):
    """Take images out of the trash."""

    is_of_trash = True

    def check_undoing(self) -> None:
        """Raise Conflict where there is no trash: what goes to it would be erased at once."""
        if not self.means.settings.trash_days:
            raise Conflict(NO_TRASH_ANY_MORE)

    def after(self, _image: Locked, state: State) -> State:
        """Return it out of the trash."""
        return {**state, "trashed_at": None}

    def set_back(
        self, images: Images, states: Mapping[int, State], _left: Mapping[int, State]
    ) -> None:
        """Put images into the trash again, where they have all of its days: one is not gone at once."""
        self.write(
            images, {each: {**state, "trashed_at": _now()} for each, state in states.items()}
        )


def _now() -> str:
    # Whole seconds: pages of the trash go on by them.
    return utc_now().replace(microsecond=0).isoformat()

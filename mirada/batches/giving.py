"""Giving what belongs to an image to the one that it is merged into, and taking exactly that back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from mirada.batches.belongings import Belongings, Place
from mirada.batches.doing import Locked, Means
from mirada.captions.writing import request_caption
from mirada.db import changes, image_tags, spaces, word_index
from mirada.db.chunks import chunks
from mirada.db.classifier_models import Feedback
from mirada.db.memory_models import Comment, Like
from mirada.db.models import Image, utc_now
from mirada.db.pack_models import Pack, PackImage
from mirada.db.session import count_changed
from mirada.db.texts import release_text, set_caption, set_models_caption, set_prompt
from mirada.embedding.job import queue_embedding
from mirada.kernel.captions import CaptionSource
from mirada.kernel.tags import tag_key
from mirada.packs import standing
from mirada.packs.members import remove_all
from mirada.packs.packs import bump
from mirada.packs.standing import Standing
from mirada.pictures.images import add_to_counts

_IMAGES = Image.__table__


@dataclass(frozen=True, slots=True)
class Gift:
    """What one image gives to another, or is given back; the rows of both are locked.

    Attributes:
        giver: it goes into the trash, or comes out.
        kept: the one that keeps all.
        given: what.
    """

    giver: Locked
    kept: Locked
    given: Belongings


class Hands:
    """What hands over gifts, in one transaction, in which the packs are locked."""

    def __init__(self, session: Session, packs: Mapping[int, Pack], means: Means) -> None:
        """Keep what the work needs."""
        self.session, self.packs, self.means = session, packs, means

    def give(self, gifts: Sequence[Gift]) -> None:
        """Give all of it."""
        for gift in gifts:
            for place in gift.given.places:
                self._put(gift, place)
            self._like(gift)
            self._move_comments(gift.given.comments, gift.giver.id, gift.kept.id)
            self._judge(gift)
            self._call(gift, is_back=False)
        tags: dict[int, list[str]] = {}
        for gift in gifts:
            if gift.given.tags:
                tags[gift.kept.id] = tags.get(gift.kept.id, gift.kept.tags) + gift.given.tags
        image_tags.write(self.session, tags)
        self._write_texts([gift for gift in gifts if gift.given.prompt or gift.given.caption])
        changes.note(self.session)

    def take_back(self, gifts: Sequence[Gift]) -> None:
        """Take back what is still there of it."""
        # Last given, first taken back: of two that were in one pack, the first one's place goes last, and the
        # cover with it.
        for gift in reversed(gifts):
            for place in gift.given.places:
                self._put_back(gift, place)
            self._take_likes(gift)
            self._move_comments(gift.given.comments, gift.kept.id, gift.giver.id)
            self._take_verdicts(gift)
            self._call(gift, is_back=True)
        left: dict[int, list[str]] = {}
        for gift in gifts:
            if gift.given.tags:
                gone = {tag_key(tag) for tag in gift.given.tags}
                now = left.get(gift.kept.id, gift.kept.tags)
                fewer = [tag for tag in now if tag_key(tag) not in gone]
                if fewer != now:
                    left[gift.kept.id] = fewer
        image_tags.write(self.session, left)
        for gift in gifts:
            if gift.given.prompt or gift.given.caption:
                self._take_texts(gift)
        changes.note(self.session)

    def _put(self, gift: Gift, place: Place) -> None:
        """Put the kept image where the other one stands in a pack, or give it the emojis of that."""
        pack, kept_id = self.packs[place.pack_id], gift.kept.id
        if place.is_new:
            put = {kept_id: Standing(place.position, place.emojis)}
            standing.stand(self.session, pack, put, [])
        elif place.emojis:
            self._mark(pack, kept_id, [*self._emojis(pack, kept_id), *place.emojis])
        if place.is_cover:
            pack.cover_image_id = kept_id
            bump(self.session, pack)

    def _put_back(self, gift: Gift, place: Place) -> None:
        pack, kept_id = self.packs.get(place.pack_id), gift.kept.id
        if pack is None:
            return
        is_cover = pack.cover_image_id == kept_id
        if place.is_new and remove_all(self.session, pack, [kept_id]):
            bump(self.session, pack)
        elif place.emojis:
            left = [each for each in self._emojis(pack, kept_id) if each not in place.emojis]
            self._mark(pack, kept_id, left)
        if place.is_cover and is_cover:
            pack.cover_image_id = gift.giver.id
            bump(self.session, pack)

    def _emojis(self, pack: Pack, image_id: int) -> list[str]:
        here = (PackImage.pack_id == pack.id, PackImage.image_id == image_id)
        return (
            self.session.execute(select(PackImage.emojis).where(*here)).scalar_one_or_none() or []
        )

    def _mark(self, pack: Pack, image_id: int, emojis: list[str]) -> None:
        here = (PackImage.pack_id == pack.id, PackImage.image_id == image_id)
        self.session.execute(update(PackImage).where(*here).values(emojis=emojis))
        word_index.rewrite(self.session, [image_id])
        bump(self.session, pack)

    def _like(self, gift: Gift) -> None:
        rows = [
            {"image_id": gift.kept.id, "user_id": int(who), "created_at": _time(at)}
            for who, at in gift.given.likes.items()
        ]
        if rows:
            self.session.execute(insert(Like), rows)
            add_to_counts(self.session, gift.kept.id, likes=len(rows))

    def _take_likes(self, gift: Gift) -> None:
        """Take the likes off that were given: one that was taken back and given anew is somebody's own."""
        theirs = select(Like.user_id, Like.created_at).where(Like.image_id == gift.kept.id)
        given = {int(who): _time(at) for who, at in gift.given.likes.items()}
        users = [who for who, at in self.session.execute(theirs) if given.get(who) == at]
        for some in chunks(users):
            these = (Like.image_id == gift.kept.id, Like.user_id.in_(some))
            gone = count_changed(self.session, delete(Like).where(*these))
            add_to_counts(self.session, gift.kept.id, likes=-gone)

    def _move_comments(self, ids: Sequence[int], from_id: int, to_id: int) -> None:
        for some in chunks(ids):
            these = (Comment.id.in_(some), Comment.image_id == from_id)
            moved = count_changed(
                self.session, update(Comment).where(*these).values(image_id=to_id)
            )
            add_to_counts(self.session, from_id, comments=-moved)
            add_to_counts(self.session, to_id, comments=moved)

    def _judge(self, gift: Gift) -> None:
        if gift.kept.content_id == gift.giver.content_id:
            return
        rows = [
            {
                "user_id": gift.kept.owner_id,
                "content_id": gift.kept.content_id,
                "theme": theme,
                "accepted": accepted,
                "asset_id": asset_id,
            }
            for theme, (accepted, asset_id) in gift.given.verdicts.items()
        ]
        if rows:
            self.session.execute(insert(Feedback), rows)

    def _take_verdicts(self, gift: Gift) -> None:
        if gift.kept.content_id == gift.giver.content_id:
            return
        for theme, (accepted, _) in gift.given.verdicts.items():
            self.session.execute(
                delete(Feedback).where(
                    Feedback.user_id == gift.kept.owner_id,
                    Feedback.content_id == gift.kept.content_id,
                    Feedback.theme == theme,
                    Feedback.accepted == accepted,
                )
            )

    def _call(self, gift: Gift, *, is_back: bool) -> None:
        """Call the kept image as the other one was called elsewhere, or no longer so."""
        given, kept_id = gift.given, gift.kept.id
        if given.external is not None:
            source, external_id, name = given.external
            of, to = (kept_id, gift.giver.id) if is_back else (gift.giver.id, kept_id)
            known = (_IMAGES.c.external_id == external_id, _IMAGES.c.external_source == source)
            # Taken off first: no two images have one old id.
            called = {
                "external_source": source,
                "external_id": external_id,
                "external_name": name,
            }
            if self._set(of, dict.fromkeys(called), known):
                self._set(to, called)
        if given.asset_id is not None:
            here = (_IMAGES.c.asset_id == given.asset_id,) if is_back else ()
            self._set(kept_id, {"asset_id": None if is_back else given.asset_id}, here)

    def _set(
        self, image_id: int, columns: Mapping[str, str | None], conditions: Sequence[Any] = ()
    ) -> int:
        statement = update(_IMAGES).where(  # type: ignore[arg-type]
            _IMAGES.c.id == image_id, *conditions
        )
        edited = {"version": _IMAGES.c.version + 1, "updated_at": utc_now()}
        return count_changed(self.session, statement.values({**columns, **edited}))

    def _write_texts(self, gifts: Sequence[Gift]) -> None:
        for gift in gifts:
            image, given = self._loaded(gift), gift.given
            left: list[int | None] = []
            # Flushed in between, one change would be two versions.
            with self.session.no_autoflush:
                if given.prompt is not None:
                    left.append(set_prompt(self.session, image, given.prompt))
                if given.caption is not None:
                    left += set_caption(self.session, image, given.caption)
            self._end_texts(image, left)
            if not self.means.settings.embeddings_enabled:
                continue
            if given.prompt is not None and image.prompt_is_due:
                queue_embedding(
                    self.session,
                    image.content_id,
                    spaces.pinned_space_id(self.session),
                    owner_id=image.owner_id,
                    request_id=self.means.request_id,
                )
            if given.caption is not None:
                request_caption(
                    self.session, image.content_id, image.owner_id, self.means.request_id
                )

    def _take_texts(self, gift: Gift) -> None:
        image, given = self._loaded(gift), gift.given
        left: list[int | None] = []
        with self.session.no_autoflush:
            if given.prompt is not None and image.prompt == given.prompt:
                left.append(set_prompt(self.session, image, None))
            is_persons = image.caption_source == CaptionSource.PERSON
            if given.caption is not None and is_persons and image.caption == given.caption:
                left.append(set_models_caption(self.session, image))
        self._end_texts(image, left)

    def _loaded(self, gift: Gift) -> Image:
        query = select(Image).where(Image.id == gift.kept.id)
        return self.session.execute(query.execution_options(populate_existing=True)).scalar_one()

    def _end_texts(self, image: Image, left: Sequence[int | None]) -> None:
        self.session.flush()
        word_index.rewrite(self.session, [image.id])
        for text_id in sorted({each for each in left if each is not None}):
            release_text(self.session, text_id)


def _time(at: str) -> datetime:
    return datetime.fromisoformat(at)

"""What belongs to an image and goes to the one that it is merged into: read, and compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Self

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.batches.doing import Images
from mirada.db.chunks import rows_in
from mirada.db.classifier_models import Feedback
from mirada.db.memory_models import Comment, Like
from mirada.db.models import Image
from mirada.db.pack_models import Pack, PackImage
from mirada.kernel.captions import CaptionSource
from mirada.kernel.tags import MAX_TAGS, tag_key, too_many
from mirada.packs.limits import MOST_EMOJIS


class Place(NamedTuple):
    """An image's place in a pack.

    Attributes:
        pack_id: which pack.
        position: as `PackImage` has it.
        emojis: what it stands for there.
        is_cover: whether it is the pack's cover.
        is_new: of what is given: the kept image was not in the pack before.
    """

    pack_id: int
    position: int
    emojis: list[str]
    is_cover: bool
    is_new: bool = True


@dataclass(slots=True)
class Belongings:
    """What belongs to an image, or the part of it that another one is given; as JSON with `to_json`.

    Attributes:
        tags: in their order.
        likes: who likes it, and since when, ISO 8601.
        places: in packs.
        comments: their ids.
        verdicts: by theme, what its owner said of it, with the asset id that they said it with.
        prompt: None without one.
        caption: what a person wrote; None for nothing.
        asset_id: None without one.
        external: where it was imported from: source, id and name; None where it was not.
    """

    tags: list[str] = field(default_factory=list)
    likes: dict[str, str] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    comments: list[int] = field(default_factory=list)
    verdicts: dict[str, tuple[bool, str | None]] = field(default_factory=dict)
    prompt: str | None = None
    caption: str | None = None
    asset_id: str | None = None
    external: list[str | None] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what there is of it."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def of_json(cls, told: dict[str, Any]) -> Self:
        """Return what `to_json` told."""
        read = cls(**told)
        read.places = [Place(*each) for each in read.places]
        return read

    def give(self, kept: Belongings, may_go_to: Callable[[int], bool], *, words: bool) -> Self:
        """Return what an image gives to the kept one, to which it is added.

        Args:
            kept: what the kept one has.
            may_go_to: whether the kept one may have a place in a pack.
            words: whether the kept one is seen by nobody who did not see this one. Where it is, what is
                written on this one stays there.

        Raises:
            InvalidInput: the kept image would have too many tags.
        """
        keys = {tag_key(tag) for tag in kept.tags}
        tags = [tag for tag in self.tags if words and tag_key(tag) not in keys]
        if len(tags) + len(kept.tags) > MAX_TAGS:
            raise too_many()
        given = type(self)(
            tags=tags,
            likes={who: at for who, at in self.likes.items() if who not in kept.likes},
            places=self._places_for(kept, may_go_to),
            comments=self.comments if words else [],
            verdicts={
                theme: said for theme, said in self.verdicts.items() if theme not in kept.verdicts
            },
            asset_id=None if kept.asset_id else self.asset_id,
        )
        if words:
            given.prompt = None if kept.prompt else self.prompt
            given.caption = None if kept.caption else self.caption
            given.external = None if kept.external else self.external
        kept.take(given)
        return given

    def _places_for(self, kept: Belongings, may_go_to: Callable[[int], bool]) -> list[Place]:
        there = {place.pack_id: place for place in kept.places}
        given = []
        for place in self.places:
            if not may_go_to(place.pack_id):
                continue
            known = there.get(place.pack_id)
            if known is None:
                given.append(place)
                continue
            room = MOST_EMOJIS - len(known.emojis)
            emojis = [each for each in place.emojis if each not in known.emojis][:room]
            if emojis or place.is_cover:
                given.append(place._replace(emojis=emojis, is_new=False))
        return given

    def take(self, given: Belongings) -> None:
        """Add what is given, so that nothing of it is given again."""
        self.tags = [*self.tags, *given.tags]
        self.likes = {**self.likes, **given.likes}
        self.verdicts = {**self.verdicts, **given.verdicts}
        there = {place.pack_id: place for place in self.places}
        for place in given.places:
            known = there.get(place.pack_id)
            there[place.pack_id] = (
                place if known is None else known._replace(emojis=[*known.emojis, *place.emojis])
            )
        self.places = list(there.values())
        self.prompt = self.prompt or given.prompt
        self.caption = self.caption or given.caption
        self.asset_id = self.asset_id or given.asset_id
        self.external = self.external or given.external


def belongings_of(
    session: Session, images: Images, pack_ids: Collection[int], owner_id: int
) -> dict[int, Belongings]:
    """Return what belongs to each of some locked images of one owner, in those packs, which are locked."""
    found = {image_id: Belongings(tags=image.tags) for image_id, image in images.items()}
    _read_columns(session, found)
    likes = select(Like.image_id, Like.user_id, Like.created_at)
    for image_id, user_id, at in rows_in(session, likes, Like.image_id, images):
        found[image_id].likes[str(user_id)] = at.isoformat()
    comments = select(Comment.image_id, Comment.id).order_by(Comment.id)
    for image_id, comment_id in rows_in(session, comments, Comment.image_id, images):
        found[image_id].comments.append(comment_id)
    columns = (PackImage.image_id, PackImage.pack_id, PackImage.position, PackImage.emojis)
    places = select(*columns, Pack.cover_image_id).join(Pack, Pack.id == PackImage.pack_id)
    for row in rows_in(session, places.order_by(Pack.id), PackImage.image_id, images):
        if row.pack_id in pack_ids:
            is_cover = row.cover_image_id == row.image_id
            place = Place(row.pack_id, row.position, list(row.emojis), is_cover)
            found[row.image_id].places.append(place)
    _read_verdicts(session, found, images, owner_id)
    return found


def _read_columns(session: Session, found: dict[int, Belongings]) -> None:
    query = select(
        *(Image.id, Image.prompt, Image.caption, Image.caption_source, Image.asset_id),
        *(Image.external_source, Image.external_id, Image.external_name),
    )
    for row in rows_in(session, query, Image.id, found):
        each = found[row.id]
        each.prompt, each.asset_id = row.prompt, row.asset_id
        if row.caption_source == CaptionSource.PERSON:
            each.caption = row.caption
        if row.external_id is not None:
            each.external = [row.external_source, row.external_id, row.external_name]


def _read_verdicts(
    session: Session, found: dict[int, Belongings], images: Images, owner_id: int
) -> None:
    of_content: dict[int, list[int]] = defaultdict(list)
    for image_id, image in images.items():
        of_content[image.content_id].append(image_id)
    query = select(Feedback.content_id, Feedback.theme, Feedback.accepted, Feedback.asset_id)
    query = query.where(Feedback.user_id == owner_id)
    for row in rows_in(session, query, Feedback.content_id, of_content):
        for image_id in of_content[row.content_id]:
            found[image_id].verdicts[row.theme] = (row.accepted, row.asset_id)


def packs_of(session: Session, image_ids: Iterable[int]) -> dict[int, Pack]:
    """Return the packs that any of these images is in, locked, lowest id first."""
    inside = select(PackImage.pack_id).distinct()
    ids = {row.pack_id for row in rows_in(session, inside, PackImage.image_id, image_ids)}
    locking = select(Pack).order_by(Pack.id).with_for_update()
    locking = locking.execution_options(populate_existing=True)
    return {pack.id: pack for (pack,) in rows_in(session, locking, Pack.id, ids)}

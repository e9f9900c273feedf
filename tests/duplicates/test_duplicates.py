"""Duplicates of a library on real databases: found, and told to whoever may see them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image as Pillow
from PIL import ImageOps
from sqlalchemy import func, select, update

from mirada.db.duplicate_models import NotDuplicates, SamePicture
from mirada.db.models import Content, Image, Job, User
from mirada.duplicates import deciding, finding, seen, told, twins
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.kernel.audience import Audience
from mirada.kernel.duplicates import Tier
from mirada.kernel.errors import NotFound
from testing.pictures import pixels
from testing.registering import take_in
from testing.worksite import Site
from workers.runner import JobRunner, run_job


def encoded(image: Pillow.Image, fmt: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


class Shelf:
    """Pictures of several people, each a variant of picture n."""

    def __init__(self, site: Site) -> None:
        self.site = site
        with site.runtime.transaction() as session:
            others = [User(username=name) for name in ("ana", "bob")]
            session.add_all(others)
            session.flush()
            self.ana, self.bob = (user.id for user in others)

    def put(self, owner_id: int, content: bytes, *, is_public: bool = False) -> int:
        staged = self.site.runtime.image_store.stage()
        staged.stream.write(content)
        staged.stream.flush()
        taken = take_in(
            self.site.runtime,
            staged,
            owner_id=owner_id,
            is_public=is_public,
            declared_media_type=None,
        )
        return taken.image_id

    def work(self) -> None:
        """Embed what came in, and compare it."""
        runner = JobRunner(self.site.runtime)
        runner.run_batches(CREATE_EMBEDDINGS)
        runner.stop(0)
        self.find()

    def find(self) -> None:
        finding.queue_waiting(self.site.runtime)
        with self.site.runtime.reading() as session:
            query = select(Job.id).where(Job.kind == finding.FIND_DUPLICATES)
            job_id = session.execute(query.order_by(Job.id.desc())).scalars().first()
        assert job_id is not None
        run_job(self.site.runtime, job_id)

    def groups(self, tier: Tier, viewer_id: int) -> list[list[int]]:
        with self.site.runtime.reading() as session:
            found = seen.list_groups(session, tier, viewer_id)
        return [[member.image_id for member in group.members] for group in found]

    def twins(self, image_id: int, viewer_id: int | None) -> list[tuple[int, str, bool]]:
        with self.site.runtime.reading() as session:
            found = twins.twins_of(session, image_id, Audience(viewer_id))
        return [(twin.image_id, twin.tier.value, twin.is_mirrored) for twin in found]

    def deny(self, user_id: int, *ids: int) -> None:
        with self.site.runtime.transaction() as session:
            one, other = sorted(ids)
            session.add(NotDuplicates(user_id=user_id, one_id=one, other_id=other))


@pytest.fixture
def shelf(site: Site) -> Shelf:
    return Shelf(site)


def variants(seed: int) -> list[bytes]:
    """Return a picture, a poor copy, a small one and its mirror image."""
    image = pixels(seed, (160, 120))
    return [
        encoded(image),
        encoded(image, "JPEG", quality=30),
        encoded(image.resize((80, 60))),
        encoded(ImageOps.mirror(image)),
    ]


def test_copies_are_found_when_they_come_in_and_groups_are_as_seen(shelf: Shelf) -> None:
    original, poor, small, mirrored = variants(1)
    mine = shelf.put(shelf.ana, original)
    again = shelf.put(shelf.ana, original)
    private = shelf.put(shelf.bob, poor)
    public = shelf.put(shelf.bob, small, is_public=True)
    alone = shelf.put(shelf.ana, encoded(pixels(2, (160, 120))))
    shelf.work()
    turned = shelf.put(shelf.ana, mirrored)
    shelf.work()
    assert shelf.groups(Tier.NEAR, shelf.ana) == [[turned, public, again, mine]]
    assert shelf.groups(Tier.SAME_FILE, shelf.ana) == [[again, mine]]
    assert shelf.groups(Tier.NEAR, shelf.bob) == [[public, private]]
    assert shelf.groups(Tier.SAME_FILE, shelf.bob) == []
    assert shelf.groups(Tier.SAME_SUBJECT, shelf.ana) == []
    assert shelf.twins(mine, shelf.ana) == [
        (again, "same_file", False),
        (turned, "near", True),
        (public, "near", False),
    ]
    assert shelf.twins(public, None) == []
    assert shelf.twins(alone, shelf.ana) == []
    with shelf.site.runtime.reading() as session:
        assert told.count_waiting(session, shelf.ana) == 0
        with pytest.raises(NotFound):
            seen.get_group(session, Tier.NEAR, shelf.ana, alone)
        with pytest.raises(NotFound):
            seen.get_group(session, Tier.NEAR, shelf.ana, private)
        assert seen.get_group(session, Tier.NEAR, shelf.ana, mine).id == turned


def test_no_chain_leads_over_a_picture_that_one_may_not_see(shelf: Shelf) -> None:
    """Mine and the public one are near only to what somebody else keeps private."""
    first = shelf.put(shelf.ana, encoded(pixels(1)))
    between = shelf.put(shelf.bob, encoded(pixels(2)))
    last = shelf.put(shelf.ana, encoded(pixels(3)))
    shelf.work()
    with shelf.site.runtime.transaction() as session:
        rows = session.execute(select(Image.id, Image.content_id))
        contents = {image_id: content_id for image_id, content_id in rows}  # noqa: C416
        for one, other in ((first, between), (between, last)):
            pair = sorted((contents[one], contents[other]))
            row = SamePicture(one_id=pair[0], other_id=pair[1], bits=3, is_mirrored=False)
            session.add(row)
    assert shelf.groups(Tier.NEAR, shelf.ana) == []
    with shelf.site.runtime.transaction() as session:
        session.execute(update(Image).where(Image.id == between).values(is_public=True))
    assert shelf.groups(Tier.NEAR, shelf.ana) == [[last, between, first]]


def test_bytes_that_somebody_else_had_wait_like_new_ones(shelf: Shelf) -> None:
    original, poor, *_ = variants(4)
    shelf.put(shelf.bob, original)
    shelf.put(shelf.bob, poor)
    shelf.work()
    mine = [shelf.put(shelf.ana, original), shelf.put(shelf.ana, poor)]
    runner = JobRunner(shelf.site.runtime)
    runner.run_batches(CREATE_EMBEDDINGS)
    runner.stop(0)
    # Ready, and its pair is known; not to its owner.
    assert shelf.groups(Tier.NEAR, shelf.ana) == []
    assert shelf.twins(mine[0], shelf.ana) == []
    with shelf.site.runtime.reading() as session:
        assert told.count_waiting(session, shelf.ana) == 2
    shelf.find()
    assert shelf.groups(Tier.NEAR, shelf.ana) == [mine[::-1]]


def test_what_somebody_said_are_no_duplicates_is_taken_apart_for_them_alone(shelf: Shelf) -> None:
    original, poor, small, _ = variants(5)
    a, b, c = (shelf.put(shelf.ana, each, is_public=True) for each in (original, poor, small))
    theirs = shelf.put(shelf.bob, original, is_public=True)
    shelf.work()
    assert shelf.groups(Tier.NEAR, shelf.ana) == [[theirs, c, b, a]]
    shelf.deny(shelf.ana, a, b)
    # They are still connected over the third.
    assert shelf.groups(Tier.NEAR, shelf.ana) == [[theirs, c, b, a]]
    for one, other in ((b, c), (b, theirs)):
        shelf.deny(shelf.ana, one, other)
    assert shelf.groups(Tier.NEAR, shelf.ana) == [[theirs, c, a]]
    assert shelf.groups(Tier.NEAR, shelf.bob) == [[theirs, c, b, a]]
    assert [each for each, *_ in shelf.twins(b, shelf.ana)] == []


@pytest.mark.parametrize("older", [None, b"x" * 90])
def test_older_pictures_are_hashed_and_the_job_changes_nothing_twice(
    shelf: Shelf, older: bytes | None
) -> None:
    ids = [shelf.put(shelf.ana, each) for each in variants(6)]
    other = shelf.put(shelf.ana, variants(7)[0])
    shelf.work()
    with shelf.site.runtime.transaction() as session:
        # As an older version left them.
        session.execute(update(Content).values(picture_hash=older))
        session.execute(update(Image).values(duplicates_edition=int(older is not None)))
        session.execute(SamePicture.__table__.delete())
        if older is not None:
            # What an earlier edition took for the same picture.
            contents = {key: session.get_one(Image, key).content_id for key in (ids[0], other)}
            pair = sorted(contents.values())
            session.add(SamePicture(one_id=pair[0], other_id=pair[1], bits=30, is_mirrored=False))
        before = session.execute(select(Image.id, Image.version, Image.updated_at)).all()
    shelf.find()
    assert shelf.groups(Tier.NEAR, shelf.ana) == [ids[::-1]]
    with shelf.site.runtime.transaction() as session:
        pairs = session.execute(select(func.count()).select_from(SamePicture)).scalar_one()
        assert session.execute(select(Image.id, Image.version, Image.updated_at)).all() == before
        session.execute(update(Image).values(duplicates_edition=0))
    shelf.find()
    with shelf.site.runtime.reading() as session:
        assert session.execute(select(func.count()).select_from(SamePicture)).scalar_one() == pairs


def test_pages_go_on_where_the_last_one_ended(shelf: Shelf) -> None:
    for seed in range(10, 13):
        for content in variants(seed)[:2]:
            shelf.put(shelf.ana, content)
    shelf.work()
    with shelf.site.runtime.reading() as session:
        first = seen.list_groups(session, Tier.NEAR, shelf.ana, limit=2)
        rest = seen.list_groups(session, Tier.NEAR, shelf.ana, cursor=first[-1].id, limit=2)
    assert [len(first), len(rest)] == [2, 1]
    assert first[0].id > first[1].id > rest[0].id


def test_nothing_is_queued_while_nothing_waits(shelf: Shelf) -> None:
    finding.queue_waiting(shelf.site.runtime)
    with shelf.site.runtime.reading() as session:
        assert session.execute(select(func.count()).select_from(Job)).scalar_one() == 0


def test_a_decision_counts_for_whoever_made_it_and_is_forgotten(shelf: Shelf) -> None:
    original, poor, small, _ = variants(5)
    ids = [shelf.put(shelf.ana, each) for each in (original, poor, small)]
    shelf.work()
    database = shelf.site.runtime.database
    assert deciding.are_none(database, Tier.NEAR, shelf.ana, ids[1]) == 3
    assert shelf.groups(Tier.NEAR, shelf.ana) == []
    with pytest.raises(NotFound):
        deciding.are_none(database, Tier.NEAR, shelf.ana, ids[1])
    with pytest.raises(NotFound):
        deciding.forget(database, shelf.bob, ids[0])
    assert deciding.forget(database, shelf.ana, ids[0]) == 2
    assert shelf.groups(Tier.NEAR, shelf.ana) == [ids[::-1]]
    # Said twice, in part: what is there already is left alone.
    assert deciding.are_none(database, Tier.NEAR, shelf.ana, ids[0]) == 3
    assert shelf.groups(Tier.NEAR, shelf.ana) == []

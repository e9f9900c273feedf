"""Filters as SQL say the same as filters as Python, for every attribute and whoever looks."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.engine import make_url

from mirada.db import filters
from mirada.db.classifier_models import (
    ClassifiedPicture,
    Cluster,
    ClusterKind,
    ClusterMember,
    ClusterRun,
    Feedback,
    ImageLabels,
)
from mirada.db.facets import CODED, FACETS
from mirada.db.memory_models import Like
from mirada.db.migrate import upgrade_to_head
from mirada.db.models import Content, Image, Installation, Space, User
from mirada.db.pack_models import Pack, PackImage
from mirada.db.session import Database, make_engine
from mirada.db.tag_models import ImageTag
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.colours import ColourName, name_of
from mirada.kernel.filters import ATTRIBUTES, EVERYTHING, Area, ImageFilter, Judged, Shape
from mirada.kernel.images import ImageStatus
from mirada.pictures import image_lists
from testing.statements import statements_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ANA, BEA, CLEO = 1, 2, 3
SIZES = ((100, 100), (110, 100), (111, 100), (100, 110), (100, 111), (640, 480), (1, 9))
NAMES = (None, "Cat.PNG", "cat_1.png", "Ärger 100%.jpg", "dog\\1.png", "ЗИМА.webp")
PARTS = ("cat", "CAT", "_", "%", "\\", "ä", "зима", ".png", "none of them", "png' OR 1=1 --")
THEMES, LABELS = ("cats", "dogs"), ("cat", "dog")
TAGS = ["sky", "blue cat", "a,b"]
WITHOUT_A_FACET = {
    "created_before",
    "group_id",
    "nsfw",
    "filename",
    "asset_id",
    "colours",
    "area",
} | {"external_id"}


@dataclass
class Gallery:
    """Images of three people as they were written, beside the database that they were written to."""

    database: Database
    images: list[Image] = field(default_factory=list)
    contents: dict[int, Content] = field(default_factory=dict)
    likes: set[tuple[int, int]] = field(default_factory=set)
    verdicts: dict[tuple[int, int, str], bool] = field(default_factory=dict)
    labels: dict[tuple[int, int], str | None] = field(default_factory=dict)
    tags: dict[int, set[str]] = field(default_factory=dict)
    shown: dict[int, str | None] = field(default_factory=dict)
    senders: set[tuple[int, int]] = field(default_factory=set)
    runs: dict[int, ClusterRun] = field(default_factory=dict)
    members: dict[int, set[int]] = field(default_factory=dict)
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    packs: dict[int, Pack] = field(default_factory=dict)
    packed: set[tuple[int, int]] = field(default_factory=set)
    space_in_use: int = 0

    def found(self, scope: Scope) -> set[int]:
        with self.database.reading() as session:
            return set(session.execute(select(Image.id).where(filters.in_scope(scope))).scalars())

    def expected(self, scope: Scope) -> set[int]:
        return {
            image.id
            for image in self.images
            if self.sees(scope.audience, image)
            and all(
                PREDICATES[name](self, image, getattr(scope.filter, name), scope.audience.viewer_id)
                for name in scope.filter.asked
            )
        }

    def sees(self, audience: Audience, image: Image) -> bool:
        is_shown = image.is_public or image.owner_id == audience.viewer_id
        return is_shown and (audience.owner_ids is None or image.owner_id in audience.owner_ids)

    def tells(self, user_id: int, content_id: int, viewer_id: int | None) -> bool:
        if user_id == viewer_id:
            return True
        of_content = [image for image in self.images if image.content_id == content_id]
        return (
            any(image.is_public for image in of_content)
            and not any(i.owner_id == user_id and not i.is_public for i in of_content)
            and (user_id, content_id) not in self.senders
        )

    def in_group(self, image: Image, group_id: int, viewer_id: int | None) -> bool:
        if group_id not in self.members:
            return False
        run = next(run for run in self.runs.values() if group_id in run.groups)  # type: ignore[attr-defined]
        newest = max(r.id for r in self.runs.values() if r.kind == run.kind and r.finished_at)
        if run.id != newest:
            return False
        seen = [
            each
            for each in self.images
            if each.content_id in self.members[group_id]
            and each.created_at <= run.created_at
            and self.sees(Audience(viewer_id), each)
        ]
        least = 2 if run.kind == ClusterKind.NEAR_DUPLICATES else 1
        return len(seen) >= least and image.id in {each.id for each in seen}

    def in_pack(self, image: Image, pack_id: int, viewer_id: int | None) -> bool:
        pack = self.packs.get(pack_id)
        is_shown = pack is not None and (pack.is_public or pack.owner_id == viewer_id)
        return is_shown and (pack_id, image.id) in self.packed

    def in_area(self, image: Image, area: Area) -> bool:
        newest = max(
            r.id for r in self.runs.values() if r.kind == ClusterKind.MAP and r.finished_at
        )
        if image.content_id not in self.places or image.created_at > self.runs[newest].created_at:
            return False
        x, y = self.places[image.content_id]
        return area.left <= x <= area.right and area.top <= y <= area.bottom


def _score(gallery: Gallery, image: Image, asked: Judged) -> bool:
    score = gallery.contents[image.content_id].nsfw_score
    judged_at = gallery.contents[image.content_id].judged_at
    if score is None or judged_at is None or judged_at < image.created_at:
        return False
    if gallery.contents[image.content_id].judged_space_id != gallery.space_in_use:
        return False
    if image.status != ImageStatus.READY:
        return False
    return (score >= asked.threshold) is asked.is_unsafe


def _shape(gallery: Gallery, image: Image) -> Shape:
    content = gallery.contents[image.content_id]
    return Shape.of(content.width, content.height)


PREDICATES: dict[str, Callable[[Gallery, Image, Any, int | None], bool]] = {
    "owner_ids": lambda g, i, value, who: i.owner_id in value,
    "is_public": lambda g, i, value, who: i.is_public is value,
    "statuses": lambda g, i, value, who: i.status in value,
    "is_animated": lambda g, i, value, who: g.contents[i.content_id].is_animated is value,
    "shapes": lambda g, i, value, who: _shape(g, i) in value,
    "colours": lambda g, i, value, who: (
        i.status == ImageStatus.READY
        and (colour := g.contents[i.content_id].colour) is not None
        and name_of(colour) in value
    ),
    "has_prompt": lambda g, i, value, who: (i.prompt is not None) is value,
    "is_liked": lambda g, i, value, who: ((i.id, who) in g.likes) is value,
    "created_after": lambda g, i, value, who: i.created_at >= value,
    "created_before": lambda g, i, value, who: i.created_at < value,
    "theme": lambda g, i, value, who: any(
        accepted and content == i.content_id and theme == value and g.tells(user, content, who)
        for (user, content, theme), accepted in g.verdicts.items()
    ),
    "labels": lambda g, i, value, who: g.labels.get((who or 0, i.content_id)) in value,
    "group_id": lambda g, i, value, who: g.in_group(i, value, who),
    "nsfw": lambda g, i, value, who: _score(g, i, value),
    "filename": lambda g, i, value, who: (
        i.owner_id == who and i.filename is not None and value.lower() in i.filename.lower()
    ),
    "asset_id": lambda g, i, value, who: i.owner_id == who and i.asset_id == value,
    "area": lambda g, i, value, who: g.in_area(i, value),
    "tags": lambda g, i, value, who: value <= g.tags[i.id],
    "shows": lambda g, i, value, who: g.shown.get(i.id) in value,
    "pack_id": lambda g, i, value, who: g.in_pack(i, value, who),
    "external_id": lambda g, i, value, who: i.external_id == value,
}


def values_of(random_: random.Random, gallery: Gallery) -> dict[str, Any]:
    """Return a value of every attribute."""
    some = random_.randint
    return {
        "owner_ids": frozenset(random_.sample([ANA, BEA, CLEO, 99], some(1, 3))),
        "is_public": random_.random() < 0.5,
        "statuses": frozenset(random_.sample(list(ImageStatus), some(1, 3))),
        "is_animated": random_.random() < 0.5,
        "shapes": frozenset(random_.sample(list(Shape), some(1, 3))),
        "colours": frozenset(random_.sample(list(ColourName), some(1, 8))),
        "has_prompt": random_.random() < 0.5,
        "is_liked": random_.random() < 0.5,
        "created_after": BEGIN + timedelta(hours=some(0, 60)),
        "created_before": BEGIN + timedelta(hours=some(0, 60)),
        "theme": random_.choice([*THEMES, "nothing"]),
        "labels": frozenset(random_.sample([*LABELS, "nothing"], some(1, 3))),
        "group_id": random_.choice([*gallery.members, 999]),
        "nsfw": Judged(random_.random() < 0.5, random_.choice([0.2, 0.5, 0.8])),
        "filename": random_.choice(PARTS),
        "asset_id": random_.choice(["a-1", "a-2"]),
        "area": Area(some(0, 40), some(0, 40), some(40, 99), some(40, 99)),
        "tags": frozenset(random_.sample([*TAGS, "nothing"], some(1, 2))),
        "shows": frozenset(random_.sample([*LABELS, "nothing"], some(1, 3))),
        "pack_id": random_.choice([*gallery.packs, 999]),
        # Drawn beside the others, which stay as they were drawn before it.
        "external_id": random.Random(hash(random_.getstate())).choice(["17", "018f", "none"]),
    }


def planted(database: Database, seed: int, count: int = 60) -> Gallery:
    """Return a gallery of random images, which share some of their contents."""
    random_ = random.Random(seed)
    gallery = Gallery(database)
    with database.transaction() as session:
        session.add_all([User(id=id_, username=f"u{id_}") for id_ in (ANA, BEA, CLEO)])
        contents = [_content(random_, number) for number in range(count // 2)]
        session.add_all(contents)
        session.flush()
        gallery.contents = {content.id: content for content in contents}
        gallery.images = [_image(random_, random_.choice(contents).id) for _ in range(count)]
        session.add_all(gallery.images)
        session.flush()
        _deeds(random_, gallery, session)
        _groups(random_, gallery, session)
        _packs(random_, gallery, session)
    return gallery


def _content(random_: random.Random, number: int) -> Content:
    width, height = random_.choice(SIZES)
    return Content(
        sha256=f"{number:064x}",
        storage_key=str(number),
        byte_size=1,
        format="PNG",
        width=width,
        height=height,
        is_animated=random_.random() < 0.3,
        nsfw_score=random_.choice([None, 0.0, 0.2, 0.5, 0.7, 1.0]),
        colour=random_.choice([None, "#0b0b0c", "#1b2a41", "#d22020", "#ffffff", "#e3d3b0"]),
        judged_at=random_.choice([None, *(BEGIN + timedelta(hours=h) for h in (20, 50, 99))]),
    )


def _image(random_: random.Random, content_id: int) -> Image:
    return Image(
        owner_id=random_.choice([ANA, BEA, CLEO]),
        content_id=content_id,
        is_public=random_.random() < 0.5,
        status=random_.choice([*ImageStatus, ImageStatus.READY]),
        prompt=random_.choice([None, "film still"]),
        filename=random_.choice(NAMES),
        asset_id=random_.choice([None, "a-1"]),
        external_id=(None, "17", "018f")[content_id % 3],
        created_at=BEGIN + timedelta(hours=random_.randint(0, 60)),
    )


def _deeds(random_: random.Random, gallery: Gallery, session: Any) -> None:
    for image in gallery.images:
        for who in (ANA, BEA, CLEO):
            if random_.random() < 0.3:
                gallery.likes.add((image.id, who))
                session.add(Like(image_id=image.id, user_id=who))
    for content_id in gallery.contents:
        for who in (ANA, BEA, CLEO):
            if random_.random() < 0.4:
                label, sent = random_.choice([None, *LABELS]), random_.random() < 0.3
                gallery.labels[who, content_id] = label
                gallery.senders |= {(who, content_id)} if sent else set()
                session.add(
                    ClassifiedPicture(
                        owner_id=who, content_id=content_id, sent_bytes=sent, label=label
                    )
                )
            for theme in THEMES:
                if random_.random() < 0.3:
                    accepted = random_.random() < 0.6
                    gallery.verdicts[who, content_id, theme] = accepted
                    session.add(
                        Feedback(user_id=who, content_id=content_id, theme=theme, accepted=accepted)
                    )


def _marks(random_: random.Random, gallery: Gallery, session: Any, other_space: int) -> None:
    """Tags that people put on images, and what the model called them, in two spaces."""
    for image in gallery.images:
        gallery.tags[image.id] = {tag for tag in TAGS if random_.random() < 0.4}
        for tag in gallery.tags[image.id]:
            session.add(ImageTag(image_id=image.id, tag=tag, name=tag))
        for space_id in (gallery.space_in_use, other_space):
            label = random_.choice([None, *LABELS])
            if space_id == gallery.space_in_use:
                gallery.shown[image.id] = label
            session.add(
                ImageLabels(
                    image_id=image.id,
                    space_id=space_id,
                    judged_by="test",
                    label=label,
                    score=0.5,
                    logits=b"",
                    is_far=False,
                    computed_at=BEGIN,
                )
            )


def _packs(random_: random.Random, gallery: Gallery, session: Any) -> None:
    packs = [
        Pack(owner_id=who, title="pets", is_public=is_public)
        for who in (ANA, BEA)
        for is_public in (True, False)
    ]
    session.add_all(packs)
    session.flush()
    gallery.packs = {pack.id: pack for pack in packs}
    for pack in packs:
        for position, image in enumerate(random_.sample(gallery.images, 20)):
            gallery.packed.add((pack.id, image.id))
            session.add(PackImage(pack_id=pack.id, image_id=image.id, position=position, emojis=[]))


def _groups(random_: random.Random, gallery: Gallery, session: Any) -> None:
    space = Space(
        name="image:a:b:c",
        kind="image",
        encoder="a",
        pretrained="b",
        preprocessing="c",
        dimension=8,
    )
    other = Space(
        name="image:z:b:c",
        kind="image",
        encoder="z",
        pretrained="b",
        preprocessing="c",
        dimension=8,
    )
    session.add_all([space, other])
    session.flush()
    session.get_one(Installation, 1).image_space_id = gallery.space_in_use = space.id
    _marks(random_, gallery, session, other.id)
    for content in gallery.contents.values():
        content.judged_space_id = random_.choice([None, other.id, space.id, space.id, space.id])
    for kind, is_finished in (
        (ClusterKind.THEMES, True),
        (ClusterKind.NEAR_DUPLICATES, True),
        (ClusterKind.THEMES, True),
        (ClusterKind.THEMES, False),
        (ClusterKind.MAP, True),
        (ClusterKind.MAP, True),
        (ClusterKind.MAP, False),
    ):
        run = ClusterRun(
            kind=kind,
            space_id=space.id,
            parameters={},
            change_seq=0,
            created_at=BEGIN + timedelta(hours=40),
            finished_at=BEGIN + timedelta(hours=41) if is_finished else None,
        )
        clusters = [Cluster(size=0) for _ in range(4)]
        session.add(run)
        session.flush()
        for cluster in clusters:
            cluster.run_id = run.id
        session.add_all(clusters)
        session.flush()
        run.groups = {cluster.id for cluster in clusters}  # type: ignore[attr-defined]
        gallery.runs[run.id] = run
        places: dict[int, tuple[int, int]] = {}
        gallery.members |= {cluster.id: set() for cluster in clusters}
        for content_id in random_.sample(list(gallery.contents), len(gallery.contents) // 2):
            cluster = random_.choice(clusters)
            gallery.members[cluster.id].add(content_id)
            member = ClusterMember(cluster_id=cluster.id, content_id=content_id, similarity=0.9)
            session.add(member)
            if kind is ClusterKind.MAP:
                member.x, member.y = random_.randint(0, 99), random_.randint(0, 99)
                if is_finished:
                    places[content_id] = (member.x, member.y)
        if places:
            gallery.places = places


VIEWERS = (ANA, BEA, None)


def scopes(random_: random.Random, gallery: Gallery) -> Iterator[Scope]:
    """Yield every attribute alone, some together, and nothing at all, as each viewer."""
    for viewer in VIEWERS:
        yield Scope(Audience(viewer))
        for _ in range(3):
            values = values_of(random_, gallery)
            for name, value in values.items():
                yield Scope(Audience(viewer), ImageFilter(**{name: value}))
            for count in (2, 3):
                some: dict[str, Any] = {
                    name: values[name] for name in random_.sample(ATTRIBUTES, count)
                }
                yield Scope(Audience(viewer), ImageFilter(**some))
                if viewer is not None:
                    yield Scope(Audience(viewer).own_alone(), ImageFilter(**some))


def assert_sql_is_python(database: Database, seed: int) -> None:
    gallery = planted(database, seed)
    random_ = random.Random(seed)
    narrowed: set[str] = set()
    for scope in scopes(random_, gallery):
        expected = gallery.expected(scope)
        assert gallery.found(scope) == expected, scope
        if len(scope.filter.asked) == 1 and expected:
            everything = gallery.expected(replace(scope, filter=EVERYTHING))
            narrowed |= set(scope.filter.asked) if expected < everything else set()
    assert narrowed == set(ATTRIBUTES), "an attribute that never let some through and kept some out"
    assert_counts_are_those_of_the_list(gallery, random_)


def assert_counts_are_those_of_the_list(gallery: Gallery, random_: random.Random) -> None:
    """Every value of a facet is told with as many images as a filter by it lets through."""
    of_value: dict[str, Callable[[Any], Any]] = {
        "owner_ids": lambda value: frozenset([value]),
        "statuses": lambda value: frozenset([ImageStatus(value)]),
        "shapes": lambda value: frozenset([Shape(value)]),
        "labels": lambda value: frozenset([value]),
        "tags": lambda value: frozenset([value]),
        "shows": lambda value: frozenset([value]),
        "theme": str,
        "pack_id": int,
    }
    names = [name for name in ATTRIBUTES if name in FACETS]
    for viewer in VIEWERS:
        values = values_of(random_, gallery)
        for asked in ({}, {"is_animated": values["is_animated"]}, {"shapes": values["shapes"]}):
            scope = Scope(Audience(viewer), ImageFilter(**asked))
            with gallery.database.reading() as session:
                found = image_lists.facets(session, scope, dict.fromkeys(names, ()))
                total = image_lists.total(session, scope)
            assert total.value == len(gallery.expected(scope))
            assert total.is_exact
            months = Counter(
                100 * image.created_at.year + image.created_at.month
                for image in gallery.images
                if image.id in gallery.expected(scope)
            )
            assert {each.value: each.count for each in found["created_after"]} == months
            for name in set(names) - {"created_after"}:
                for each in found[name]:
                    value = of_value.get(name, bool)(each.value)
                    narrowed = replace(scope.filter, **{name: value})
                    expected = gallery.expected(replace(scope, filter=narrowed))
                    assert each.count == len(expected) > 0, (scope, name, each)


def test_every_attribute_has_a_row_and_a_predicate_here() -> None:
    assert set(filters.ATTRIBUTES) == set(ATTRIBUTES) == set(PREDICATES)
    assert set(ATTRIBUTES) - FACETS == WITHOUT_A_FACET


def test_what_images_say_of_themselves_is_counted_in_one_pass(database: Database) -> None:
    planted(database, 3)
    attributes: dict[str, tuple[str, ...]] = dict.fromkeys(CODED, ())
    for asked, passes in ((EVERYTHING, 1), (ImageFilter(shapes=frozenset([Shape.SQUARE])), 2)):
        scope = Scope(Audience(ANA), asked)
        with database.reading() as session, statements_of(database.engine) as told:
            image_lists.facets(session, scope, attributes)
        # What a filter asks of an attribute itself does not narrow its counts.
        assert len([each for each in told if "GROUP BY" in each]) == passes


@pytest.fixture
def postgresql_database(postgresql_url: str) -> Iterator[Database]:
    database = Database(make_engine(make_url(postgresql_url), 2))
    upgrade_to_head(database.engine)
    yield database
    database.close()


MORE_SEEDS = pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=pytest.mark.drill) for seed in range(6, 12)]
)


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_sql_lets_the_same_images_through_as_python(database: Database, seed: int) -> None:
    assert_sql_is_python(database, seed)


@MORE_SEEDS
def test_it_does_with_more_seeds(database: Database, seed: int) -> None:
    assert_sql_is_python(database, seed)


@pytest.mark.parametrize("seed", [3, 4])
def test_it_does_on_postgresql(postgresql_database: Database, seed: int) -> None:
    assert_sql_is_python(postgresql_database, seed)


@MORE_SEEDS
def test_it_does_with_more_seeds_on_postgresql(postgresql_database: Database, seed: int) -> None:
    assert_sql_is_python(postgresql_database, seed)

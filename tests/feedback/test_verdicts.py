"""Verdicts as rows: who may give them, that one counts once, and when they go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from mirada.classify import remembered
from mirada.db.classifier_models import ClassifiedPicture, Feedback
from mirada.db.models import Image, User
from mirada.db.session import Database
from mirada.feedback import verdicts
from mirada.feedback.verdicts import Outcome
from mirada.kernel.errors import InvalidInput, NotFound
from mirada.kernel.images import ImageFormat, PictureFacts
from mirada.pictures import images, register
from testing.patience import PATIENCE_S
from testing.registering import register_image

AddImage = Callable[..., Image]


@pytest.fixture
def people(database: Database) -> tuple[int, int]:
    """The ids of two users."""
    with database.transaction() as session:
        ana, bea = User(username="ana"), User(username="bea")
        session.add_all([ana, bea])
        session.flush()
        return ana.id, bea.id


@pytest.fixture
def add_image(database: Database) -> AddImage:
    """Register an image of the bytes that a hex digit stands for."""

    def add(owner_id: int, digit: str = "a", *, is_public: bool = False) -> Image:
        key = register.storage_key(digit * 64, ImageFormat.GIF)
        picture = register.NewPicture(digit * 64, 1, PictureFacts(ImageFormat.GIF, 1, 1, 1), key)
        with database.transaction() as session:
            return register_image(
                session, picture, owner_id=owner_id, space_id=None, is_public=is_public
            ).image

    return add


def give(
    database: Database, user_id: int, digit: str, theme: str, accepted: bool, **more: object
) -> verdicts.Given:
    with database.transaction() as session:
        return verdicts.give_feedback(
            session,
            user_id=user_id,
            sha256=digit * 64,
            theme=theme,
            accepted=accepted,
            **more,
        )


def rows(database: Database) -> list[tuple[int, str, bool]]:
    with database.reading() as session:
        found = session.execute(
            select(Feedback.user_id, Feedback.theme, Feedback.accepted).order_by(Feedback.id)
        )
        return [(row.user_id, row.theme, row.accepted) for row in found]


def test_the_same_verdict_counts_once_and_another_one_replaces_it(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, _ = people
    add_image(ana)

    first = give(database, ana, "a", "Cute Cats", True, asset_id="s-1")
    again = give(database, ana, "a", " cute  CATS", True)

    assert (first.outcome, again.outcome) == (Outcome.CREATED, Outcome.UNCHANGED)
    assert again.feedback.id == first.feedback.id
    assert again.feedback.updated_at == first.feedback.updated_at
    assert again.feedback.asset_id == "s-1"
    assert rows(database) == [(ana, "cute cats", True)]

    changed = give(database, ana, "a", "cute cats", False, asset_id="s-2")

    assert (changed.outcome, changed.feedback.id) == (Outcome.REPLACED, first.feedback.id)
    assert changed.feedback.updated_at > first.feedback.updated_at
    assert changed.feedback.asset_id == "s-2"
    assert rows(database) == [(ana, "cute cats", False)]


def test_themes_and_people_are_counted_apart(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, bea = people
    add_image(ana, is_public=True)
    give(database, ana, "a", "cats", True)
    give(database, ana, "a", "gatos", False)
    give(database, bea, "a", "cats", False)
    assert rows(database) == [(ana, "cats", True), (ana, "gatos", False), (bea, "cats", False)]


@pytest.mark.parametrize("racing", [(True, True), (True, False)])
def test_racing_requests_leave_one_verdict(
    database: Database, people: tuple[int, int], add_image: AddImage, racing: tuple[bool, bool]
) -> None:
    ana, _ = people
    for digit in "0123456789":
        add_image(ana, digit)
        start = threading.Barrier(4)

        def judge(
            accepted: bool, digit: str = digit, start: threading.Barrier = start
        ) -> verdicts.Given:
            start.wait(timeout=PATIENCE_S)
            return give(database, ana, digit, "cats", accepted)

        with ThreadPoolExecutor(4) as threads:
            given = list(threads.map(judge, racing * 2))

        assert len({one.feedback.id for one in given}) == 1
        assert [one.outcome for one in given].count(Outcome.CREATED) == 1
    assert len(rows(database)) == 10


def test_a_private_picture_of_somebody_else_is_as_unknown_as_none(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, bea = people
    add_image(ana)
    said = []
    for digit in "ab":
        with pytest.raises(NotFound) as refused:
            give(database, bea, digit, "cats", True)
        said.append(refused.value.detail.replace(digit * 64, "HASH"))
    assert said[0] == said[1]
    assert rows(database) == []


@pytest.mark.parametrize("sha256", ["", "cat.png", "a" * 63, "g" * 64, "a" * 10_000])
def test_what_is_no_hash_is_an_unknown_one(
    database: Database, people: tuple[int, int], add_image: AddImage, sha256: str
) -> None:
    add_image(people[0])
    with database.transaction() as session, pytest.raises(NotFound):
        verdicts.give_feedback(
            session, user_id=people[0], sha256=sha256, theme="cats", accepted=True
        )


def test_a_picture_that_one_sent_to_be_classified_can_be_judged_by_its_sender_alone(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, bea = people
    content_id = add_image(ana).content_id
    with database.transaction() as session:
        session.add(ClassifiedPicture(owner_id=bea, content_id=content_id, sent_bytes=False))
    # By its image id: the image is not hers to see (any more).
    with pytest.raises(NotFound):
        give(database, bea, "a", "cats", True)
    with database.transaction() as session:
        session.query(ClassifiedPicture).update({"sent_bytes": True})
    assert give(database, bea, "a", "cats", True).outcome is Outcome.CREATED


@pytest.mark.parametrize(
    ("theme", "asset_id"), [("", None), (" ", None), ("x" * 101, None), ("cats", ""), ("a\0", None)]
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_kept(
    database: Database,
    people: tuple[int, int],
    add_image: AddImage,
    theme: str,
    asset_id: str | None,
) -> None:
    add_image(people[0])
    with pytest.raises(InvalidInput):
        give(database, people[0], "a", theme, True, asset_id=asset_id)
    assert rows(database) == []


def test_a_list_holds_one_s_own_newest_first_and_goes_page_by_page(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, bea = people
    add_image(ana, is_public=True)
    mine = [give(database, ana, "a", f"theme {n}", True).feedback.id for n in range(3)]
    give(database, bea, "a", "theme 1", False)
    with database.reading() as session:

        def listed(**options: object) -> list[int]:
            return [row.id for row in verdicts.list_feedback(session, ana, **options)]  # type: ignore[arg-type]

        assert listed() == mine[::-1]
        assert listed(limit=2) + listed(limit=2, cursor=mine[1]) == mine[::-1]
        assert listed(theme="Theme 1") == [mine[1]]
        assert listed(theme="other") == []
        assert verdicts.list_feedback(session, ana)[0].content.sha256 == "a" * 64
        assert verdicts.get_feedback(session, mine[0], ana).theme == "theme 0"
        with pytest.raises(NotFound):
            verdicts.get_feedback(session, mine[0], bea)


def test_a_verdict_is_taken_back_by_its_giver_or_an_administrator(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, bea = people
    add_image(ana)
    first, second = (give(database, ana, "a", theme, True).feedback.id for theme in ("x", "y"))
    with database.transaction() as session, pytest.raises(NotFound):
        verdicts.delete_feedback(session, first, bea)
    with database.transaction() as session:
        verdicts.delete_feedback(session, first, ana)
    with database.transaction() as session, pytest.raises(NotFound):
        verdicts.delete_feedback(session, first, ana)
    with database.transaction() as session:
        verdicts.delete_feedback(session, second, bea, is_administrator=True)
    assert rows(database) == []
    for absent in (0, -1, 2**63, 10**30):
        with database.transaction() as session, pytest.raises(NotFound):
            verdicts.delete_feedback(session, absent, ana, is_administrator=True)


def test_deleting_an_image_takes_the_verdicts_on_it_along(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, bea = people
    image = add_image(ana, is_public=True)
    add_image(ana, "b")
    give(database, ana, "a", "cats", True)
    give(database, bea, "a", "cats", False)
    give(database, ana, "b", "cats", True)
    with database.transaction() as session:
        images.delete_image(session, image.id, ana, expected_version=None)
    assert rows(database) == [(ana, "cats", True)]


def test_verdicts_go_when_their_giver_loses_the_picture_that_others_keep(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, bea = people
    public, private = add_image(ana, is_public=True), add_image(bea)
    assert public.content_id == private.content_id
    second = add_image(ana)
    with database.transaction() as session:
        session.add(User(id=77, username="cleo"))
    for user_id in (ana, bea, 77):
        give(database, user_id, "a", "cats", True)

    with database.transaction() as session:
        images.delete_image(session, public.id, ana, expected_version=None)
    assert rows(database) == [(ana, "cats", True), (bea, "cats", True)]

    with database.transaction() as session:
        images.delete_image(session, second.id, ana, expected_version=None)
    assert rows(database) == [(bea, "cats", True)]


def test_a_verdict_on_a_picture_that_was_only_classified_goes_when_that_is_forgotten(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, bea = people
    image = add_image(ana, is_public=True)
    with database.transaction() as session:
        session.add(ClassifiedPicture(owner_id=bea, content_id=image.content_id, sent_bytes=True))
    give(database, ana, "a", "cats", True)
    give(database, bea, "a", "cats", False)
    with database.transaction() as session:
        images.delete_image(session, image.id, ana, expected_version=None)
    assert rows(database) == [(bea, "cats", False)]
    with database.transaction() as session:
        remembered.forget(session, bea, "a" * 64)
    assert rows(database) == []

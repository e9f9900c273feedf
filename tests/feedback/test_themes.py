"""Themes and their verdicts for one viewer: their own, and those on public pictures."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import delete

from mirada.db.classifier_models import ClassifiedPicture, Feedback
from mirada.db.models import Content, Embedding, Image, User
from mirada.db.session import Database
from mirada.db.spaces import pin_space
from mirada.feedback.theme_verdicts import (
    Counts,
    ThemeVerdicts,
    count_concerning,
    list_themes,
    verdicts_on,
)
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, l2_normalise, to_blob
from mirada.kernel.images import ImageStatus

SPACE = EmbeddingSpace(SpaceKind.IMAGE, "test", "v1", "none", 8)
ANA, BEA, CLEO = 1, 2, 3


@pytest.fixture
def space_id(database: Database) -> int:
    """The pinned space; pictures 1 to 4: Ana's, Ana's public, Bea's, and one that Cleo classified.

    All but the third have a vector.
    """
    with database.transaction() as session:
        for user_id, name in ((ANA, "ana"), (BEA, "bea"), (CLEO, "cleo")):
            session.add(User(id=user_id, username=name))
        space_id = pin_space(session, SPACE).id
        session.flush()
        for content_id in (1, 2, 3, 4):
            session.add(
                Content(
                    id=content_id,
                    sha256=f"{content_id:064x}",
                    storage_key=f"aa/{content_id}.png",
                    byte_size=1,
                    format="PNG",
                    width=1,
                    height=1,
                    is_animated=False,
                )
            )
        session.flush()
        for content_id, owner_id in ((1, ANA), (2, ANA), (3, BEA)):
            session.add(
                Image(
                    owner_id=owner_id,
                    content_id=content_id,
                    is_public=content_id == 2,
                    status=ImageStatus.READY,
                )
            )
        session.add(ClassifiedPicture(owner_id=CLEO, content_id=4, sent_bytes=True))
        for content_id in (1, 2, 4):
            blob, crc32 = to_blob(l2_normalise(np.eye(8)[content_id]))
            session.add(
                Embedding(space_id=space_id, content_id=content_id, vector=blob, crc32=crc32)
            )
        return space_id


def judge(database: Database, user_id: int, content_id: int, theme: str, accepted: bool) -> int:
    """Write a verdict, whoever may see what by now."""
    with database.transaction() as session:
        row = Feedback(user_id=user_id, content_id=content_id, theme=theme, accepted=accepted)
        session.add(row)
        session.flush()
        return row.id


def test_a_viewer_sees_their_own_verdicts_and_those_on_public_pictures(
    database: Database, space_id: int
) -> None:
    given = {
        1: judge(database, ANA, 1, "cats", True),
        2: judge(database, BEA, 2, "cats", False),
        3: judge(database, BEA, 3, "cats", True),
        4: judge(database, CLEO, 4, "cats", False),
    }
    # Of a picture that was public once.
    judge(database, BEA, 1, "cats", False)

    def said(viewer_id: int) -> ThemeVerdicts:
        with database.reading() as session:
            return verdicts_on(session, "Cats", Audience(viewer_id), space_id=space_id, dimension=8)

    for viewer_id, contents, counts in (
        (ANA, {1, 2}, Counts(accepted=1, rejected=1, people=2)),
        # Her verdict on what she may see no more is counted, for she may take it back.
        (BEA, {2, 3}, Counts(accepted=1, rejected=2, people=1)),
        (CLEO, {2, 4}, Counts(accepted=0, rejected=2, people=2)),
    ):
        found = said(viewer_id)
        assert found.counts == counts
        assert {seen.feedback.content_id for seen in found.seen} == contents
    with database.reading() as session:
        counted = {
            each: count_concerning(session, given.values(), Audience(each)) for each in (ANA, BEA)
        }
    assert counted == {ANA: 2, BEA: 2}
    by_content = {seen.feedback.id: seen for seen in said(BEA).seen}
    assert by_content[given[3]].vector is None
    vector = by_content[given[2]].vector
    assert vector is not None
    assert vector.tolist() == np.eye(8)[2].tolist()
    assert by_content[given[2]].feedback.content.sha256 == f"{2:064x}"


@pytest.mark.parametrize("has_sent", [True, False])
def test_who_shows_the_same_picture_is_not_told_what_its_private_owner_said(
    database: Database, space_id: int, has_sent: bool
) -> None:
    judge(database, ANA, 1, "my secret", True)
    with database.transaction() as session:
        if has_sent:
            # Sent to be classified, and shown by nobody yet.
            session.execute(delete(Image).where(Image.content_id == 1))
            session.add(ClassifiedPicture(owner_id=ANA, content_id=1, sent_bytes=True))
        shown = {"is_public": True, "status": ImageStatus.READY}
        session.add(Image(owner_id=BEA, content_id=1, **shown))
    with database.reading() as session:
        themes = {
            each: list_themes(session, Audience(each), cursor=None, limit=9) for each in (ANA, BEA)
        }
        said = verdicts_on(session, "my secret", Audience(BEA), space_id=space_id, dimension=8)
    assert (len(themes[ANA]), themes[BEA], said.seen) == (1, [], [])


def test_verdicts_come_newest_first_page_by_page(database: Database, space_id: int) -> None:
    first = judge(database, ANA, 1, "cats", True)
    second = judge(database, ANA, 2, "cats", True)
    with database.reading() as session:
        page = verdicts_on(session, "cats", Audience(ANA), space_id=None, limit=1)
        rest = verdicts_on(session, "cats", Audience(ANA), space_id=None, cursor=second)
    assert [seen.feedback.id for seen in page.seen] == [second]
    assert [seen.feedback.id for seen in rest.seen] == [first]
    assert rest.counts == page.counts == Counts(2, 0, 1)


def test_a_theme_nobody_judged_has_nothing(database: Database, space_id: int) -> None:
    with database.reading() as session:
        said = verdicts_on(session, "cats", Audience(ANA), space_id=space_id, dimension=8)
    assert (said.counts, list(said.seen)) == (Counts(), [])


def test_themes_are_listed_by_newest_verdict_with_the_counts_of_what_is_seen(
    database: Database, space_id: int
) -> None:
    judge(database, ANA, 1, "her secret", True)
    judge(database, ANA, 2, "cats", True)
    judge(database, BEA, 3, "dogs", True)
    judge(database, BEA, 3, "cats", False)
    with database.reading() as session:

        def listed(viewer_id: int, **options: int) -> list[str]:
            return [each.theme for each in list_themes(session, Audience(viewer_id), **options)]

        assert listed(BEA) == ["cats", "dogs"]
        assert listed(CLEO) == ["cats"]
        # Bea's newest verdict on cats is on a picture that Ana may not see.
        assert listed(ANA) == ["cats", "her secret"]
        first = list_themes(session, Audience(ANA), limit=1)
        assert first[0].counts == Counts(accepted=1, rejected=0, people=1)
        assert listed(ANA, cursor=first[0].newest_id) == ["her secret"]

"""Images found by the words of their prompts and captions, on every engine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import inspect, text, update
from sqlalchemy.engine import make_url

from mirada.db.full_text import INDEX_NAME, POSTGRESQL_WORDS
from mirada.db.migrate import upgrade_to_head
from mirada.db.models import Image
from mirada.db.session import Database, make_engine
from mirada.db.spaces import pin_space
from mirada.embedding.embed import store_embedding
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import ImageFormat, ImageStatus, PictureFacts
from mirada.pictures import images, register
from mirada.search.by_words import FoundWords, find_by_words
from mirada.search.safety import Safety
from testing.album import Album
from testing.registering import register_image


class Written(Album):
    """Images with words."""

    def add(self, owner_id: int | None = None, *, is_public: bool = False, **words: str) -> int:
        """Register an image of bytes of its own, as yet PENDING."""
        self.count = getattr(self, "count", 0) + 1
        sha256 = f"{self.count:064x}"
        key = register.storage_key(sha256, ImageFormat.GIF)
        picture = register.NewPicture(sha256, 1, PictureFacts(ImageFormat.GIF, 1, 1, 1), key)
        with self.database.transaction() as session:
            return register_image(
                session,
                picture,
                owner_id=self.ana if owner_id is None else owner_id,
                space_id=None,
                is_public=is_public,
                **words,
            ).image.id

    def look(self, query: str, viewer_id: int | None = -1, **options: object) -> FoundWords:
        audience = Audience(self.ana if viewer_id == -1 else viewer_id)
        if options.pop("own_alone", False):
            audience = audience.own_alone()
        with self.database.reading() as session:
            return find_by_words(session, query, audience, **{"k": 10, **options})  # type: ignore[arg-type]

    def ids(self, query: str, *args: object, **options: object) -> list[int]:
        return self.look(query, *args, **options).image_ids  # type: ignore[arg-type]


@pytest.fixture
def migrated_postgresql(postgresql_url: str) -> Iterator[Database]:
    database = Database(make_engine(make_url(postgresql_url), 4))
    upgrade_to_head(database.engine)
    yield database
    database.close()


@pytest.fixture(
    params=[
        "sqlite_database",
        pytest.param("mariadb_database", marks=pytest.mark.mariadb),
        pytest.param("migrated_postgresql", marks=pytest.mark.postgresql),
    ]
)
def album(request: pytest.FixtureRequest) -> Written:
    return Written(request.getfixturevalue(request.param))


def test_words_of_prompt_and_caption_are_found_in_any_order_and_case(album: Written) -> None:
    cat = album.add(prompt="A fluffy CAT on the moon", caption="it sleeps")
    album.add(prompt="a dog on the beach")
    assert album.ids("Moon, cat!") == [cat]
    assert album.ids("sleeps") == [cat]
    assert album.ids("beaches") == []


def test_those_with_every_word_come_before_those_with_some(album: Written) -> None:
    some = album.add(prompt="red red red")
    every = album.add(prompt="a house that is painted, for the most part and by somebody, red")
    other = album.add(prompt="blue house")
    found = album.look("red house")
    assert found.image_ids[0] == every
    assert set(found.image_ids[1:]) == {some, other}
    assert found.complete == 1
    assert album.ids("red house", k=1) == [every]


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("um coração partido", "coracao"),
        ("um coracao partido", "Coração"),
        ("el niño y la cigüeña", "nino ciguena"),
        ("el nino", "NIÑO"),
        ("кошка на луне", "кошка"),
        ("חתול על הירח", "חתול"),
        ("हिन्दी में बिल्ली", "हिन्दी बिल्ली"),
        ("the cat of la casa", "the cat"),
    ],
)
def test_accents_and_stop_words_make_no_difference(
    album: Written, written: str, asked: str
) -> None:
    image_id = album.add(caption=written)
    album.add(caption="something else")
    found = album.look(asked)
    assert (found.image_ids, found.complete) == ([image_id], 1)


@pytest.mark.parametrize(
    "database",
    ["sqlite_database", pytest.param("migrated_postgresql", marks=pytest.mark.postgresql)],
)
def test_accents_written_apart_from_their_letters_make_no_difference(
    request: pytest.FixtureRequest, database: str
) -> None:
    album = Written(request.getfixturevalue(database))
    image_id = album.add(caption="um corac\u0327a\u0303o partido")
    assert album.ids("coração") == album.ids("coracao") == [image_id]


@pytest.mark.mariadb
def test_stop_words_are_found_on_a_mariadb_that_was_only_migrated(mariadb_url: str) -> None:
    database = Database(make_engine(make_url(mariadb_url), 4))
    upgrade_to_head(database.engine)
    album = Written(database)
    image_id = album.add(prompt="the cat", caption="com")
    assert album.ids("the") == album.ids("com") == [image_id]
    database.close()


def test_stop_words_need_not_be_there_on_mariadb(mariadb_database: Database) -> None:
    """Emptying the table, as it was before this test, brought InnoDB's stop words back."""
    album = Written(mariadb_database)
    with album.database.engine.begin() as connection:
        connection.execute(text("SET SESSION foreign_key_checks = 0"))
        connection.execute(text("TRUNCATE TABLE mirada_images"))
        connection.execute(text("SET SESSION foreign_key_checks = 1"))
    image_id = album.add(prompt="the cat that is on the moon")
    assert album.look("the cat on the moon").complete == 1
    assert album.ids("the cat on the moon") == [image_id]


@pytest.mark.parametrize("query", ['"+-*()~<>@', "-- ; ''", "\u202e\u200f", "🐱", "\x00", "___"])
def test_a_text_without_words_is_refused_and_says_so(album: Written, query: str) -> None:
    album.add(prompt="a cat")
    with pytest.raises(InvalidInput, match="no word") as refused:
        album.look(query)
    assert "text" in refused.value.fields


@pytest.mark.parametrize(
    "query",
    [
        '+cat -cat* (cat) ~cat "cat <cat> @4 cat:*',
        "'; DROP TABLE images; -- cat",
        'cat" OR "x" NEAR(prompt:',
        "cat & | ! <-> cat",
        "\u202ecat\u202c 🐱 " + "x" * 500,
        " ".join(f"word{n}" for n in range(31)) + " cat",
        "\ud800 cat %_\\",
    ],
)
def test_nothing_in_a_query_is_an_operator(album: Written, query: str) -> None:
    cat = album.add(prompt="a cat")
    album.add(prompt="a dog")
    assert album.ids(query) == [cat]


def test_what_was_changed_or_deleted_is_no_longer_found(album: Written) -> None:
    changed, deleted = album.add(prompt="zebra"), album.add(caption="zebra")
    assert album.ids("zebra") == [changed, deleted]
    album.change(changed, album.ana, prompt="giraffe")
    with album.database.transaction() as session:
        images.delete_image(session, deleted, album.ana, expected_version=None)
    assert album.ids("zebra") == []
    assert album.ids("giraffe") == [changed]
    album.change(changed, album.ana, caption="zebra", prompt=None)
    assert album.ids("zebra") == [changed]
    assert album.ids("giraffe") == []


def test_only_what_the_viewer_may_see_is_found_however_many_others_there_are(
    album: Written,
) -> None:
    for _ in range(5):
        album.add(album.bea, prompt="secret cat")
    mine = album.add(prompt="a cat, among many more words that make it a worse match")
    public = album.add(
        album.bea, prompt="a cat for everybody to see and to look at", is_public=True
    )
    assert sorted(album.ids("cat", k=2)) == [mine, public]
    assert album.ids("secret") == []
    assert album.ids("cat", None) == [public]
    assert album.ids("cat", own_alone=True) == [mine]
    album.change(public, album.bea, is_public=False)
    assert album.ids("cat") == [mine]


def test_equal_matches_come_by_id(album: Written) -> None:
    ids = [album.add(prompt="the same words") for _ in range(5)]
    assert album.ids("same words") == ids
    assert album.ids("same words", k=3) == ids[:3]


@pytest.mark.parametrize("status", list(ImageStatus))
def test_an_image_is_found_by_its_words_whatever_became_of_its_vector(
    album: Written, status: ImageStatus
) -> None:
    image_id = album.add(prompt="a cat")
    with album.database.transaction() as session:
        session.execute(update(Image).where(Image.id == image_id).values(status=status))
    assert album.ids("cat") == [image_id]


def test_where_unsafe_pictures_are_hidden_others_are_found_once_they_were_judged(
    album: Written,
) -> None:
    """With one axis unsafe and the other safe; one's own pictures are always found."""
    space = EmbeddingSpace(SpaceKind.IMAGE, "toy", "v1", "none", 2)
    axes = np.eye(2, dtype=np.float32)
    safety = Safety(axes[:1], axes[1:], 20.0, 0.5)
    mine = album.add(prompt="a cat")
    judged = [album.add(album.bea, prompt="a cat", is_public=True) for _ in axes]
    assert album.ids("cat") == [mine, *judged]
    assert album.ids("cat", safety=safety) == [mine]
    with album.database.transaction() as session:
        space_id = pin_space(session, space).id
        for image_id, vector in zip(judged, axes, strict=True):
            content_id = session.get_one(Image, image_id).content_id
            store_embedding(session, content_id, space_id, space, vector)
    assert album.ids("cat", safety=safety) == [mine, judged[1]]
    assert album.ids("cat", safety=safety, k=2) == [mine, judged[1]]


def test_words_too_short_for_mariadb_are_left_out_and_alone_refused(
    mariadb_database: Database,
) -> None:
    album = Written(mariadb_database)
    image_id = album.add(prompt="my ox is strong")
    assert (album.ids("strong ox"), album.look("strong ox").unsearchable) == ([image_id], ["ox"])
    with pytest.raises(InvalidInput, match="as short as ox"):
        album.look("ox")


def test_short_words_are_found_on_sqlite(sqlite_database: Database) -> None:
    album = Written(sqlite_database)
    image_id = album.add(prompt="my ox is strong, long_hair")
    assert album.ids("ox") == album.ids("long hair") == [image_id]


def test_words_that_were_there_before_the_full_text_are_found(album: Written) -> None:
    """The migration brings in what is there; here it is undone and done again."""
    image_id = album.add(prompt="older than the index")
    from alembic import command
    from alembic.config import Config

    from mirada.db.migrate import MIGRATIONS_DIR

    with album.database.engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS_DIR))
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")
        connection.commit()
        command.upgrade(config, "head")
        connection.commit()
    assert album.ids("older") == [image_id]


@pytest.mark.postgresql
def test_postgresql_reads_its_index(migrated_postgresql: Database) -> None:
    with migrated_postgresql.engine.connect() as connection:
        assert INDEX_NAME in {i["name"] for i in inspect(connection).get_indexes("mirada_images")}
        connection.execute(text("SET enable_seqscan = off"))
        plan = connection.exec_driver_sql(
            f"EXPLAIN SELECT id FROM mirada_images WHERE {POSTGRESQL_WORDS} @@ "
            "websearch_to_tsquery('simple', 'cat')"
        ).scalars()
        assert INDEX_NAME in "".join(plan)

"""Images found by the words of their texts: the same ones in the same order on every engine."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.engine import make_url

from mirada.db import word_index
from mirada.db.migrate import upgrade_to_head
from mirada.db.models import Image, Space, SpaceState, User
from mirada.db.session import Database, make_engine
from mirada.db.spaces import pin_space
from mirada.db.word_models import WordWeight
from mirada.embedding.embed import store_embedding
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import ImageStatus
from mirada.kernel.keywords import CUT_VERSION
from mirada.pictures import images
from mirada.search import by_words
from mirada.search.by_words import FoundWords, find_by_words
from mirada.search.safety import Safety
from testing.album import Album
from testing.registering import new_picture, register_image
from testing.scopes import seen_by


class Written(Album):
    """Images with words. Every test has an Ana and a Bea of its own, who see nothing of other tests'."""

    count = 0

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.transaction() as session:
            people = [User(username=f"{name}{self._number()}") for name in ("ana", "bea")]
            session.add_all(people)
            session.flush()
            self.ana, self.bea = (user.id for user in people)

    @classmethod
    def _number(cls) -> int:
        Written.count += 1
        return Written.count

    def add(self, owner_id: int | None = None, *, is_public: bool = False, **words: str) -> int:
        """Register an image of bytes of its own, as yet PENDING."""
        picture = new_picture(f"{self._number():064x}")
        with self.database.transaction() as session:
            return register_image(
                session,
                picture,
                owner_id=self.ana if owner_id is None else owner_id,
                is_public=is_public,
                **words,
            ).image.id

    def look(self, query: str, viewer_id: int | None = -1, **options: object) -> FoundWords:
        scope = seen_by(self.ana if viewer_id == -1 else viewer_id)
        if options.pop("own_alone", False):
            scope = Scope(scope.audience.own_alone())
        with self.database.reading() as session:
            return find_by_words(session, query, scope, **{"k": 10, **options})  # type: ignore[arg-type]

    def ids(self, query: str, *args: object, **options: object) -> list[int]:
        return self.look(query, *args, **options).image_ids  # type: ignore[arg-type]


@pytest.fixture(
    scope="module",
    params=[
        "sqlite",
        pytest.param("mariadb", marks=pytest.mark.mariadb),
        pytest.param("postgresql", marks=pytest.mark.postgresql),
    ],
)
def migrated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """One database of each engine for all tests here."""
    if request.param == "sqlite":
        yield from _migrated(f"sqlite:///{tmp_path_factory.mktemp('words') / 'mirada.db'}")
        return
    server = request.getfixturevalue(request.param)
    with server.new_database() as name:
        yield from _migrated(server.url(name))


def _migrated(url: str) -> Iterator[Database]:
    database = Database(make_engine(make_url(url), 4))
    upgrade_to_head(database.engine)
    yield database
    database.close()


@pytest.fixture
def album(migrated: Database) -> Written:
    return Written(migrated)


CASES = [
    # What is written, what is asked, and which of it is found in which order.
    (["A fluffy CAT on the moon", "a dog on the beach"], "Moon, cat!", [0]),
    (["beach"], "beaches", []),
    # `_` and `-` are blanks.
    (["short hair", "long_hair", "1girl, long-hair"], "long hair", [1, 2, 0]),
    (["long hair", "hair"], "long_hair", [0, 1]),
    (["long hair"], "longhair", []),
    (["a t-shirt"], "T_SHIRT", [0]),
    (["__animal__ in a wood"], "animal", [0]),
    # Weights of prompts, and the signs that give them.
    (["(long hair:1.2), dog", "1 2 3"], "1.2", [1]),
    (["((masterpiece)), [sketch], {blue eyes}"], "masterpiece sketch blue eyes", [0]),
    (["<lora:add_detail:0.8> cat"], "add detail", [0]),
    (["<lora:style2:1>", "0 8"], "<lora:style2:0.8>", [0]),
    (["[cat:dog:0.5], (owl)1.3, fox::2"], "cat dog owl fox", [0]),
    (["0 5, 1 3, 2", "[cat:dog:0.5], (owl)1.3, fox::2"], "5 3 2", [0]),
    (["(cat:1.3)"], "(CAT:0.7)", [0]),
    (["the score (3:4)"], "4", [0]),
    (["hatsune miku \\(vocaloid\\)"], "vocaloid", [0]),
    # Case, accents, "ß" and width.
    (["um coração partido"], "coracao", [0]),
    (["um coracao partido"], "Coração", [0]),
    (["um corac\u0327a\u0303o partido"], "coração", [0]),
    (["el niño y la cigüeña"], "nino ciguena", [0]),
    (["el nino"], "NIÑO", [0]),
    (["weiße Straße"], "WEISSE STRASSE", [0]),
    (["weisse strasse"], "weiße Straße", [0]),
    (["İstanbul, ısparta"], "istanbul Isparta", [0]),
    (["smørrebrød in Łódź"], "smorrebrod lodz", [0]),
    (["ΟΔΟΣ, γάτα"], "οδός γατα", [0]),
    (["Кошка и ёж"], "кошка еж", [0]),
    (["Ｃａｔ １２"], "cat 12", [0]),
    (["ﾈｺ"], "ネコ", [0]),
    (["ガラス"], "ｶﾞﾗｽ", [0]),
    (["ﬁre ½"], "fire", [0]),
    (["soft\u00adhyphen \u202ecat\u202c"], "softhyphen cat", [0]),
    (["Disney™ ©2024"], "disney 2024", [0]),
    # Scripts with marks that belong to their letters, and with points that few people write.
    (["हिन्दी में बिल्ली"], "हिन्दी बिल्ली", [0]),
    (["कि"], "की", []),
    (["كِتَابٌ"], "كتاب", [0]),
    (["می\u200cخواهم"], "می خواهم", [0]),
    (["חָתוּל על הירח"], "חתול", [0]),
    (["٣ cats"], "3", [0]),
    # Scripts that write no blanks.
    (["黒い猫がいる", "犬"], "猫", [0]),
    (["東京都の夜", "京都の朝", "大阪"], "京都", [1, 0]),
    (["東京都の夜", "京都の朝"], "東京都", [0, 1]),
    (["一只在月亮上的猫"], "月亮", [0]),
    (["かわいいネコ"], "ネコ", [0]),
    (["Ｔシャツ"], "シャツ", [0]),
    (["2024年の猫"], "2024 猫", [0]),
    (["고양이가 달에 앉아 있다"], "고양이", [0]),
    (["แมวน้ำบนหาด", "หมา"], "แมว", [0]),
    (["ແມວດຳ"], "ແມວ", [0]),
    (["ឆ្មាខ្មៅ"], "ឆ្មា", [0]),
    (["ကြောင်မည်း"], "ကြောင်", [0]),
    # Emoji.
    (["a cat 🐱", "a dog 🐶"], "🐱", [0]),
    (["👩🏽‍🚀", "👩‍🚀", "👩", "🚀"], "👩‍🚀", [0, 1]),
    (["👩🏽‍🚀", "👩‍🚀"], "👩🏽‍🚀", [0]),
    (["👍", "👍🏽", "👍🏿"], "👍", [0, 1, 2]),
    (["👍", "👍🏽", "👍🏿"], "👍🏽", [1]),
    (["🇧🇷🇵🇹", "🇧🇪"], "🇵🇹", [0]),
    (["❤️", "💔"], "❤", [0]),
    (["❤", "💔"], "❤️", [0]),
    (["1️⃣ cat", "1"], "1️⃣", [0]),
    (["🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "🏴"], "🏴", [1]),
    (["cat😀dog"], "cat dog 😀", [0]),
    # No word is too short, too long or too common.
    (["my ox is strong"], "ox", [0]),
    (["a", "b"], "a", [0]),
    (["the cat that is on the moon", "com"], "the", [0]),
    (["the cat that is on the moon", "com"], "com", [1]),
    (["to be or not to be"], "to be or not to be", [0]),
    (["x" * 500, "x" * 499], "x" * 500, [0]),
    (["8k", "k8"], "8K", [0]),
    # Every word before some, then by how rare and how frequent words are, then by id.
    (
        ["red red red", "blue house, painted red, for the most part", "blue house"],
        "red house",
        [1, 0, 2],
    ),
    (["cat dog", "cat", "cat", "cat owl"], "dog owl", [0, 3]),
    (["cat", "cat cat"], "cat", [1, 0]),
    (["a cat, among very many other words that stand here", "a cat"], "cat", [1, 0]),
    (["the cat", "the dog", "the owl", "fox"], "the fox", [3, 0, 1, 2]),
    (["same words", "same words", "same words"], "words same", [0, 1, 2]),
]


@pytest.mark.parametrize(("written", "asked", "found"), CASES)
def test_the_same_is_found_in_the_same_order(
    album: Written, written: list[str], asked: str, found: list[int]
) -> None:
    # By turns as prompt and as caption: both are searched alike.
    ids = [album.add(**{("prompt", "caption")[n % 2]: said}) for n, said in enumerate(written)]
    assert album.ids(asked) == [ids[place] for place in found]


def test_prompt_and_caption_are_one_text(album: Written) -> None:
    both = album.add(prompt="a cat", caption="it sleeps")
    album.add(prompt="a cat that is awake")
    found = album.look("cat sleeps")
    assert (found.image_ids[0], found.complete) == (both, 1)


def test_those_with_every_word_are_counted(album: Written) -> None:
    album.add(prompt="red")
    every = album.add(prompt="a red house")
    assert album.look("red house").complete == 1
    assert album.ids("red house", k=1) == [every]
    assert album.look("red house of straw").complete == 0


VOCABULARY = "cat dog owl red blue the a of on moon 猫が 黒い 👍🏽 👍 long_hair (sky:1.2) naïve"
ORDERS: dict[tuple[int, str], list[int]] = {}


@pytest.mark.parametrize("seed", range(3))
def test_many_made_up_texts_come_in_one_order_everywhere(album: Written, seed: int) -> None:
    """The first engine says the order, and every other one is held to it."""
    chance = random.Random(seed)
    ids = [
        album.add(prompt=" ".join(chance.choices(VOCABULARY.split(), k=chance.randint(1, 12))))
        for _ in range(60)
    ]
    for _ in range(10):
        query = " ".join(chance.choices(VOCABULARY.split(), k=chance.randint(1, 4)))
        found = [ids.index(image_id) for image_id in album.ids(query, k=60)]
        assert len(found) > 1
        assert found == ORDERS.setdefault((seed, query), found)


@pytest.mark.parametrize(
    "query", ['"+-*()~<>@', "-- ; ''", "\u202e\u200f", "\x00", "___", "\ufe0f"]
)
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
        "cat " * 5_000,
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
    album.delete(deleted, album.ana)
    assert album.ids("zebra") == []
    assert album.ids("giraffe") == [changed]
    album.change(changed, album.ana, caption="zebra", prompt=None)
    assert album.ids("zebra") == [changed]
    assert album.ids("giraffe") == []
    with album.database.reading() as session:
        of_both = select(func.count()).where(WordWeight.image_id.in_([changed, deleted]))
        assert session.execute(of_both).scalar() == 1


def test_words_change_in_the_transaction_of_their_text(album: Written) -> None:
    image_id = album.add(prompt="zebra")
    with album.database.transaction() as session:
        images.change_image(
            session, image_id, album.ana, expected_version=None, changes={"prompt": "giraffe"}
        )
        assert find_by_words(session, "giraffe", seen_by(album.ana), k=1).image_ids == [image_id]
        session.rollback()
    assert (album.ids("zebra"), album.ids("giraffe")) == ([image_id], [])


def test_a_change_of_text_is_one_version(album: Written) -> None:
    image_id = album.add(prompt="zebra")
    before = album.row(image_id)
    album.change(image_id, album.ana, prompt="giraffe", caption="zebra")
    assert album.row(image_id).version == before.version + 1


def test_only_what_the_viewer_may_see_is_found_however_many_others_there_are(
    album: Written,
) -> None:
    for _ in range(5):
        album.add(album.bea, prompt="secret walrus")
    mine = album.add(prompt="a walrus, among many more words that make it a worse match")
    public = album.add(
        album.bea, prompt="a walrus for everybody to see and to look at", is_public=True
    )
    assert sorted(album.ids("walrus", k=2)) == [mine, public]
    assert album.ids("secret") == []
    assert album.ids("walrus", None) == [public]
    assert album.ids("walrus", own_alone=True) == [mine]
    album.change(public, album.bea, is_public=False)
    assert album.ids("walrus") == [mine]


def test_others_private_texts_do_not_move_the_order(album: Written) -> None:
    """With the rarity of words among everybody's, "lynx" would come first before, and last after."""
    ids = [album.add(prompt=said) for said in ("a lynx", "a puma", "one puma")]
    assert album.ids("lynx puma") == ids
    for _ in range(20):
        album.add(album.bea, prompt="a lynx")
    assert album.ids("lynx puma") == ids


@pytest.mark.parametrize("limit", [1, 3])
def test_of_more_than_are_compared_the_newest_are(
    album: Written, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(by_words, "MOST_EXAMINED", limit)
    ids = [album.add(prompt="common fox" if n == 1 else "common") for n in range(5)]
    assert album.ids("common") == ids[-limit:]
    assert album.ids("common fox")[0] == ids[1]


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
    with album.database.transaction() as session:
        space_id = pin_space(session, space).id
    safety = Safety(axes[:1], axes[1:], 20.0, 0.5, space_id)
    mine = album.add(prompt="an okapi")
    judged = [album.add(album.bea, prompt="an okapi", is_public=True) for _ in axes]
    assert album.ids("okapi") == [mine, *judged]
    assert album.ids("okapi", safety=safety) == [mine]
    with album.database.transaction() as session:
        for image_id, vector in zip(judged, axes, strict=True):
            content_id = session.get_one(Image, image_id).content_id
            store_embedding(session, content_id, space_id, space, vector)
    assert album.ids("okapi", safety=safety) == [mine, judged[1]]
    assert album.ids("okapi", safety=safety, k=2) == [mine, judged[1]]


def test_unsafe_pictures_are_judged_by_the_vectors_of_one_model(album: Written) -> None:
    """Vectors of a second model lie beside them, and one picture has no other."""
    axes = np.eye(2, dtype=np.float32)
    shown = [album.add(album.bea, prompt="a quagga", is_public=True) for _ in range(2)]
    # The databases of tests keep their model: the first is the one of the test before.
    names = ("toy", "second")
    with album.database.transaction() as session:
        first, second = (EmbeddingSpace(SpaceKind.IMAGE, each, "v1", "none", 2) for each in names)
        space_id = pin_space(session, first).id
        other = Space(**asdict(second), name=second.name, state=SpaceState.BUILDING)
        session.add(other)
        session.flush()
        contents = [session.get_one(Image, image_id).content_id for image_id in shown]
        store_embedding(session, contents[0], space_id, first, axes[1])
        store_embedding(session, contents[0], other.id, second, axes[0])
        store_embedding(session, contents[1], other.id, second, axes[1])
    safety = Safety(axes[:1], axes[1:], 20.0, 0.5, space_id)
    assert album.ids("quagga", safety=safety) == [shown[0]]


def _as_of_before(database: Database) -> None:
    """Leave the images as an upgrade finds them: with texts, and without words."""
    with database.engine.begin() as connection:
        connection.execute(WordWeight.__table__.delete())  # type: ignore[attr-defined]
        connection.execute(update(Image).values(words_version=0, updated_at=Image.updated_at))


def test_words_that_were_there_before_an_upgrade_are_found(
    album: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches, each its own transaction; what stops on the way goes on from there."""
    ids = [album.add(prompt="older than the words", caption=f"n{n}") for n in range(7)]
    before = album.row(ids[0])
    _as_of_before(album.database)
    monkeypatch.setattr(word_index, "IMAGES_TOGETHER", 2)
    written: list[int] = []

    def failing(session: object, texts: list[object]) -> None:
        written.append(len(texts))
        if len(written) == 3:
            raise ZeroDivisionError
        real(session, texts)  # type: ignore[arg-type]

    real = word_index._insert
    monkeypatch.setattr(word_index, "_insert", failing)
    with pytest.raises(ZeroDivisionError):
        word_index.write_missing(album.database)
    monkeypatch.setattr(word_index, "_insert", real)
    assert written == [2, 2, 2]
    with album.database.reading() as session:
        done = select(func.count()).where(Image.words_version == CUT_VERSION)
        assert session.execute(done).scalar() == 4
    upgrade_to_head(album.database.engine)
    assert album.ids("older") == ids
    assert album.ids("n3") == [ids[3]]
    after = album.row(ids[0])
    assert (after.version, after.updated_at) == (before.version, before.updated_at)
    assert word_index.write_missing(album.database) == 0


def test_long_texts_are_carried_over_a_few_at_a_time(
    album: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [album.add(prompt="tapir " * 100) for _ in range(5)]
    _as_of_before(album.database)
    monkeypatch.setattr(word_index, "CHARACTERS_TOGETHER", 1_000)
    word_index.write_missing(album.database)
    assert album.ids("tapir") == ids


def test_the_newest_images_of_a_word_are_read_from_its_key(sqlite_database: Database) -> None:
    """Neither the whole table nor a sort: what a search costs does not grow with the library."""
    newest = word_index._newest("cat", [], 10)
    sql = newest.compile(sqlite_database.engine, compile_kwargs={"literal_binds": True})
    with sqlite_database.engine.connect() as connection:
        plan = " ".join(row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {sql}")))
    assert "USING PRIMARY KEY (word=?)" in plan
    assert "TEMP B-TREE" not in plan

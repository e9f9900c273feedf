"""Images are found by the words of the label that the model gave them, as far as the viewer sees them."""

from __future__ import annotations

from typing import Any

import pytest

from mirada.search import by_words
from testing.gallery import as_upload
from testing.labelled import show_label
from testing.pictures import picture
from tests.conftest import MakeRuntime
from tests.webapp.test_http_packs import Table


@pytest.fixture
def table(make_runtime: MakeRuntime, site_settings: dict[str, Any]) -> Table:
    """On SQLite and on MariaDB."""
    return Table(make_runtime(auth_mode="keys", **site_settings))


@pytest.fixture
def lite(make_runtime: MakeRuntime) -> Table:
    return Table(make_runtime(auth_mode="keys"))


def called(
    table: Table, label: str | None, who: str = "ana", *, is_public: bool = True, **words: str
) -> int:
    """Return the id of a new picture that the model called so."""
    seed = next(table._seeds)
    data = {"file": as_upload(picture(seed)), "is_public": str(is_public).lower(), **words}
    reply = table.ask("POST", "/api/v1/images", data=data, who=who)
    table.work()
    image_id = int(reply.get_json()["id"])
    with table.runtime.transaction() as session:
        show_label(session, image_id, table.runtime.space()[0], label)
    return image_id


def test_a_label_is_found_in_three_languages(table: Table) -> None:
    cat, dog, none = called(table, "cat"), called(table, "dog"), called(table, None)
    for text in ("cat", "GATO", "  cat  "):
        assert table.found(text) == [cat]
    assert table.found("cão") == table.found("perro") == table.found("dog") == [dog]
    assert set(table.found("cat dog")) == {cat, dog}
    assert none not in table.found("cat dog")
    sea, sky, food = (called(table, name) for name in ("sea life", "weather and sky", "dessert"))
    assert table.found("marinha") == table.found("life") == [sea]
    assert table.found("céu") == [sky]
    assert table.found("sobremesa") == [food]
    # What joins two words is no word of a picture.
    assert table.found("and") == table.found("e") == table.found("y") == []
    # With a minus it is kept away.
    query = {"text": "cat dog -gato", "syntax": "signs", "in": "keywords"}
    told = table.told("POST", "/api/v1/search", query)["results"]
    assert [each["image"]["id"] for each in told] == [dog]


def test_what_people_wrote_comes_first(table: Table) -> None:
    shown = called(table, "cat")
    written = called(table, "dog", caption="my cat asleep on a warm stone")
    both = called(table, "cat", caption="my cat asleep on a warm stone")
    assert table.found("cat") == [both, written, shown]
    # Every word, wherever it is: written, or what it is called.
    assert table.found("cat stone")[0] == both
    assert table.found("dog stone")[0] == written


def test_a_label_of_ones_own_is_found_by_its_name(lite: Table) -> None:
    lite.told("PUT", "/api/v1/labels/purple%20robot", {"description": "a robot"}, who="root")
    robot = called(lite, "purple robot")
    assert lite.found("ROBOT") == [robot]


def test_nobody_finds_what_they_do_not_see(table: Table) -> None:
    hidden = called(table, "cat", "ben", is_public=False)
    gone = called(table, "cat", "ben")
    table.ask("DELETE", f"/api/v1/images/{gone}", who="ben")
    mine = called(table, "dog", caption="cat")
    for who in ("ana", "nobody", "root"):
        assert table.found("cat", who) == [mine]
        assert table.found("gato", who) == []
    assert table.found("gato", "ben") == [hidden]
    # How rare a word is follows from what the viewer sees alone: scores are the same without them.
    before = table.told("POST", "/api/v1/search", {"text": "cat dog", "in": "keywords"})
    table.ask("DELETE", f"/api/v1/images/{hidden}?now=true", who="ben")
    after = table.told("POST", "/api/v1/search", {"text": "cat dog", "in": "keywords"})
    assert [each["image"]["id"] for each in before["results"]] == [mine]
    assert before["results"] == after["results"]


def test_labels_of_another_model_do_not_count(lite: Table) -> None:
    cat = called(lite, "cat")
    with lite.runtime.transaction() as session:
        show_label(session, cat, lite.runtime.space()[0], "dog")
    assert (lite.found("cat"), lite.found("dog")) == ([], [cat])


def test_the_newest_are_found_where_there_are_very_many(
    lite: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [called(lite, "cat") for _ in range(4)]
    both = called(lite, "cat", caption="a stone")
    stones = [called(lite, None, caption="stone") for _ in range(3)]
    monkeypatch.setattr(by_words, "MOST_EXAMINED", 3)
    assert lite.found("cat") == sorted([both, *ids[2:]])
    assert set(lite.found("cat stone")) >= {both, *stones[-2:]}
    monkeypatch.setattr(by_words, "MOST_EXAMINED", 100)
    assert lite.found("cat stone")[0] == both

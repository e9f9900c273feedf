"""Suggestions while typing over HTTP: of what the caller may see alone; recent searches are theirs alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, update

from mirada.db.classifier_models import ImageLabels
from mirada.db.models import utc_now
from mirada.db.recent_models import RecentSearch
from mirada.people import users
from mirada.suggestions import recent
from testing.gallery import Gallery, assert_problem
from workers.sweeper import Sweeper

PATH, RECENT = "/api/v1/suggestions", "/api/v1/recent-searches"
Headers = dict[str, str]


class Typist:
    """Ana and Ben with keys, and a gallery that both upload to."""

    def __init__(self, gallery: Gallery, key_of: Callable[..., Headers]) -> None:
        self.gallery = gallery
        self.keys: dict[str, Headers] = {"nobody": {}, "ana": key_of("ana"), "ben": key_of("ben")}

    def upload(self, who: str, prompt: str, *, is_public: bool = True, label: str = "") -> int:
        made = self.gallery.upload(
            headers=self.keys[who], degrees=1, prompt=prompt, is_public=str(is_public).lower()
        )
        if label:
            with self.gallery.runtime.transaction() as session:
                session.add(
                    ImageLabels(
                        image_id=made["id"],
                        space_id=self.gallery.space_id,
                        judged_by="test",
                        label=label,
                        score=0.9,
                        logits=b"",
                        is_far=False,
                        computed_at=utc_now(),
                    )
                )
        return int(made["id"])

    def call(self, who: str, method: str, path: str, **request: Any) -> Any:
        return self.gallery.client.open(path, method=method, headers=self.keys[who], **request)

    def suggested(self, who: str, text: str, **query: Any) -> list[tuple[str, str]]:
        reply = self.call(who, "GET", PATH, query_string={"q": text, **query})
        assert reply.status_code == 200, reply.get_json()
        assert reply.get_json()["count"] == len(reply.get_json()["results"])
        return [(each["kind"], each["text"]) for each in reply.get_json()["results"]]

    def words(self, who: str, text: str) -> list[str]:
        return [found for kind, found in self.suggested(who, text) if kind == "word"]

    def keep(self, who: str, words: str) -> Any:
        return self.call(who, "POST", RECENT, json={"words": words}).get_json()

    def kept(self, who: str) -> list[str]:
        return [each["words"] for each in self.call(who, "GET", RECENT).get_json()["results"]]


@pytest.fixture
def typist(guarded: Gallery, key_of: Callable[..., Headers]) -> Typist:
    return Typist(guarded, key_of)


def test_the_word_being_typed_is_completed_and_what_stands_before_it_stays(typist: Typist) -> None:
    typist.upload("ana", "A (zephyrine:1.2) órgão, played at night")
    assert typist.words("ben", "zeph") == ["zephyrine"]
    # Accents and capitals make no difference; the word is shown as it was written.
    assert typist.words("ben", "old ORG") == ["old órgão"]
    assert typist.words("ben", "red -zeph") == ["red -zephyrine"]
    # What is there already, little words and numbers are no suggestions.
    assert [typist.words("ben", text) for text in ("zephyrine", "at", "1.2", "zeph ")] == [[]] * 4


def test_the_commoner_word_comes_first_and_the_limit_holds(typist: Typist) -> None:
    for prompt in ("quokka quail", "quokka quartz", "quokka quail"):
        typist.upload("ana", prompt)
    assert typist.words("ben", "qu")[:3] == ["quokka", "quail", "quartz"]
    assert typist.suggested("ben", "qu", limit=1) == [("word", "quokka")]


def test_words_of_others_private_pictures_are_never_suggested(typist: Typist) -> None:
    mine = typist.upload("ana", "secretword publicword", is_public=False)
    assert typist.words("ana", "secret") == ["secretword"]
    for who in ("ben", "nobody"):
        assert typist.words(who, "secret") == []
    # Public for a while, and private again: gone with the next request, in a process that knew it.
    for is_public, seen in ((True, ["secretword"]), (False, [])):
        body = {"is_public": is_public}
        typist.call("ana", "PATCH", f"/api/v1/images/{mine}", json=body)
        assert typist.words("ben", "secret") == seen
        assert typist.words("ana", "secret") == ["secretword"]


def test_a_text_that_is_written_anew_or_deleted_takes_its_words_along(typist: Typist) -> None:
    image = typist.upload("ana", "firstword")
    assert typist.words("ben", "firstw") == ["firstword"]
    typist.call("ana", "PATCH", f"/api/v1/images/{image}", json={"prompt": "secondword"})
    assert (typist.words("ben", "firstw"), typist.words("ben", "secondw")) == ([], ["secondword"])
    typist.call("ana", "DELETE", f"/api/v1/images/{image}")
    assert typist.words("ben", "secondw") == []


def test_how_often_a_word_is_in_private_pictures_orders_nothing(typist: Typist) -> None:
    typist.upload("ana", "marabu marmot")
    typist.upload("ana", "marabu")
    before = typist.suggested("ben", "mar")
    for _ in range(3):
        typist.upload("ana", "marmot marten", is_public=False)
    assert typist.suggested("ben", "mar") == before
    assert typist.words("ana", "mar")[0] == "marmot"


def test_labels_are_found_in_three_languages_where_a_picture_has_them(typist: Typist) -> None:
    typist.upload("ana", "x", label="bird")
    typist.upload("ana", "x", label="cat", is_public=False)
    assert typist.suggested("ben", "pás")[:1] == [("label", "pássaro")]
    assert typist.suggested("ben", "páj", language="pt")[:1] == [("label", "pájaro")]
    assert typist.suggested("ben", "red bi")[0] == ("label", "red bird")
    # Only the owner has a picture of a cat.
    assert ("label", "gato") in typist.suggested("ana", "gat")
    assert ("label", "gato") not in typist.suggested("ben", "gat")
    assert typist.suggested("ben", "", language="es") == [("label", "pájaro")]
    assert typist.suggested("ana", "", language="en") == [("label", "bird"), ("label", "cat")]


def test_styles_are_suggested_by_what_they_are_called_and_people_by_their_public_pictures(
    typist: Typist,
) -> None:
    assert ("style", "acuarela") in typist.suggested("nobody", "acuar")
    typist.upload("ana", "x", is_public=False)
    assert typist.suggested("ben", "an", limit=20).count(("owner", "ana")) == 0
    typist.upload("ana", "x")
    found = typist.call("ben", "GET", f"{PATH}?q=an&limit=20").get_json()["results"]
    owner = next(each for each in found if each["kind"] == "owner")
    with typist.gallery.runtime.reading() as session:
        assert (owner["text"], owner["id"]) == ("ana", users.user_named(session, "ana").id)
    assert ("owner", "ana") not in typist.suggested("ana", "an", limit=20)


def test_searches_that_were_kept_are_suggested_to_their_owner_alone(typist: Typist) -> None:
    kept = typist.keep("ana", "  Old   lamps ")
    assert (kept["words"], kept["url"]) == ("Old lamps", f"{RECENT}/{kept['id']}")
    again = typist.keep("ana", "OLD LÁMPS")
    assert (again["id"], typist.kept("ana")) == (kept["id"], ["OLD LÁMPS"])
    typist.keep("ana", "a bridge")
    assert typist.kept("ana") == ["a bridge", "OLD LÁMPS"]
    assert typist.suggested("ana", "old la")[0] == ("recent", "OLD LÁMPS")
    assert typist.suggested("ana", "")[0] == ("recent", "a bridge")
    for who in ("ben", "nobody"):
        assert typist.suggested(who, "old la") == []
    assert typist.kept("ben") == []
    assert_problem(typist.call("ben", "GET", kept["url"]), 404, "not_found")
    assert_problem(typist.call("ben", "DELETE", kept["url"]), 404, "not_found")
    assert_problem(typist.call("nobody", "GET", RECENT), 401, "not_authenticated")


def test_searches_are_erased_one_by_one_and_all_at_once(typist: Typist) -> None:
    first, *_ = (typist.keep("ana", words) for words in ("one", "two", "three"))
    typist.keep("ben", "of ben")
    assert typist.call("ana", "DELETE", first["url"]).status_code == 204
    assert typist.kept("ana") == ["three", "two"]
    assert_problem(typist.call("ana", "DELETE", first["url"]), 404, "not_found")
    assert typist.call("ana", "DELETE", RECENT).status_code == 204
    assert (typist.kept("ana"), typist.kept("ben")) == ([], ["of ben"])


def test_after_thirty_days_a_search_is_forgotten_and_its_row_with_the_next_sweep(
    typist: Typist,
) -> None:
    typist.keep("ana", "lately")
    runtime = typist.gallery.runtime
    with runtime.transaction() as session:
        old = utc_now() - recent.KEPT_FOR - timedelta(seconds=1)
        session.execute(update(RecentSearch).values(searched_at=old))
    assert (typist.kept("ana"), typist.suggested("ana", "late")) == ([], [])
    Sweeper(runtime).sweep()
    with runtime.reading() as session:
        assert session.query(RecentSearch).count() == 0


def test_of_one_person_only_the_newest_are_kept(
    typist: Typist, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "MOST_KEPT", 2)
    for words in ("one", "two", "one", "three"):
        typist.keep("ana", words)
    assert typist.kept("ana") == ["three", "one"]


@pytest.mark.parametrize("words", ["", "  ", "x" * 151, "half \ud800"])
def test_what_is_no_search_is_not_kept(typist: Typist, words: str) -> None:
    reply = typist.call("ana", "POST", RECENT, json={"words": words})
    assert reply.status_code == 422
    assert typist.kept("ana") == []


def test_nothing_is_read_again_while_nothing_changes_and_a_long_text_asks_nothing(
    typist: Typist,
) -> None:
    typist.upload("ana", "lanternfish")
    typist.words("ben", "lanternf")
    statements: list[str] = []
    engine = typist.gallery.runtime.database.engine

    def note(*given: Any) -> None:
        statements.append(given[2])

    event.listen(engine, "before_cursor_execute", note)
    try:
        assert typist.words("ben", "lantern") == ["lanternfish"]
        assert not [each for each in statements if "substr" in each.lower()]
        assert typist.suggested("ben", "x" * 151) == []
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_no_encoder_is_loaded(typist: Typist, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> Any:
        raise AssertionError("an encoder was loaded")

    monkeypatch.setattr(type(typist.gallery.runtime), "_load_encoder", fail)
    typist.upload("ana", "zeppelin")
    assert typist.words("ben", "zepp") == ["zeppelin"]

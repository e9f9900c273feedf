"""Packs over HTTP: whose they are, what is in them for whom, and what is suggested for them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import select

from mirada.classify.expansions import store_expansion
from mirada.classify.label_expansion import Expansion
from mirada.db.classifier_models import Feedback, ImageLabels
from mirada.db.models import Image, Job, utc_now
from mirada.db.pack_models import Pack, PackImage
from mirada.packs import limits, packs
from mirada.people import keys, users
from mirada.runtime import Runtime
from testing.application import create_app
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import as_upload, assert_problem
from testing.pictures import picture
from tests.conftest import MakeRuntime
from workers.runner import JobRunner

PATH = "/api/v1/packs"


class Table:
    """Two people and an administrator with keys, and pictures that lie where a text does."""

    def __init__(self, runtime: Runtime) -> None:
        self.encoder = CountingEncoder()
        self.runtime = with_encoder(runtime, self.encoder)
        self.client = create_app(self.runtime).test_client()
        self.headers: dict[str, dict[str, str]] = {"nobody": {}}
        self.ids: dict[str, int] = {}
        with runtime.transaction() as session:
            for name in ("ana", "ben", "root"):
                user = users.create_user(session, name, is_administrator=name == "root")
                self.ids[name] = user.id
                self.headers[name] = {"Authorization": f"Bearer {keys.issue(session, user).key}"}
        self._seeds = itertools.count(1)
        runtime.space()

    def hang(self, *texts: str, who: str = "ana", is_public: bool = True) -> int:
        """Return the id of a new picture that lies at the mean of some texts, searchable."""
        self.encoder.show(*texts)
        data = {"file": as_upload(picture(next(self._seeds))), "is_public": str(is_public).lower()}
        reply = self.client.post("/api/v1/images", data=data, headers=self.headers[who])
        assert reply.status_code == 201, reply.get_json()
        self.work()
        return int(reply.get_json()["id"])

    def work(self) -> None:
        runner = JobRunner(self.runtime)
        queued = select(Job.id).where(Job.state == "queued").order_by(Job.id).limit(1)
        while True:
            with self.runtime.reading() as session:
                job_id = session.execute(queued).scalar_one_or_none()
            if job_id is None:
                return
            runner.run(job_id)

    def ask(self, method: str, path: str, json: Any = None, who: str = "ana", **parts: Any) -> Any:
        headers = {**self.headers[who], **parts.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, json=json, **parts)

    def told(self, method: str, path: str, json: Any = None, who: str = "ana") -> Any:
        reply = self.ask(method, path, json, who)
        assert reply.status_code < 300, reply.get_json()
        return reply.get_json()

    def refused(
        self, status: int, code: str, method: str, path: str, json: Any = None, who: str = "ana"
    ) -> str:
        reply = self.ask(method, path, json, who)
        return str(assert_problem(reply, status, code)["detail"])

    def pack(self, *image_ids: int, who: str = "ana", **fields: Any) -> str:
        """Return the address of a new pack with these pictures."""
        made = self.told("POST", PATH, {"title": "Cats", **fields}, who)
        if image_ids:
            self.told("POST", made["images_url"], {"image_ids": image_ids}, who)
        return str(made["url"])

    def inside(self, url: str, who: str = "ana") -> list[int]:
        """Return the ids of a pack's pictures, read by pages of two."""
        found, page = [], f"{url}/images?limit=2"
        while page:
            reply = self.told("GET", page, who=who)
            found += [each["image"]["id"] for each in reply["results"]]
            page = reply["next"]
        return found

    def found(self, text: str, who: str = "ana") -> list[int]:
        """Return the ids of the images that a search for words finds."""
        query = {"text": text, "in": "keywords"}
        reply = self.told("POST", "/api/v1/search", query, who)
        return [each["image"]["id"] for each in reply["results"]]

    def verdicts(self) -> dict[str, bool]:
        with self.runtime.reading() as session:
            rows = session.execute(select(Feedback.theme, Feedback.accepted)).all()
        return dict(rows)


@pytest.fixture
def table(make_runtime: MakeRuntime, site_settings: dict[str, Any]) -> Table:
    """On SQLite and on MariaDB."""
    return Table(make_runtime(auth_mode="keys", **site_settings))


@pytest.fixture
def lite(make_runtime: MakeRuntime) -> Table:
    """On SQLite alone, for what no database has a part in."""
    return Table(make_runtime(auth_mode="keys"))


def test_a_pack_is_made_read_changed_and_deleted(table: Table) -> None:
    cat, dog = table.hang("cat"), table.hang("dog")
    made = table.told("POST", PATH, {"title": " Happy\n cats ", "description": " For you "})
    assert (made["title"], made["description"]) == ("Happy cats", "For you")
    assert (made["is_public"], made["image_count"], made["cover"]) == (False, 0, None)
    url = made["url"]
    filled = table.told("POST", made["images_url"], {"image_ids": [cat, dog, cat]})
    assert (filled["image_count"], filled["cover"]["id"], filled["cover_image_id"]) == (
        2,
        cat,
        None,
    )
    assert filled["version"] == 2
    changed = table.told("PATCH", url, {"cover_image_id": dog, "description": None})
    assert (changed["cover"]["id"], changed["cover_image_id"]) == (dog, dog)
    assert changed["description"] is None
    # Said again, nothing changes.
    assert table.told("PATCH", url, {"cover_image_id": dog})["version"] == changed["version"]
    assert [each["id"] for each in table.told("GET", PATH)["results"]] == [made["id"]]
    assert table.ask("DELETE", url).status_code == 204
    table.refused(404, "not_found", "GET", url)
    assert table.told("GET", f"/api/v1/images/{cat}")["id"] == cat


def test_packs_of_others_are_there_where_they_are_public(table: Table) -> None:
    mine, ours = table.hang("cat", is_public=False), table.hang("dog")
    url = table.pack(mine, ours)
    for who in ("ben", "root", "nobody"):
        table.refused(404, "not_found", "GET", url, who=who)
        assert table.told("GET", PATH, who=who)["results"] == []
    table.told("PATCH", url, {"is_public": True, "theme": "secret", "cover_image_id": mine})
    seen = table.told("GET", url, who="nobody")
    # The cover is a picture that others do not see, so that they are shown the first that they see.
    assert (seen["image_count"], seen["cover"]["id"], seen["cover_image_id"]) == (1, ours, None)
    assert [seen[name] for name in ("theme", "query", "version", "updated_at")] == [None] * 4
    assert table.inside(url, "ben") == [ours]
    assert table.inside(url) == [mine, ours]
    assert table.told("GET", f"{PATH}?mine=true", who="ben")["results"] == []
    # Seen is not changed: nobody but the owner is told that there is something to change.
    for method, path, body in (
        ("PATCH", url, {"title": "Mine"}),
        ("POST", f"{url}/images", {"image_ids": [ours]}),
        ("PUT", f"{url}/images", {"image_ids": []}),
        ("DELETE", f"{url}/images/{ours}", None),
        ("PATCH", f"{url}/images/{ours}", {"emojis": []}),
        ("GET", f"{url}/suggestions", None),
        ("PUT", f"{url}/suggestions/{ours}", {"accepted": True}),
        ("DELETE", f"{url}/suggestions/{ours}", None),
        ("DELETE", url, None),
    ):
        table.refused(404, "not_found", method, path, body, who="ben")
    # An administrator may take down what everybody sees, and no more.
    table.refused(404, "not_found", "PATCH", url, {"title": "Mine"}, who="root")
    assert table.ask("DELETE", url, who="root").status_code == 204


def test_what_others_do_not_see_leaves_no_trace_in_a_public_pack(table: Table) -> None:
    one, two = table.hang("cat"), table.hang("dog")
    hidden = table.hang("bird", is_public=False)
    url = table.pack(one, two, is_public=True)
    before = table.ask("GET", url, who="ben")
    table.told("POST", f"{url}/images", {"image_ids": [hidden], "at": 1})
    after = table.ask("GET", url, who="ben")
    assert (after.get_json(), after.headers["ETag"]) == (before.get_json(), before.headers["ETag"])
    assert table.told("GET", f"{url}/images", who="ben")["count"] == 2
    # A cursor that names the picture is none, as of any that is not in the pack.
    tell = [
        table.ask("GET", f"{url}/images?cursor={cursor}", who="ben").get_json()["detail"]
        for cursor in map(_cursor, (hidden, 999_999))
    ]
    assert tell[0] == tell[1]


def _cursor(image_id: int) -> str:
    from webapp.http.paging import cursor_after

    return cursor_after(image_id)


def test_pictures_have_an_order(table: Table) -> None:
    a, b, c, d = (table.hang(text) for text in ("cat", "dog", "bird", "fish"))
    url = table.pack(a, b)
    table.told("POST", f"{url}/images", {"image_ids": [c, a], "at": 1})
    assert table.inside(url) == [a, c, b]
    table.told("PUT", f"{url}/images", {"image_ids": [b, d, a]})
    assert table.inside(url) == [b, d, a]
    table.told("DELETE", f"{url}/images/{d}")
    table.told("POST", f"{url}/images", {"image_ids": [c]})
    assert table.inside(url) == [b, a, c]
    table.refused(404, "not_found", "DELETE", f"{url}/images/{d}")
    table.refused(422, "invalid_input", "PUT", f"{url}/images", {"image_ids": [a, a]})
    missing = table.refused(404, "not_found", "POST", f"{url}/images", {"image_ids": [d, 999_999]})
    assert "999999" in missing
    assert table.inside(url) == [b, a, c]
    # A page goes on behind its last picture, wherever that is by now; without it, it begins again.
    first = table.told("GET", f"{url}/images?limit=1")
    table.told("PUT", f"{url}/images", {"image_ids": [c, b, a]})
    assert [each["image"]["id"] for each in table.told("GET", first["next"])["results"]] == [a]
    table.told("DELETE", f"{url}/images/{b}")
    table.refused(410, "search_expired", "GET", first["next"])


def test_one_picture_moves_and_the_others_stay_in_their_order(table: Table) -> None:
    a, b, c = (table.hang(text) for text in ("cat", "dog", "bird"))
    bens = table.hang("fish", who="ben")
    url = table.pack(a, bens, b, c)
    for image_id, at, order in (
        (c, 0, [c, a, bens, b]),
        (c, 1, [a, c, bens, b]),
        (a, 3, [c, bens, b, a]),
        (b, 2_000, [c, bens, a, b]),
    ):
        table.told("PATCH", f"{url}/images/{image_id}", {"at": at})
        assert table.inside(url) == order
    # Places are those that one sees.
    table.told("PATCH", f"/api/v1/images/{bens}", {"is_public": False}, who="ben")
    told = table.told("PATCH", f"{url}/images/{b}", {"at": 1, "emojis": ["😀"]})
    assert (told["image"]["id"], told["emojis"]) == (b, ["😀"])
    assert table.inside(url) == [c, b, a]
    version = table.told("GET", url)["version"]
    # It stays where it is, and keeps its emojis.
    assert table.told("PATCH", f"{url}/images/{b}", {"at": 1})["emojis"] == ["😀"]
    assert table.told("GET", url)["version"] == version
    for body in ({}, {"at": -1}, {"at": "1"}, {"at": 1, "odd": 1}):
        assert table.ask("PATCH", f"{url}/images/{b}", body).status_code == 422
    table.refused(404, "not_found", "PATCH", f"{url}/images/{bens}", {"at": 0})


def test_packs_are_listed_by_whose_title_and_what_is_in_them(table: Table) -> None:
    mine, bens = table.hang("cat", is_public=False), table.hang("dog", who="ben")
    table.pack(mine, title="50 % cats")
    table.pack(bens, mine, title="Dogs", is_public=True)
    table.pack(bens, who="ben", title="CATS of Ben", is_public=True)
    table.pack(bens, who="ben", title="Hidden")

    def titles(query: str, who: str = "ana") -> list[str]:
        reply = table.told("GET", f"{PATH}?{query}", who=who)
        return [each["title"] for each in reply["results"]]

    assert titles("title=cats") == ["CATS of Ben", "50 % cats"]
    assert titles("title=%25") == ["50 % cats"]
    assert titles("title=cats&mine=true") == ["50 % cats"]
    assert titles("visibility=private") == ["50 % cats"]
    assert titles("visibility=public") == ["CATS of Ben", "Dogs"]
    assert titles(f"image_id={bens}") == ["CATS of Ben", "Dogs"]
    assert titles(f"image_id={mine}") == ["Dogs", "50 % cats"]
    # Of a picture that one does not see nothing is told, whatever pack it is in.
    assert titles(f"image_id={mine}", "ben") == titles("image_id=999999", "ben") == []
    assert table.ask("GET", f"{PATH}?visibility=odd").status_code == 422
    assert table.ask("GET", f"{PATH}?image_id=0").status_code == 422


def test_a_picture_that_is_away_for_a_while_comes_back_at_its_place(table: Table) -> None:
    mine, bens, last = table.hang("cat"), table.hang("dog", who="ben"), table.hang("bird")
    url = table.pack(mine, bens, last)
    ben = f"/api/v1/images/{bens}"
    table.told("PATCH", ben, {"is_public": False}, who="ben")
    assert table.inside(url) == [mine, last]
    table.refused(404, "not_found", "DELETE", f"{url}/images/{bens}")
    table.told("PUT", f"{url}/images", {"image_ids": [last, mine]})
    table.told("PATCH", ben, {"is_public": True}, who="ben")
    assert table.inside(url) == [last, mine, bens]
    # What is deleted for good leaves no hole.
    table.told("PATCH", url, {"cover_image_id": mine})
    assert table.ask("DELETE", f"/api/v1/images/{mine}").status_code == 204
    seen = table.told("GET", url)
    assert (seen["image_count"], seen["cover"]["id"], seen["cover_image_id"]) == (2, last, None)


def test_two_tabs_do_not_overwrite_one_another(table: Table) -> None:
    a, b = table.hang("cat"), table.hang("dog")
    url = table.pack(a, b)
    tag = {"If-Match": table.ask("GET", url).headers["ETag"]}
    first = table.ask("PUT", f"{url}/images", {"image_ids": [b, a]}, headers=tag)
    assert first.status_code == 200
    for method, path, body in (
        ("PUT", f"{url}/images", {"image_ids": [a]}),
        ("PATCH", url, {"title": "Mine"}),
        ("POST", f"{url}/images", {"image_ids": [a]}),
        ("DELETE", f"{url}/images/{a}", None),
        ("PUT", f"{url}/suggestions/{a}", {"accepted": False}),
        ("DELETE", url, None),
    ):
        reply = table.ask(method, path, body, headers=tag)
        assert_problem(reply, 412, "precondition_failed")
    assert table.inside(url) == [b, a]
    newer = {"If-Match": first.headers["ETag"]}
    assert table.ask("PATCH", url, {"title": "Dogs"}, headers=newer).status_code == 200
    same = {"If-None-Match": table.ask("GET", url).headers["ETag"]}
    assert table.ask("GET", url, headers=same).status_code == 304
    wrong = table.ask("PATCH", url, {"title": "x"}, headers={"If-Match": '"nothing"'})
    assert "pack" in assert_problem(wrong, 412, "precondition_failed")["detail"]


def test_lists_searches_and_facets_know_packs(table: Table) -> None:
    a, b, c = table.hang("cat"), table.hang("cat"), table.hang("cat", who="ben")
    url = table.pack(a, c)
    pack = int(url.rsplit("/", 1)[1])

    def ids(path: str, who: str = "ana") -> list[int]:
        return sorted(each["id"] for each in table.told("GET", path, who=who)["results"])

    assert ids(f"/api/v1/images?pack={pack}") == [a, c]
    assert ids(f"/api/v1/images?pack={pack}", "ben") == []
    body = {"text": "cat", "filter": {"pack": pack}}

    def searched() -> list[int]:
        reply = table.told("POST", "/api/v1/search", body)
        return sorted(each["image"]["id"] for each in reply["results"])

    assert searched() == [a, c]
    table.told("PUT", f"{url}/images", {"image_ids": [b]})
    # What passes a filter is remembered, and forgotten when the pack changes.
    assert searched() == [b]
    facets = table.told("GET", "/api/v1/images?facets=pack")["facets"]
    assert facets == {"pack": [{"value": str(pack), "count": 1}]}
    assert table.told("GET", "/api/v1/images?facets=pack", who="ben")["facets"] == {"pack": []}
    table.ask("DELETE", url)
    assert searched() == []


def test_a_stickers_emoji_is_a_word(table: Table) -> None:
    mine, private, bens = (
        table.hang("cat"),
        table.hang("dog", is_public=False),
        table.hang("bird", who="ben"),
    )
    made = table.told("POST", PATH, {"title": "Cats"})
    url, images = made["url"], made["images_url"]
    emojis = {str(mine): ["😀", "🐱", "😀"], str(private): ["😀"], str(bens): ["😀"]}
    table.told("POST", images, {"image_ids": [mine, private, bens], "emojis": emojis})
    shown = table.told("GET", images)["results"]
    assert [each["emojis"] for each in shown] == [["😀", "🐱"], ["😀"], ["😀"]]
    # Of a private pack it is the owner's own private picture alone: others who find a public picture
    # would be told of the pack. Pictures of others get no words from anybody.
    assert table.found("😀") == [private]
    assert table.found("😀", "ben") == []
    table.told("PATCH", url, {"is_public": True})
    assert sorted(table.found("😀")) == [mine, private]
    assert table.found("😀", "ben") == [mine]
    table.told("PATCH", f"/api/v1/images/{private}", {"is_public": True})
    table.told("PATCH", url, {"is_public": False})
    assert table.found("😀") == []
    table.told("PATCH", f"/api/v1/images/{private}", {"is_public": False})
    assert table.found("😀") == [private]
    # Many at once are no other way to tell others of the pack.
    for value, expected in (("public", []), ("private", [private])):
        body = {"ids": [private], "action": "set_visibility", "value": value}
        table.told("POST", "/api/v1/images/batch", body)
        assert table.found("😀") == expected
    told = table.told("PATCH", f"{images}/{private}", {"emojis": ["🎉"]})
    assert told["emojis"] == ["🎉"]
    assert (table.found("😀"), table.found("🎉")) == ([], [private])
    # A new order keeps them, and what leaves the pack loses its own.
    table.told("PUT", images, {"image_ids": [private, mine]})
    assert table.found("🎉") == [private]
    table.told("DELETE", f"{images}/{private}")
    assert table.found("🎉") == []
    for wrong in (["x"], ["😀😀"], ["1"], ["😀", "🐱", "🎉", "🐶"], [""]):
        reply = table.ask("PATCH", f"{images}/{mine}", {"emojis": wrong})
        assert reply.status_code == 422, wrong
    body = {"image_ids": [mine], "emojis": {str(bens): ["😀"]}}
    table.refused(422, "invalid_input", "POST", images, body)
    table.ask("DELETE", url)
    assert table.found("🐱") == []


def test_a_search_may_fill_a_pack(table: Table) -> None:
    cat, other = table.hang("cat"), table.hang("dog")
    mine = table.hang("cat", is_public=False)
    newest = {"filter": {"visibility": "public"}}
    url = table.pack(title="All", query=newest, is_public=True)
    made = table.told("GET", url)
    assert (made["fills_itself"], made["image_count"]) == (True, None)
    assert made["query"]["filter"] == {"visibility": "public"}
    assert table.inside(url) == [other, cat]
    third = table.hang("bird", who="ben")
    assert table.inside(url, "ben") == [third, other, cat]
    # It is asked as whoever looks: of a query that says "mine" by a state, each sees their own.
    private = table.pack(query={"filter": {"visibility": "private"}}, is_public=True)
    assert (table.inside(private), table.inside(private, "ben")) == ([mine], [])
    like = table.pack(query={"image_id": mine, "threshold": 0.9}, is_public=True)
    assert table.inside(like) == [cat]
    # It is like a picture that they do not see, so that they see nothing.
    assert table.inside(like, "ben") == []
    words = table.pack(query={"text": "cat", "threshold": 0.9})
    assert sorted(table.inside(words)) == [cat, mine]
    days = {"created_after": "2020-01-01", "created_before": "2090-01-01T12:00:00+02:00"}
    assert len(table.inside(table.pack(query={"filter": days}))) == 4
    assert table.told("PATCH", url, {"query": {"filter": {"kind": "animated"}}})["version"] == 2
    assert table.inside(url) == []
    assert table.told("GET", url, who="ben")["query"] is None


def test_nonsense_fills_no_pack(lite: Table) -> None:
    cat = lite.hang("cat")
    by_hand, filled = lite.pack(cat), lite.pack(query={"text": "cat"})
    own = int(filled.rsplit("/", 1)[1])

    def wrong(query: Any, status: int = 422) -> str:
        reply = lite.ask("POST", PATH, {"title": "x", "query": query})
        assert reply.status_code == status, reply.get_json()
        return str(reply.get_json())

    for query in (
        {},
        {"filter": {}},
        {"text": "a", "image_id": cat},
        {"odd": 1},
        [],
        {"text": " "},
    ):
        wrong(query)
    assert "No condition has this name" in wrong({"filter": {"odd": 1}})
    wrong({"image_id": cat, "in": "keywords"})
    wrong({"text": "-cat", "syntax": "signs"}, 422)
    wrong({"image_id": 999_999}, 404)
    wrong({"filter": {"pack": 999_999}}, 404)
    # A pack of itself, and of one that fills itself.
    detail = lite.refused(
        422, "invalid_input", "PATCH", filled, {"query": {"filter": {"pack": own}}}
    )
    assert "itself" in detail
    assert "itself" in wrong({"filter": {"pack": own}})
    lite.pack(query={"filter": {"pack": int(by_hand.rsplit("/", 1)[1])}})
    lite.refused(409, "conflict", "POST", f"{filled}/images", {"image_ids": [cat]})
    lite.refused(409, "conflict", "PUT", f"{filled}/images", {"image_ids": [cat]})
    lite.refused(409, "conflict", "GET", f"{filled}/suggestions")
    lite.refused(409, "conflict", "PATCH", by_hand, {"query": {"text": "cat"}})


def test_packs_have_limits(lite: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    cat, dog = lite.hang("cat"), lite.hang("dog")
    url = lite.pack(cat)
    monkeypatch.setattr("mirada.packs.members.MOST_IMAGES", 1)
    detail = lite.refused(409, "conflict", "POST", f"{url}/images", {"image_ids": [dog]})
    assert "1 pictures at most" in detail
    monkeypatch.setattr(packs, "MOST_PACKS", 1)
    assert "as many as one person may" in lite.refused(
        409, "conflict", "POST", PATH, {"title": "x"}
    )
    for body in (
        {},
        {"title": ""},
        {"title": "  "},
        {"title": "x" * (limits.MAX_TITLE_CHARACTERS + 1)},
        {"title": "a\x00"},
        {"title": "\u200b"},
        {"title": "\u202egnp.cats"},
        {"title": "\ud800"},
        {"title": "x", "description": "x" * (limits.MAX_DESCRIPTION_CHARACTERS + 1)},
        {"title": "x", "theme": ""},
        {"title": "x", "odd": 1},
        {"title": "x", "cover_image_id": cat},
    ):
        assert lite.ask("POST", PATH, body).status_code == 422, body
    too_many = {"image_ids": list(range(1, limits.MOST_ADDED + 2))}
    assert lite.ask("POST", f"{url}/images", too_many).status_code == 422
    lite.refused(422, "invalid_input", "PATCH", url, {"cover_image_id": dog})
    lite.refused(404, "not_found", "PATCH", url, {"cover_image_id": 999_999})


def test_one_key_makes_one_pack(lite: Table) -> None:
    headers = {"Idempotency-Key": "once"}
    body = {"title": "x", "query": {"filter": {"created_after": "2020-01-01"}}}
    first, again = (lite.ask("POST", PATH, body, headers=headers) for _ in range(2))
    assert (first.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert first.get_json()["id"] == again.get_json()["id"]
    lite.ask("DELETE", first.get_json()["url"])
    gone = lite.ask("POST", PATH, body, headers=headers)
    assert "deleted since" in assert_problem(gone, 409, "conflict")["detail"]


def test_pictures_that_fit_are_suggested(table: Table) -> None:
    cat, dog = table.hang("cat"), table.hang("dog")
    near, far = table.hang("cat", "cat", "bird"), table.hang("car")
    hidden = table.hang("cat", who="ben", is_public=False)
    url = table.pack(cat, theme="Cats")
    found = table.told("GET", f"{url}/suggestions?limit=2")
    assert found["results"][0]["image"]["id"] == near
    ids = {each["image"]["id"] for each in table.told("GET", f"{url}/suggestions")["results"]}
    assert ids == {near, dog, far}
    assert hidden not in ids
    empty = table.told("GET", f"{table.pack()}/suggestions")
    assert (empty["results"], empty["reason"][:7]) == ([], "Nothing")

    taken = table.told("PUT", f"{url}/suggestions/{near}", {"accepted": True, "emojis": ["🐱"]})
    assert (taken["accepted"], taken["theme"]) == (True, "cats")
    assert table.told("GET", taken["feedback_url"])["accepted"] is True
    assert table.inside(url) == [cat, near]
    table.told("PUT", f"{url}/suggestions/{far}", {"accepted": False})
    assert table.inside(url) == [cat, near]
    left = table.told("GET", f"{url}/suggestions")["results"]
    assert [each["image"]["id"] for each in left] == [dog]
    # Undone, all is as before: the picture may be suggested again, and nothing was said of it.
    for image_id in (near, far):
        assert table.ask("DELETE", f"{url}/suggestions/{image_id}").status_code == 204
        table.refused(404, "not_found", "DELETE", f"{url}/suggestions/{image_id}")
    assert table.inside(url) == [cat]
    assert table.verdicts() == {}
    table.refused(404, "not_found", "PUT", f"{url}/suggestions/{hidden}", {"accepted": True})


def test_what_was_said_before_is_said_again_after_undoing(table: Table) -> None:
    cat, dog = table.hang("cat"), table.hang("dog")
    url = table.pack(cat, theme="pets")
    with table.runtime.reading() as session:
        sha256 = session.get_one(Image, dog).content.sha256
    said = {"image_hash": sha256, "theme": "pets", "accepted": False}
    table.told("POST", "/api/v1/feedback", said)
    # Rejected by hand before: the choice gives no verdict, and takes none back.
    assert (
        table.told("PUT", f"{url}/suggestions/{dog}", {"accepted": False})["feedback_url"] is None
    )
    table.ask("DELETE", f"{url}/suggestions/{dog}")
    assert table.verdicts() == {"pets": False}
    table.told("PUT", f"{url}/suggestions/{dog}", {"accepted": True})
    assert table.verdicts() == {"pets": True}
    table.told("PUT", f"{url}/suggestions/{dog}", {"accepted": False})
    assert (table.verdicts(), table.inside(url)) == ({"pets": False}, [cat])
    table.told("PUT", f"{url}/suggestions/{dog}", {"accepted": True})
    table.ask("DELETE", f"{url}/suggestions/{dog}")
    assert table.verdicts() == {"pets": False}
    # Changed by hand since: that counts.
    table.told("PUT", f"{url}/suggestions/{dog}", {"accepted": True})
    table.told("POST", "/api/v1/feedback", said)
    table.ask("DELETE", f"{url}/suggestions/{dog}")
    assert table.verdicts() == {"pets": False}


def test_verdicts_move_what_is_suggested(table: Table) -> None:
    cat = table.hang("cat")
    bird, fish = table.hang("cat", "bird"), table.hang("cat", "fish")
    liked = table.hang("bird", "bird", "tree")
    url = table.pack(cat, theme="pets")
    table.told("PUT", f"{url}/suggestions/{liked}", {"accepted": True})
    table.told("DELETE", f"{url}/images/{liked}")
    results = table.told("GET", f"{url}/suggestions")["results"]
    assert [each["image"]["id"] for each in results][:2] == [bird, fish]


def test_titles_come_from_what_was_said_of_labels(table: Table) -> None:
    cat = table.hang("cat")
    url = table.pack(cat, theme="Night")
    model = table.runtime.settings.llm_label_expansion_model
    with table.runtime.transaction() as session:
        session.add(
            ImageLabels(
                image_id=cat,
                space_id=table.runtime.space()[0],
                judged_by="0" * 32,
                label="cat",
                score=0.9,
                logits=b"",
                is_far=False,
                computed_at=utc_now(),
            )
        )
        for label, titles in (("cat", ("Cute pets", "Purring")), ("night", ("Late", "Purring"))):
            found = Expansion(("kitten",), (), (), titles, ())
            store_expansion(session, label, model, found)
    expected = ["Late", "Purring", "Cute pets"]
    assert table.told("GET", f"{url}/suggestions")["titles"] == expected


def test_the_packs_of_who_ends_go(table: Table) -> None:
    bens, mine = table.hang("cat", who="ben"), table.hang("dog")
    url = table.pack(bens, who="ben", is_public=True)
    kept = table.pack(bens, mine)
    path = f"/api/v1/users/{table.ids['ben']}?images=hand_over&heir_id={table.ids['ana']}"
    assert table.ask("DELETE", path, who="root").status_code == 202
    table.work()
    table.refused(404, "not_found", "GET", url)
    assert table.inside(kept) == [bens, mine]
    with table.runtime.reading() as session:
        assert len(session.execute(select(Pack.id)).all()) == 1
        assert len(session.execute(select(PackImage.image_id)).all()) == 2

"""Pages of fused, composed and picture queries; many requests at once; rankings on MariaDB."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from mirada.db.models import Image
from mirada.db.paging_models import KeptRanking
from mirada.embedding.embed import store_embedding
from mirada.people import keys, users
from mirada.runtime import Runtime
from mirada.search import kept
from mirada.search.pager import Pager
from mirada.search.pages import next_page
from testing.application import create_app
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import Gallery, as_upload, assert_problem, on_arc
from testing.pictures import picture
from tests.conftest import MakeRuntime
from workers.sweeper import Sweeper

SEARCH = "/api/v1/search"
QUERY = "red balloon"
Headers = dict[str, str]


class Site:
    """A client, and an encoder to which equal texts are equal."""

    def __init__(self, runtime: Runtime) -> None:
        self.encoder = CountingEncoder()
        self.runtime = with_encoder(runtime, self.encoder)
        self.client = create_app(self.runtime).test_client()
        self.ids: list[int] = []

    def hang(self, count: int) -> None:
        """Upload pictures with captions, each three degrees further along an arc."""
        gallery = Gallery(self.runtime, self.client)
        words = ("red", "balloon", "balloon red", "red balloon", "kite")
        self.ids = [
            gallery.upload(degrees=3 * number, caption=f"{words[number % 5]} {number}")["id"]
            for number in range(count)
        ]

    def ask(self, **query: Any) -> Any:
        return answered(self.client.post(SEARCH, json=query))


def answered(response: Any) -> Any:
    assert response.status_code == 200, response.get_json()
    return response.get_json()


def rest_of(client: FlaskClient, body: Any, headers: Headers | None = None) -> list[Any]:
    results: list[Any] = []
    while body["next"] is not None:
        body = answered(client.get(body["next"], headers=headers or {}))
        results += body["results"]
    return results


def ids_in(results: list[Any]) -> list[int]:
    return [each["image"]["id"] for each in results]


@pytest.fixture
def site(runtime: Runtime) -> Site:
    site = Site(runtime)
    site.hang(25)
    return site


@pytest.mark.parametrize(
    "query",
    [
        {"query": [{"vector": on_arc(10)}, {"vector": on_arc(60), "weight": 0.5}]},
        {"query": [{"vector": on_arc(10)}, {"vector": on_arc(0), "weight": -1}]},
        {"query": [{"vector": on_arc(30)}, {"image_id": 3}]},
        {"vector": on_arc(0), "threshold": 0.8},
        {"vector": on_arc(0), "mine": True},
        {"text": QUERY, "in": "keywords"},
        {"text": "red -kite", "syntax": "signs", "in": "keywords"},
        {"text": QUERY, "weights": {"keywords": 1}},
    ],
    ids=lambda query: json.dumps(query)[:40],
)
def test_pages_are_the_pieces_of_one_long_page(site: Site, query: dict[str, Any]) -> None:
    whole = site.ask(**query, limit=100)
    first = site.ask(**query, limit=4)
    assert first["next"]
    assert first["results"] + rest_of(site.client, first) == whole["results"]
    second = answered(site.client.get(first["next"]))
    same = {"verdict", "relevant_count", "way", "permitted_count", "space", "ranked_count"}
    more = {"sources", "left_out"} if "sources" in whole else set()
    for name in same | more:
        assert second[name] == whole[name], name


@pytest.fixture
def shown(runtime: Runtime) -> Site:
    """Return a site whose twelve pictures have captions, and vectors of the encoder's own space."""
    site = Site(runtime)
    space_id, space = site.runtime.space()
    for number in range(12):
        data = {
            "file": as_upload(picture(number)),
            "caption": f"{QUERY if number % 3 else 'kite'} {number}",
        }
        response = site.client.post("/api/v1/images", data=data)
        assert response.status_code == 201
        with site.runtime.transaction() as session:
            content_id = session.get_one(Image, response.get_json()["id"]).content_id
            vector = site.encoder.encode_texts([f"picture {number}"])[0]
            store_embedding(session, content_id, space_id, space, vector)
    site.runtime.index(space_id).refresh()
    return site


def test_fused_sources_have_pages(shown: Site) -> None:
    query = {"text": QUERY, "in": "all"}
    whole, first = shown.ask(**query, limit=100), shown.ask(**query, limit=3)
    assert len(whole["results"]) == 12
    assert {part["source"] for each in whole["results"] for part in each["found_by"]} == {
        "pictures",
        "keywords",
    }
    assert first["results"] + rest_of(shown.client, first) == whole["results"]


def test_a_received_picture_is_asked_with_on_every_page_and_decoded_once(shown: Site) -> None:
    def sent(limit: int) -> Any:
        data = {"file": as_upload(picture(4711)), "limit": limit}
        return answered(shown.client.post(SEARCH, data=data))

    first = sent(4)
    assert shown.encoder.images == 1
    pages = rest_of(shown.client, first)
    assert shown.encoder.images == 1
    assert first["results"] + pages == sent(100)["results"]


def test_received_pictures_among_several_parts_have_pages(shown: Site) -> None:
    parts = [{"picture": "one"}, {"text": "picture 7"}, {"picture": "two", "weight": -0.5}]

    def sent(**more: Any) -> Any:
        files = {"one": as_upload(picture(1)), "two": as_upload(picture(2))}
        data = {"query": json.dumps(parts), **more, **files}
        return answered(shown.client.post(SEARCH, data=data))

    for more in ({}, {"in": "all"}):
        first = sent(limit=5, **more)
        assert first["results"] + rest_of(shown.client, first) == sent(limit=100, **more)["results"]


@pytest.mark.parametrize(
    "choice",
    [
        {"collapse": "same_subject"},
        {"collapse": "near"},
        {"collapse": "same_file"},
        {"diversify": 0.5},
    ],
)
def test_what_was_chosen_among_many_has_pages(site: Site, choice: dict[str, Any]) -> None:
    whole = site.ask(vector=on_arc(0), limit=100, **choice)
    first = site.ask(vector=on_arc(0), limit=4, **choice)
    found = ids_in(first["results"] + rest_of(site.client, first))
    assert len(found) == len(set(found))
    assert set(found) == set(ids_in(whole["results"]))


def test_nothing_that_counts_as_one_with_what_was_shown_is_on_a_later_page(site: Site) -> None:
    asked = {"vector": on_arc(30.02), "collapse": "near_duplicate", "limit": 3}
    first = site.ask(**asked)
    assert ids_in(first["results"])[0] == site.ids[10]
    gallery = Gallery(site.runtime, site.client)
    # As near as can be, and so before the one that was shown.
    shown = set(ids_in(first["results"]))
    nearer = enumerate((30.01, 29.99, 27.01, 33.01), start=9_000)
    near = [gallery.upload(seed=seed, degrees=degrees)["id"] for seed, degrees in nearer]
    fresh = gallery.upload(seed=9_100, degrees=120)["id"]
    found = ids_in(rest_of(site.client, first))
    assert fresh in found
    assert not set(found) & (shown | set(near))


def test_a_cursor_in_a_form_is_no_field_of_it(site: Site) -> None:
    body = site.ask(vector=on_arc(0), limit=4)
    cursor = body["next"].partition("cursor=")[2]
    response = site.client.post(SEARCH, data={"file": as_upload(picture(1)), "cursor": cursor})
    assert_problem(response, 422, "invalid_input")


def test_where_the_image_that_is_asked_with_goes_the_next_page_says_so(site: Site) -> None:
    unranked = site.ask(image_id=site.ids[0], limit=4)["next"]
    ranked = answered(site.client.get(site.ask(image_id=site.ids[0], limit=4)["next"]))["next"]
    assert site.client.delete(f"/api/v1/images/{site.ids[0]}").status_code == 204
    assert_problem(site.client.get(unranked), 404, "not_found")
    assert ids_in(answered(site.client.get(ranked))["results"]) == site.ids[9:13]


def test_a_filter_holds_on_every_page_as_things_are_now(site: Site) -> None:
    for image_id in site.ids[::2]:
        assert site.client.put(f"/api/v1/images/{image_id}/like").status_code == 200
    first = site.ask(vector=on_arc(0), limit=3, filter={"liked": True})
    assert ids_in(first["results"]) == site.ids[0:6:2]
    second = answered(site.client.get(first["next"]))
    assert ids_in(second["results"]) == site.ids[6:12:2]
    assert site.client.delete(f"/api/v1/images/{site.ids[14]}/like").status_code == 200
    assert ids_in(rest_of(site.client, second)) == [site.ids[12], *site.ids[16::2]]


# Rankings on both databases.


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def served(request: pytest.FixtureRequest, make_runtime: MakeRuntime) -> Runtime:
    if request.param == "sqlite":
        return make_runtime(auth_mode="keys")
    url = request.getfixturevalue("mariadb_url")
    return make_runtime(auth_mode="keys", database_url=url)


class People:
    """Ana, who has public pictures on an arc, and Ben."""

    def __init__(self, runtime: Runtime, count: int) -> None:
        self.runtime = runtime
        self.app = create_app(runtime)
        self.client = self.app.test_client()
        self.headers: dict[str, Headers] = {"nobody": {}}
        with runtime.transaction() as session:
            for name in ("ana", "ben"):
                key = keys.issue(session, users.create_user(session, name)).key
                self.headers[name] = {"Authorization": f"Bearer {key}"}
        gallery = Gallery(runtime, self.client)
        fields = {"headers": self.headers["ana"], "is_public": "true"}
        self.ids = [gallery.upload(degrees=each, **fields)["id"] for each in range(count)]

    def first(self, who: str, **query: Any) -> Any:
        asked = {"image_id": self.ids[0], "limit": 3, **query}
        return answered(self.client.post(SEARCH, json=asked, headers=self.headers[who]))

    def get(self, address: str, who: str, client: FlaskClient | None = None) -> Any:
        return (client or self.client).get(address, headers=self.headers[who])

    def rows(self) -> int:
        with self.runtime.reading() as session:
            return session.scalar(select(func.count()).select_from(KeptRanking)) or 0


def test_made_private_between_pages_is_on_no_page_of_anybody_else(served: Runtime) -> None:
    people = People(served, 14)
    walked = {who: people.first(who) for who in ("ana", "ben", "nobody")}
    second = {
        who: answered(people.get(body["next"], who)) for who, body in walked.items() if who != "ana"
    }
    hidden = {people.ids[5], people.ids[8], people.ids[12]}
    for image_id in hidden:
        reply = people.client.patch(
            f"/api/v1/images/{image_id}", json={"is_public": False}, headers=people.headers["ana"]
        )
        assert reply.status_code == 200
    left = [image_id for image_id in people.ids[4:] if image_id not in hidden]
    for who in ("ben", "nobody"):
        headers = people.headers[who]
        assert ids_in(rest_of(people.client, walked[who], headers)) == left
        later = rest_of(people.client, second[who], headers)
        assert ids_in(later) == [image_id for image_id in people.ids[7:] if image_id not in hidden]
    mine = rest_of(people.client, walked["ana"], people.headers["ana"])
    assert ids_in(mine) == people.ids[4:]


def test_many_requests_for_one_second_page_get_the_same_ranking(served: Runtime) -> None:
    people = People(served, 12)
    second = people.first("ben")["next"]

    def turned(_: int) -> Any:
        body = answered(people.get(second, "ben", people.app.test_client()))
        client = people.app.test_client()
        return ids_in(body["results"]), ids_in(rest_of(client, body, people.headers["ben"]))

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(turned, range(6)))
    assert found == [(people.ids[4:7], people.ids[7:])] * 6
    assert people.rows() == 1


def test_thousands_of_cursors_keep_no_more_than_the_bound(
    served: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10,000 cursors of one caller are 200 rows; here the bound is lower, as the time is."""
    monkeypatch.setattr(kept, "MOST_OF_CALLER", 5)
    people = People(served, 9)
    mine = answered(people.get(people.first("ana")["next"], "ana"))["next"]
    cursors = [people.first("ben")["next"] for _ in range(40)]
    assert len(set(cursors)) == 40
    assert people.rows() == 1, "a cursor alone keeps nothing"
    with ThreadPoolExecutor(4) as pool:
        replies = list(
            pool.map(lambda each: people.get(each, "ben", people.app.test_client()), cursors)
        )
    assert {reply.status_code for reply in replies} <= {200, 410}
    # Who come at once do not see each other's rows yet; the next one makes room for all.
    answered(people.get(people.first("ben")["next"], "ben"))
    assert people.rows() <= 5 + 1
    assert people.get(mine, "ana").status_code == 200


def test_a_ranking_whose_time_ends_between_two_looks_is_gone(served: Runtime) -> None:
    people = People(served, 9)
    later = answered(people.get(people.first("ben")["next"], "ben"))["next"]
    with served.transaction() as session:
        session.query(KeptRanking).update(
            {KeptRanking.made_at_ms: KeptRanking.made_at_ms - kept.KEPT_FOR_S * 1000}
        )
    assert_problem(people.get(later, "ben"), 410, "search_expired")
    Sweeper(served).sweep()
    assert people.rows() == 0
    assert_problem(people.get(later, "ben"), 410, "search_expired")


def test_the_key_counts_and_not_only_its_owner(served: Runtime) -> None:
    people = People(served, 9)
    body = people.first("ben")
    with served.transaction() as session:
        ben = users.user_named(session, "ben")
        people.headers["ben, again"] = {"Authorization": f"Bearer {keys.issue(session, ben).key}"}
    assert_problem(people.get(body["next"], "ben, again"), 422, "invalid_input")
    assert people.get(body["next"], "ben").status_code == 200


def test_a_cursor_is_judged_before_the_database_is_asked(
    served: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So nobody learns by the clock whether a cursor of somebody else exists."""
    people = People(served, 9)
    theirs = people.first("ana")["next"].partition("cursor=")[2]
    asked: list[object] = []
    for name in ("by_ticket", "by_id", "keep"):
        monkeypatch.setattr(kept, name, lambda *_, **__: asked.append(1))
    assert_problem(people.get(f"{SEARCH}?cursor={theirs}", "ben"), 422, "invalid_input")
    assert asked == []


def test_a_pager_without_http_goes_on_in_another_process(
    served: Runtime, make_runtime: MakeRuntime
) -> None:
    people = People(served, 9)
    body = people.first("nobody")
    cursor = body["next"].partition("cursor=")[2]
    settings = served.settings
    other = Runtime(settings)
    try:
        found = next_page(other, cursor, Pager(other, None), lambda _: True, 2)
        assert [each.image.id for each in found.results] == people.ids[4:6]
        assert found.cursor is not None
        again = next_page(served, found.cursor, Pager(served, None), lambda _: True)
        assert [each.image.id for each in again.results] == people.ids[6:8]
    finally:
        other.close()

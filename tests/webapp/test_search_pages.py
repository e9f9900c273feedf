"""Pages of searches over HTTP: one ranking, whatever comes and goes, and for one caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from mirada.db.models import Image
from mirada.db.paging_models import KeptRanking
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.model_view import ModelView
from mirada.search import cursors, pager
from testing.gallery import Gallery, assert_problem, on_arc

SEARCH = "/api/v1/search"
Headers = dict[str, str]


def first(gallery: Gallery, headers: Headers | None = None, **query: Any) -> Any:
    response = gallery.client.post(SEARCH, json=query, headers=headers or {})
    assert response.status_code == 200, response.get_json()
    return response.get_json()


def ids_of(body: Any) -> list[int]:
    return [found["image"]["id"] for found in body["results"]]


def rest_of(gallery: Gallery, body: Any, headers: Headers | None = None) -> list[int]:
    """Return the ids on all further pages, in their order."""
    ids: list[int] = []
    while body["next"] is not None:
        response = gallery.get(body["next"], headers)
        assert response.status_code == 200, response.get_json()
        body = response.get_json()
        assert body["results"]
        ids += ids_of(body)
    return ids


def cursor_in(body: Any) -> str:
    return str(body["next"].partition("cursor=")[2])


def kept(gallery: Gallery) -> list[Any]:
    with gallery.runtime.reading() as session:
        return list(session.execute(select(KeptRanking)).scalars())


@pytest.fixture
def arc(gallery: Gallery) -> list[int]:
    """Return the ids of thirty pictures, the nearest to `on_arc(0)` first."""
    return [gallery.upload(degrees=degrees)["id"] for degrees in range(30)]


def test_pages_together_are_the_whole_ranking(gallery: Gallery, arc: list[int]) -> None:
    body = first(gallery, vector=on_arc(0), limit=7)
    assert ids_of(body) == arc[:7]
    assert body["ranked_count"] is None
    sizes = []
    found = ids_of(body)
    while body["next"] is not None:
        response = gallery.get(body["next"])
        body = response.get_json()
        assert body["ranked_count"] == 30
        assert body["space"] == "image:test:v1:none"
        linked = response.headers.get("Link")
        assert linked == (body["next"] and f'<{body["next"]}>; rel="next"')
        sizes.append(len(body["results"]))
        found += ids_of(body)
    assert found == arc
    assert sizes == [7, 7, 7, 2]
    assert body["reason"] == "There are no more."


def test_further_pages_tell_the_numbers_that_one_long_page_tells(
    gallery: Gallery, arc: list[int]
) -> None:
    whole = first(gallery, vector=on_arc(0), limit=30)["results"]
    body = first(gallery, vector=on_arc(0), limit=10)
    assert whole[10:20] == gallery.get(body["next"]).get_json()["results"]


@pytest.mark.parametrize("limit", [30, 31, 1000])
def test_a_page_that_holds_everything_has_no_next(
    gallery: Gallery, arc: list[int], limit: int
) -> None:
    response = gallery.client.post(SEARCH, json={"vector": on_arc(0), "limit": limit})
    body = response.get_json()
    assert (ids_of(body), body["next"], body["ranked_count"]) == (arc, None, 30)
    assert "Link" not in response.headers


def test_the_first_page_writes_nothing_where_the_question_is_short(
    gallery: Gallery, arc: list[int]
) -> None:
    body = first(gallery, image_id=arc[0], limit=5)
    assert body["next"]
    assert kept(gallery) == []
    assert ids_of(body) + rest_of(gallery, body) == arc[1:]
    assert len(kept(gallery)) == 1


def test_pages_neither_repeat_nor_lose_while_images_come_and_go(
    gallery: Gallery, arc: list[int]
) -> None:
    body = first(gallery, vector=on_arc(0), limit=6)
    shown = ids_of(body)
    # Nearer than all that was shown, between pages, and beyond them; and some go.
    gone = set(arc[1:30:3])
    for step in range(5):
        gallery.upload(degrees=step / 10)
        gallery.upload(degrees=10 + step / 10)
        for image_id in list(gone)[:2]:
            gone.remove(image_id)
            assert gallery.client.delete(f"/api/v1/images/{image_id}").status_code == 204
        response = gallery.get(body["next"])
        body = response.get_json()
        shown += ids_of(body)
    shown += rest_of(gallery, body)
    assert len(shown) == len(set(shown))
    stayed = [image_id for image_id in arc if image_id not in set(arc[1:30:3])]
    assert set(stayed) <= set(shown)
    assert [image_id for image_id in shown if image_id in set(stayed)] == stayed


def test_a_page_is_full_though_images_of_it_are_gone(gallery: Gallery, arc: list[int]) -> None:
    body = gallery.get(first(gallery, vector=on_arc(0), limit=5)["next"]).get_json()
    for image_id in arc[10:22]:
        gallery.client.delete(f"/api/v1/images/{image_id}")
    body = gallery.get(body["next"]).get_json()
    assert ids_of(body) == arc[22:27]
    body = gallery.get(body["next"]).get_json()
    assert (ids_of(body), body["next"]) == (arc[27:], None)


def test_the_same_page_asked_twice_is_the_same(gallery: Gallery, arc: list[int]) -> None:
    second = first(gallery, vector=on_arc(0), limit=5)["next"]
    once = gallery.get(second).get_json()
    gallery.upload(degrees=7.5)
    assert ids_of(gallery.get(second).get_json()) == ids_of(once)
    third = [ids_of(gallery.get(once["next"]).get_json()) for _ in range(2)]
    assert third == [arc[10:15]] * 2
    assert len(kept(gallery)) == 1


def test_every_page_may_have_a_length_of_its_own(gallery: Gallery, arc: list[int]) -> None:
    body = first(gallery, vector=on_arc(0), limit=4)
    body = gallery.get(body["next"] + "&limit=11").get_json()
    assert ids_of(body) == arc[4:15]
    response = gallery.client.post(SEARCH, json={"cursor": cursor_in(body), "k": 1})
    assert ids_of(response.get_json()) == [arc[15]]
    assert ids_of(gallery.get(response.get_json()["next"]).get_json()) == [arc[16]]


@pytest.mark.parametrize("limit", [0, -1, 1001, 10**9])
def test_a_length_that_makes_no_sense_is_refused(
    gallery: Gallery, arc: list[int], limit: int
) -> None:
    following = first(gallery, vector=on_arc(0), limit=4)["next"]
    assert_problem(gallery.get(f"{following}&limit={limit}"), 422, "invalid_input")


def test_similar_and_related_images_have_pages_too(gallery: Gallery, arc: list[int]) -> None:
    for address in (
        f"/api/v1/images/{arc[0]}/similar?limit=8",
        f"/api/v1/images/{arc[0]}/similar?limit=8&threshold=0",
        f"/api/v1/images/{arc[0]}/related?limit=8",
        f"/api/v1/images/{arc[0]}/related?limit=8&blend=0&mine=true",
    ):
        response = gallery.get(address)
        body = response.get_json()
        assert response.headers["Link"] == f'<{body["next"]}>; rel="next"'
        assert body["ranked_count"] is None
        assert ids_of(body) + rest_of(gallery, body) == arc[1:], address
        alone = address.partition("?")[0] + "?cursor=" + cursor_in(body)
        assert ids_of(gallery.get(alone).get_json()) == arc[9:17]


def test_a_cursor_of_another_search_is_refused(gallery: Gallery, arc: list[int]) -> None:
    similar, related = f"/api/v1/images/{arc[0]}/similar", f"/api/v1/images/{arc[0]}/related"
    by_vector = cursor_in(first(gallery, vector=on_arc(0), limit=4))
    by_image = cursor_in(gallery.get(f"{similar}?limit=4").get_json())
    by_both = cursor_in(gallery.get(f"{related}?limit=4").get_json())
    for address in (
        f"{similar}?cursor={by_vector}",
        f"{similar}?cursor={by_both}",
        f"{similar}?cursor={by_image}&threshold=0.5",
        f"/api/v1/images/{arc[1]}/similar?cursor={by_image}",
        f"{related}?cursor={by_image}",
        f"{related}?cursor={by_both}&blend=0.25",
        f"/api/v1/images/{arc[1]}/related?cursor={by_both}",
        f"{SEARCH}?cursor={by_both}",
    ):
        problem = assert_problem(gallery.get(address), 422, "invalid_input")
        assert problem["errors"] == {"cursor": ["It is of another search."]}
    assert kept(gallery)[1:] == []
    for query in (
        {"vector": on_arc(1)},
        {"vector": on_arc(0), "threshold": 0.1},
        {"vector": on_arc(0), "mine": True},
        {"image_id": arc[0]},
    ):
        response = gallery.client.post(SEARCH, json=query | {"cursor": by_vector})
        assert_problem(response, 422, "invalid_input")


def test_a_cursor_with_half_a_search_says_what_it_comes_with(
    gallery: Gallery, arc: list[int]
) -> None:
    cursor = cursor_in(first(gallery, vector=on_arc(0), limit=4))
    for reply in (
        gallery.client.post(SEARCH, json={"cursor": cursor, "explain": True}),
        gallery.client.post(SEARCH, json={"cursor": cursor, "filter": {"kind": "still"}}),
        gallery.get(f"{SEARCH}?cursor={cursor}&kind=still"),
    ):
        problem = assert_problem(reply, 422, "invalid_input")
        assert [*problem["errors"]] == ["cursor"]
        assert problem["detail"].startswith("Send the cursor alone")


def test_a_cursor_may_come_with_its_own_search(gallery: Gallery, arc: list[int]) -> None:
    query = {"vector": on_arc(0), "limit": 4, "threshold": 0.5}
    body = first(gallery, **query)
    for _ in range(2):
        response = gallery.client.post(SEARCH, json=query | {"cursor": cursor_in(body)})
        body = response.get_json()
    assert ids_of(body) == arc[8:12]


def test_a_cursor_may_come_with_a_search_in_whole_numbers(gallery: Gallery, arc: list[int]) -> None:
    """10**30 is not the float nearest to it, and only that is in the cursor."""
    query = {"vector": [int(10**30 * number) for number in on_arc(0)], "limit": 4}
    query["vector"][0] = 10**30
    response = gallery.client.post(
        SEARCH, json=query | {"cursor": cursor_in(first(gallery, **query))}
    )
    assert ids_of(response.get_json()) == arc[4:8]


@pytest.mark.parametrize(
    "cursor", ["", "x", "A" * 60, "A" * 1001, "YWZ0ZXI6MTc", "é", "%00" * 60, "A" * 40 + "*" * 40]
)
def test_a_forged_cursor_is_refused(gallery: Gallery, arc: list[int], cursor: str) -> None:
    for address in (SEARCH, f"/api/v1/images/{arc[0]}/similar", f"/api/v1/images/{arc[0]}/related"):
        problem = assert_problem(gallery.get(f"{address}?cursor={cursor}"), 422, "invalid_input")
        assert "cursor" in problem["errors"]
    response = gallery.client.post(SEARCH, json={"cursor": cursor})
    assert_problem(response, 422, "invalid_input")


@pytest.mark.parametrize("given", [{}, {"cursor": None}, {"cursor": 7}, {"cursor": ["x"]}])
def test_a_cursor_that_is_no_text_or_no_cursor_is_refused(gallery: Gallery, given: Any) -> None:
    assert_problem(gallery.client.post(SEARCH, json=given), 422, "invalid_input")
    assert_problem(gallery.get(SEARCH), 422, "invalid_input")


def test_a_cursor_in_part_or_changed_is_refused(gallery: Gallery, arc: list[int]) -> None:
    second = first(gallery, vector=on_arc(0), limit=4)["next"]
    for address in (second, gallery.get(second).get_json()["next"]):
        text = address.partition("cursor=")[2]
        for wrong in (text[:-1], text[:-8], text[1:], text + "AAAA", text[:20] + "A" + text[21:]):
            if wrong == text:
                continue
            response = gallery.get(f"{SEARCH}?cursor={wrong}")
            assert_problem(response, 422, "invalid_input")


def test_nobody_else_can_use_a_cursor_nor_learn_that_it_is_one(
    guarded: Gallery, key_of: Callable[..., Headers]
) -> None:
    me, other = key_of("me"), key_of("other")
    for degrees in range(12):
        guarded.upload(degrees=degrees, headers=me, is_public="true")
    body = first(guarded, me, vector=on_arc(0), limit=3)
    later = guarded.get(body["next"], me).get_json()
    nonsense = assert_problem(
        guarded.get(f"{SEARCH}?cursor={'A' * 80}", other), 422, "invalid_input"
    )
    for address in (body["next"], later["next"]):
        for headers in (other, {}):
            problem = assert_problem(guarded.get(address, headers), 422, "invalid_input")
            assert problem["detail"] == nonsense["detail"]
            assert problem["errors"] == nonsense["errors"]
        assert guarded.get(address, me).status_code == 200


def test_a_stranger_pages_through_public_images(
    guarded: Gallery, key_of: Callable[..., Headers]
) -> None:
    me = key_of("me")
    ids = [
        guarded.upload(degrees=degrees, headers=me, is_public="true")["id"] for degrees in range(9)
    ]
    body = first(guarded, {}, vector=on_arc(0), limit=4)
    assert ids_of(body) + rest_of(guarded, body) == ids
    assert body["change_seq"] is None
    assert guarded.get(body["next"]).get_json()["change_seq"] is None


def test_what_is_made_private_between_pages_is_left_out(
    guarded: Gallery, key_of: Callable[..., Headers]
) -> None:
    me, other = key_of("me"), key_of("other")
    ids = [
        guarded.upload(degrees=degrees, headers=me, is_public="true")["id"] for degrees in range(12)
    ]
    body = first(guarded, other, vector=on_arc(0), limit=3)
    later = guarded.get(body["next"], other).get_json()
    hidden = {ids[4], ids[7], ids[8]}
    for image_id in hidden:
        response = guarded.client.patch(
            f"/api/v1/images/{image_id}", json={"is_public": False}, headers=me
        )
        assert response.status_code == 200
    left = [image_id for image_id in ids if image_id not in hidden]
    assert ids_of(guarded.get(body["next"], other).get_json()) == [ids[3], ids[5], ids[6]]
    assert rest_of(guarded, later, other) == ids[6:7] + ids[9:]
    # In the owner's own ranking they stay.
    assert left != ids
    assert rest_of(guarded, first(guarded, me, vector=on_arc(0), limit=3), me) == ids[3:]


@pytest.fixture
def parked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every question be too long for a cursor."""
    monkeypatch.setattr(pager, "longest_content", lambda _ids: 0)


@pytest.mark.usefixtures("parked")
def test_a_question_too_long_for_a_cursor_is_kept_with_the_first_page(
    gallery: Gallery, arc: list[int]
) -> None:
    body = first(gallery, vector=on_arc(0), limit=7)
    assert [row.ranked_count for row in kept(gallery)] == [None]
    assert len(cursor_in(body)) < 100
    again = gallery.client.post(SEARCH, json={"cursor": cursor_in(body), "vector": on_arc(1)})
    assert_problem(again, 422, "invalid_input")
    assert ids_of(body) + rest_of(gallery, body) == arc
    assert ids_of(body) + rest_of(gallery, body) == arc
    assert [row.ranked_count for row in kept(gallery)] == [23]


def test_after_ten_minutes_a_cursor_is_gone_and_says_what_to_do(
    gallery: Gallery, arc: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    unranked = first(gallery, image_id=arc[0], limit=4)["next"]
    ranked = gallery.get(first(gallery, vector=on_arc(3), limit=4)["next"]).get_json()["next"]
    now_s = cursors.now_s()
    monkeypatch.setattr(cursors, "now_s", lambda: now_s + cursors.KEPT_FOR_S - 2)
    assert gallery.get(ranked).status_code == 200
    monkeypatch.setattr(cursors, "now_s", lambda: now_s + cursors.KEPT_FOR_S)
    for address in (unranked, ranked):
        problem = assert_problem(gallery.get(address), 410, "search_expired")
        assert "10 minutes" in problem["detail"]
        assert "without a cursor" in problem["detail"]


def test_a_ranking_that_made_room_says_so(
    gallery: Gallery, arc: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirada.search.kept.MOST_OF_CALLER", 2)
    ranked = gallery.get(first(gallery, image_id=arc[0], limit=4)["next"]).get_json()["next"]
    monkeypatch.setattr(pager, "longest_content", lambda _ids: 0)
    addresses = [first(gallery, vector=on_arc(5), limit=4)["next"] for _ in range(3)]
    for address in (ranked, addresses[0]):
        problem = assert_problem(gallery.get(address), 410, "search_expired")
        assert "room" in problem["detail"]
    assert len(kept(gallery)) == 2
    assert gallery.get(addresses[1]).status_code == 200


def test_a_ranking_ends_at_its_bound_and_says_so(
    gallery: Gallery, arc: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirada.search.pages.MOST_RANKED", 12)
    body = first(gallery, vector=on_arc(0), limit=8)
    body = gallery.get(body["next"]).get_json()
    assert (ids_of(body), body["next"], body["ranked_count"]) == (arc[8:12], None, 12)
    assert body["reason"].startswith("The 12 best are ranked")


def test_an_image_of_which_the_row_alone_changed_is_shown_as_it_is_now(
    gallery: Gallery, arc: list[int]
) -> None:
    body = first(gallery, vector=on_arc(0), limit=4)
    gallery.get(body["next"])
    with gallery.runtime.transaction() as session:
        session.execute(update(Image).where(Image.id == arc[5]).values(caption="new"))
    shown = gallery.get(body["next"]).get_json()["results"][1]["image"]
    assert (shown["id"], shown["caption"]) == (arc[5], "new")


def test_a_search_is_answered_though_its_question_cannot_be_kept(
    gallery: Gallery, arc: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        from mirada.kernel.errors import DatabaseBusy

        raise DatabaseBusy("The database is busy.")

    monkeypatch.setattr(pager, "in_transaction", away)
    short = first(gallery, image_id=arc[0], limit=4)
    assert_problem(gallery.get(short["next"]), 503, "unavailable")
    monkeypatch.setattr(pager, "longest_content", lambda _ids: 0)
    body = first(gallery, vector=on_arc(0), limit=4)
    assert (ids_of(body), body["next"], body["ranked_count"]) == (arc[:4], None, None)
    assert body["reason"].startswith("There is more")


def test_a_cursor_ends_with_the_image_model_that_was_in_use(
    gallery: Gallery, arc: list[int]
) -> None:
    runtime = gallery.runtime
    space_id, _ = runtime.space()
    body = first(gallery, vector=on_arc(0), limit=7)
    second = gallery.get(body["next"]).get_json()
    before = runtime.view
    other = ModelView({SpaceKind.IMAGE: space_id + 1}, suffix=":other")
    assert runtime.change_view(before, other)
    for address in (body["next"], second["next"]):
        problem = assert_problem(gallery.get(address), 410, "search_expired")
        assert "image model was changed" in problem["detail"]
    assert runtime.change_view(other, before)
    assert gallery.get(second["next"]).status_code == 200

"""What a search shows of what it ranked: one of those that count as one, what is new, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from mirada.db.models import Image
from mirada.kernel.similarity import SearchWay
from mirada.people import keys, users
from mirada.ports import SearchAnswer, SearchPlan
from testing.alike import alike
from testing.asking import A_FEW_NEAR, Words, ids_of, search
from testing.gallery import Gallery, assert_problem, on_arc


def counts_of(response: Any) -> list[int]:
    return [found["collapsed_count"] for found in response.get_json()["results"]]


def test_of_one_file_one_image_is_shown_and_the_others_are_counted(gallery: Gallery) -> None:
    first, *_ = (gallery.upload(seed=1, degrees=3)["id"] for _ in range(3))
    other = gallery.upload(seed=2, degrees=9)["id"]
    whole = search(gallery, vector=on_arc(0))
    assert len(ids_of(whole)) == 4
    assert "collapsed_count" not in whole.get_json()["results"][0]
    found = search(gallery, vector=on_arc(0), collapse="same_file")
    assert (ids_of(found), counts_of(found)) == ([first, other], [2, 0])
    assert "counts as one" in found.get_json()["reason"].replace("count as one", "counts as one")


def test_a_file_that_was_uploaded_often_leaves_room_for_others(gallery: Gallery) -> None:
    often = [gallery.upload(seed=1, degrees=1)["id"] for _ in range(12)]
    near, far = (gallery.upload(degrees=degrees)["id"] for degrees in (20, 40))
    found = search(gallery, vector=on_arc(0), k=3, collapse="same_file")
    assert (ids_of(found), counts_of(found)) == ([often[0], near, far], [11, 0, 0])
    assert found.get_json()["reason"] is None


def test_copies_that_somebody_else_keeps_private_are_not_counted(guarded: Gallery) -> None:
    with guarded.runtime.transaction() as session:
        ana, ben = (
            {"Authorization": f"Bearer {keys.issue(session, users.create_user(session, name)).key}"}
            for name in ("ana", "ben")
        )
    public = guarded.upload(seed=1, degrees=3, headers=ana, is_public="true")["id"]
    guarded.upload(seed=1, degrees=3, headers=ana, is_public="false")
    own = guarded.upload(seed=1, degrees=3, headers=ben, is_public="false")["id"]
    asked = {"vector": on_arc(0), "collapse": "same_file"}
    for headers, shown, count in (({}, public, 0), (ana, public, 1), (ben, own, 1)):
        found = guarded.client.post("/api/v1/search", json=asked, headers=headers)
        assert (ids_of(found), counts_of(found)) == ([shown], [count])


def test_near_duplicates_count_as_one_with_the_best_of_them(gallery: Gallery) -> None:
    # A cosine of 0.95 is 18 degrees: 30 is near 15 and not near the shown 0.
    ids = {degrees: gallery.upload(degrees=degrees)["id"] for degrees in (0, 8, 15, 30, 45, 90)}
    gallery.upload(seed=700, degrees=5)
    gallery.upload(seed=700, degrees=5)
    found = search(gallery, vector=on_arc(0), collapse="near_duplicate")
    assert ids_of(found) == [ids[0], ids[30], ids[90]]
    assert counts_of(found) == [3, 1, 0]


def test_the_same_picture_in_other_bytes_counts_as_one(guarded: Gallery) -> None:
    with guarded.runtime.transaction() as session:
        ana, ben = (
            {"Authorization": f"Bearer {keys.issue(session, users.create_user(session, name)).key}"}
            for name in ("ana", "ben")
        )
    seen = {"headers": ana, "is_public": "true"}
    a, b, c, d = (guarded.upload(degrees=n, **seen)["id"] for n in (0, 30, 60, 90))
    alike(guarded, a, b, c)
    asked = {"vector": on_arc(0), "collapse": "near"}

    def found(headers: dict[str, str], **more: Any) -> tuple[list[int], list[int]]:
        reply = guarded.client.post("/api/v1/search", json=asked | more, headers=headers)
        return ids_of(reply), counts_of(reply)

    assert found(ana) == found({}) == ([a, d], [2, 0])
    assert found(ana, collapse="same_subject") == ([a, d], [2, 0])
    assert found(ana, collapse="same_file") == ([a, b, c, d], [0, 0, 0, 0])
    body = {"tier": "near", "others": "keep"}
    guarded.client.post(f"/api/v1/duplicates/{a}", json=body, headers=ana)
    assert found(ana) == ([a, b, c, d], [0, 0, 0, 0])
    assert found(ben) == ([a, d], [2, 0])
    # One that waits for its comparison is like nothing yet.
    with guarded.runtime.transaction() as session:
        session.execute(update(Image).where(Image.id == b).values(duplicates_edition=0))
    assert found(ben) == ([a, b, d], [1, 0, 0])
    # What one may not see stands for nothing.
    guarded.client.patch(f"/api/v1/images/{a}", json={"is_public": False}, headers=ana)
    assert found(ben) == ([b, c, d], [0, 0, 0])


@pytest.mark.parametrize("collapse", ["same_file", "same_subject"])
def test_no_page_shows_a_picture_that_an_earlier_one_showed(
    gallery: Gallery, collapse: str
) -> None:
    for degrees in (0, 30, 60, 90, 120):
        for _ in range(3):
            gallery.upload(seed=800 + degrees, degrees=degrees)
    page = search(gallery, vector=on_arc(0), collapse=collapse, k=2)
    shown, counts = ids_of(page), counts_of(page)
    while page.get_json()["next"]:
        page = gallery.get(page.get_json()["next"])
        shown += ids_of(page)
        counts += counts_of(page)
    assert len(shown) == 5
    assert counts == [2] * 5


def test_texts_of_many_pictures_are_collapsed_too(words: Words) -> None:
    cats = [words.hang("cat", caption="a cat") for _ in range(3)]
    body = {"text": "cat", "in": "all", "collapse": "same_file", "k": 20}
    reply = words.client.post("/api/v1/search", json=body)
    # Each is a picture of its own: nothing counts as one.
    assert set(cats) <= set(ids_of(reply))
    assert set(counts_of(reply)) == {0}


def test_diversity_puts_what_is_new_first_and_still_shows_k(gallery: Gallery) -> None:
    ids = {degrees: gallery.upload(degrees=degrees)["id"] for degrees in (0, 1, 2, 3, 50, 100)}
    plain = ids_of(search(gallery, vector=on_arc(0), k=4))
    assert plain == [ids[0], ids[1], ids[2], ids[3]]
    assert ids_of(search(gallery, vector=on_arc(0), k=4, diversify=1)) == plain
    diverse = ids_of(search(gallery, vector=on_arc(0), k=4, diversify=0.3))
    assert diverse[0] == ids[0]
    assert {ids[50], ids[100]} < set(diverse)
    assert len(diverse) == 4
    # A shorter list is the beginning of a longer one, and pages go on with it.
    page = search(gallery, vector=on_arc(0), k=3, diversify=0.3)
    assert ids_of(page) == diverse[:3]
    assert ids_of(gallery.get(page.get_json()["next"]))[:1] == diverse[3:]


def test_shares_of_the_parts_add_up_to_the_similarity(gallery: Gallery) -> None:
    for degrees in A_FEW_NEAR:
        gallery.upload(degrees=degrees)
    query = [
        {"vector": on_arc(20)},
        {"vector": on_arc(40), "weight": 0.5},
        {"vector": on_arc(0), "weight": -0.2},
    ]
    body = search(gallery, query=query, explain=True, k=10).get_json()
    took = 0
    for found in body["results"]:
        assert [part["part"] for part in found["parts"]] == [0, 1, 2]
        total = sum(part["share"] for part in found["parts"])
        assert total == pytest.approx(found["similarity"], abs=1e-5)
        took += found["parts"][2]["share"] < 0
        assert found["parts"][2]["share"] <= 0
        assert str(found["parts"][2]["share"]) != "-0.0"
    assert 0 < took < 10
    told = body["explained"]
    assert [(part["kind"], part["weight"]) for part in told["parts"]] == [
        ("vector", 1.0),
        ("vector", 0.5),
        ("vector", -0.2),
    ]
    (source,) = told["sources"]
    assert (source["source"], source["way"], source["permitted_count"]) == ("pictures", "exact", 30)
    assert source["background"]["count"] == 30
    assert source["background"]["spread"] > 0
    assert told["filter"] == {}
    assert "explained" not in search(gallery, query=query).get_json()


def test_figures_that_follow_from_everybody_s_pictures_are_told_to_administrators(
    guarded: Gallery, key_of: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A beam tells what share of the library somebody may see, and so how large it is."""
    ana, root = key_of("ana"), key_of("root", is_administrator=True)
    guarded.upload(headers=ana, degrees=0, is_public="true")
    index = guarded.runtime.index(guarded.space_id)
    index.refresh()
    search_exactly = index.search

    def told(headers: dict[str, str]) -> tuple[Any, ...]:
        body = {"vector": on_arc(0), "explain": True}
        reply = guarded.client.post("/api/v1/search", json=body, headers=headers).get_json()
        (source,) = reply["explained"]["sources"]
        return tuple(source[name] for name in ("way", "ef_search", "depth", "candidates"))

    assert told(ana) == told(root) == ("exact", None, None, 1)
    for plan in (
        SearchPlan(SearchWay.HNSW, ef_search=333, candidates=333),
        SearchPlan(SearchWay.QUANTISED, depth=500, candidates=500),
        SearchPlan(SearchWay.EXACT, candidates=501),
    ):

        def search(*given: Any, plan: SearchPlan = plan, **more: Any) -> list[SearchAnswer]:
            return [replace(each, plan=plan) for each in search_exactly(*given, **more)]

        monkeypatch.setattr(index, "search", search)
        assert told(root) == (plan.way, plan.ef_search, plan.depth, plan.candidates)
        assert told(ana) == (plan.way, None, None, None)


def test_a_fused_search_is_explained_source_by_source(words: Words) -> None:
    cat = words.hang("cat", caption="a cat")
    body = {"text": "cat -dog", "syntax": "signs", "in": "all", "explain": True}
    reply = words.client.post("/api/v1/search", json=body).get_json()
    assert [source["source"] for source in reply["explained"]["sources"]] == ["pictures"]
    best = reply["results"][0]
    assert best["image"]["id"] == cat
    assert [part["part"] for part in best["parts"]] == [0, 1]


@pytest.mark.parametrize(
    "fields",
    [
        {"collapse": "all"},
        {"collapse": True},
        {"diversify": -0.1},
        {"diversify": 1.5},
        {"diversify": "much"},
        {"explain": "maybe"},
    ],
    ids=str,
)
def test_wishes_that_make_no_sense_are_422(gallery: Gallery, fields: dict[str, Any]) -> None:
    response = search(gallery, vector=on_arc(0), **fields)
    assert set(assert_problem(response, 422, "invalid_input")["errors"]) == set(fields)


def test_a_diversity_that_is_no_number_is_422(gallery: Gallery) -> None:
    body = json.dumps({"vector": on_arc(0), "diversify": 7}).replace("7}", "NaN}")
    response = gallery.client.post("/api/v1/search", data=body, content_type="application/json")
    assert "diversify" in assert_problem(response, 422, "invalid_input")["errors"]

"""Lists of images: filters, orders, pages, counts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import update

from mirada.db.models import Content, Image, Installation
from mirada.pictures import image_lists
from testing.gallery import Gallery, as_upload, assert_problem
from testing.pictures import picture

KeyOf = Callable[..., dict[str, str]]
LIST = "/api/v1/images"


def upload(gallery: Gallery, seed: int, headers: Any = None, **fields: Any) -> int:
    size, frames = fields.pop("size", (64, 48)), fields.pop("frames", 1)
    name = fields.pop("filename", "picture.png")
    content = picture(seed, size=size, frames=frames)
    data = {"file": as_upload(content, name), **fields}
    reply = gallery.client.post(LIST, data=data, headers=headers or {})
    assert reply.status_code == 201, reply.get_json()
    return int(reply.get_json()["id"])


def listed(gallery: Gallery, query: str = "", headers: Any = None) -> list[int]:
    body = gallery.get(f"{LIST}?{query}", headers=headers).get_json()
    return [image["id"] for image in body["results"]]


def pages(gallery: Gallery, query: str) -> Iterator[dict[str, Any]]:
    address: str | None = f"{LIST}?{query}"
    while address:
        body = gallery.get(address).get_json()
        yield body
        address = body["next"]


def like(gallery: Gallery, image_id: int, headers: Any = None) -> None:
    assert gallery.client.put(f"{LIST}/{image_id}/like", headers=headers or {}).status_code < 300


def test_each_condition_lets_its_images_through_and_all_have_to_be_met(gallery: Gallery) -> None:
    wide = upload(gallery, 1, size=(64, 32), filename="Wide Cat.png", prompt="film still")
    square = upload(gallery, 2, size=(40, 40), is_public="true", filename="dog.png")
    moving = upload(gallery, 3, size=(32, 64), frames=2)
    like(gallery, square)
    gallery.place(square, 0)
    for query, expected in (
        ("", [moving, square, wide]),
        ("visibility=public", [square]),
        ("visibility=private", [moving, wide]),
        ("kind=still", [square, wide]),
        ("kind=animated", [moving]),
        ("shape=square", [square]),
        ("shape=landscape&shape=portrait", [moving, wide]),
        ("status=READY", [square]),
        ("status=PENDING&status=FAILED", [moving, wide]),
        ("has_prompt=true", [wide]),
        ("has_prompt=false", [moving, square]),
        ("liked=true", [square]),
        ("liked=false", [moving, wide]),
        ("filename=CAT", [wide]),
        ("filename=.png&shape=square", [square]),
        ("owner=1", [moving, square, wide]),
        ("owner=1&owner=2&kind=animated", [moving]),
        ("owner=2", []),
        ("created_after=2020-01-01", [moving, square, wide]),
        ("created_before=2020-01-01T00:00:00Z", []),
        ("theme=cats", []),
        ("label=cat", []),
        ("group=1", []),
        ("nsfw=true", []),
    ):
        assert listed(gallery, query) == expected, query


def test_themes_labels_and_scores_are_filters_too(gallery: Gallery) -> None:
    first, second = upload(gallery, 1), upload(gallery, 2)
    for image_id, score in ((first, 0.9), (second, 0.1)):
        gallery.place(image_id, 10 * image_id)
        with gallery.runtime.transaction() as session:
            content_id = session.get_one(Image, image_id).content_id
            session.execute(
                update(Content)
                .where(Content.id == content_id)
                .values(
                    nsfw_score=score,
                    judged_at=datetime(2100, 1, 1, tzinfo=UTC),
                    judged_space_id=session.get_one(Installation, 1).image_space_id,
                )
            )
            sha256 = session.get_one(Content, content_id).sha256
        verdict = {"image_hash": sha256, "theme": "Cute  Cats", "accepted": image_id == first}
        assert gallery.client.post("/api/v1/feedback", json=verdict).status_code == 201
    assert listed(gallery, "theme=cute%20cats") == [first]
    assert listed(gallery, "nsfw=true") == [first]
    assert listed(gallery, "nsfw=false") == [second]


@pytest.mark.parametrize(
    ("stored", "part"),
    [
        ("\U0001f469\u200d\U0001f680.png", "\U0001f469\u200d\U0001f680"),
        ("a\u00a0b.png", "a\u00a0"),
        ("cafe\u0301.png", "caf\u00e9"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.png", "\u06cc\u200c\u062e"),
    ],
)
def test_every_part_of_a_stored_name_finds_it(gallery: Gallery, stored: str, part: str) -> None:
    """Names may hold joiners and unusual spaces, which emoji and some scripts need."""
    named = upload(gallery, 1, filename=stored)
    upload(gallery, 2)
    assert listed(gallery, "filename=" + quote(part)) == [named]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("tone=red", "tone"),
        ("colour=mauve", "colour"),
        ("visibility=secret", "visibility"),
        ("status=DONE", "status"),
        ("kind=", "kind"),
        ("shape=round", "shape"),
        ("has_prompt=perhaps", "has_prompt"),
        ("liked=2", "liked"),
        ("owner=ana", "owner"),
        ("owner=0", "owner"),
        ("group=-1", "group"),
        ("group=99999999999999999999", "group"),
        ("created_after=yesterday", "created_after"),
        ("created_before=2026-13-01", "created_before"),
        ("created_after=0001-01-01T00:00:00%2B14:00", "created_after"),
        ("theme=", "theme"),
        ("label=%00", "label"),
        ("filename=", "filename"),
        ("filename=%00", "filename"),
        ("filename=a%E2%80%AEb", "filename"),
        ("filename=%20", "filename"),
        ("filename=" + "x" * 256, "filename"),
        ("sort=best", "sort"),
        ("facets=colour", "facets"),
        ("facets=filename", "facets"),
    ],
)
def test_names_and_values_that_mean_nothing_are_named(
    gallery: Gallery, query: str, field: str
) -> None:
    body = assert_problem(gallery.get(f"{LIST}?{query}"), 422, "invalid_input")
    assert list(body["errors"]) == [field]


def test_nothing_is_judged_where_the_policy_is_off(make_runtime: Any) -> None:
    from testing.application import create_app

    runtime = make_runtime(nsfw_policy="off")
    gallery = Gallery(runtime, create_app(runtime).test_client())
    body = assert_problem(gallery.get(f"{LIST}?nsfw=false"), 422, "invalid_input")
    assert "NSFW_POLICY" in body["errors"]["nsfw"][0]


def test_an_empty_list_says_when_a_condition_is_to_blame(gallery: Gallery) -> None:
    assert gallery.get(LIST).get_json()["reason"] is None
    upload(gallery, 1)
    body = gallery.get(f"{LIST}?kind=animated").get_json()
    assert (body["results"], body["count"]) == ([], 0)
    assert body["reason"] == image_lists.NOTHING_PASSES
    assert gallery.get(f"{LIST}?kind=still").get_json()["reason"] is None


@pytest.mark.parametrize("sort", ["newest", "oldest", "likes", "largest"])
def test_every_order_is_paged_without_overlap_or_loss_under_ties(
    gallery: Gallery, sort: str
) -> None:
    sizes = [(64, 48), (48, 64), (20, 20), (64, 48), (20, 20), (80, 80)]
    ids = [upload(gallery, seed, size=size) for seed, size in enumerate(sizes)]
    for image_id in (ids[1], ids[3], ids[4]):
        like(gallery, image_id)
    with gallery.runtime.transaction() as session:
        session.execute(update(Image).where(Image.id == ids[4]).values(like_count=7))
    expected = {
        "newest": ids[::-1],
        "oldest": ids,
        "likes": [ids[4], ids[3], ids[1], ids[5], ids[2], ids[0]],
        "largest": [ids[5], ids[3], ids[1], ids[0], ids[4], ids[2]],
    }
    found = [
        image["id"]
        for page in pages(gallery, f"sort={sort}&limit=2&has_prompt=false&liked=false&liked=false")
        for image in page["results"]
    ]
    assert found == [id_ for id_ in expected[sort] if id_ not in (ids[1], ids[3], ids[4])]
    whole = [
        image["id"] for page in pages(gallery, f"sort={sort}&limit=1") for image in page["results"]
    ]
    assert whole == expected[sort]


@pytest.mark.parametrize("sort", ["likes", "largest", "oldest", "newest"])
def test_what_stays_in_its_place_is_seen_once_while_others_come_and_go(
    gallery: Gallery, sort: str
) -> None:
    ids = [upload(gallery, seed, size=(20 + seed % 3, 20)) for seed in range(12)]
    for image_id in ids[::2]:
        like(gallery, image_id)
    stay, go, seeds = set(ids[:9]), ids[9:], itertools.count(100)
    seen: list[int] = []
    for page in pages(gallery, f"sort={sort}&limit=2"):
        seen += [image["id"] for image in page["results"]]
        upload(gallery, next(seeds))
        if go:
            gallery.client.delete(f"{LIST}/{go.pop()}")
        if sort == "oldest" and len(seen) > 20:
            break
    assert len(seen) == len(set(seen))
    assert stay <= set(seen)


@pytest.mark.parametrize(
    ("sort", "cursor"),
    [("likes", "YWZ0ZXI6NQ"), ("largest", "YWZ0ZXI6NQ"), ("newest", "YWZ0ZXI6" + "MTEx" * 7)],
)
def test_a_cursor_of_another_order_is_refused(gallery: Gallery, sort: str, cursor: str) -> None:
    reply = gallery.get(f"{LIST}?sort={sort}&cursor={cursor}")
    assert list(assert_problem(reply, 422, "invalid_input")["errors"]) == ["cursor"]


def test_the_next_page_has_the_same_conditions(gallery: Gallery) -> None:
    ids = [upload(gallery, seed) for seed in range(3)]
    like(gallery, ids[2])
    first, second = pages(gallery, "limit=1&liked=false&created_after=2020-01-01&shape=landscape")
    assert [page["results"][0]["id"] for page in (first, second)] == [ids[1], ids[0]]
    assert "liked=false" in first["next"]


def test_facets_count_under_the_other_conditions_and_only_on_the_first_page(
    gallery: Gallery,
) -> None:
    upload(gallery, 1, size=(64, 32), is_public="true")
    upload(gallery, 2, size=(40, 40))
    upload(gallery, 3, size=(40, 41), frames=2)
    names = "shape,kind,visibility,has_prompt,liked,owner,status,month,label,theme"
    body = gallery.get(f"{LIST}?facets={names}&kind=still&limit=1").get_json()
    assert body["total"] == {"value": 2, "is_exact": True}
    counts = {
        name: {each["value"]: each["count"] for each in values}
        for name, values in body["facets"].items()
    }
    assert counts == {
        "shape": {"landscape": 1, "square": 1},
        # What was asked of the kind itself does not narrow its own facet.
        "kind": {"still": 2, "animated": 1},
        "visibility": {"public": 1, "private": 1},
        "has_prompt": {"false": 2},
        "liked": {"false": 2},
        "owner": {"1": 2},
        "status": {"PENDING": 2},
        "month": {f"{datetime.now(UTC):%Y-%m}": 2},
        "label": {},
        "theme": {},
    }
    later = gallery.get(body["next"]).get_json()
    assert (later["total"], later["facets"]) == (None, {})


def test_a_value_of_a_facet_is_what_its_parameter_takes(gallery: Gallery) -> None:
    upload(gallery, 1, size=(64, 32), is_public="true")
    upload(gallery, 2, size=(40, 40), prompt="film still")
    names = ["shape", "kind", "visibility", "has_prompt", "liked", "owner", "status"]
    facets = gallery.get(f"{LIST}?facets={','.join(names)}").get_json()["facets"]
    assert set(facets) == set(names)
    for name, values in facets.items():
        for each in values:
            assert len(listed(gallery, f"{name}={each['value']}")) == each["count"] > 0


def test_of_very_many_images_the_total_says_that_it_is_not_exact(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        upload(gallery, seed)
    monkeypatch.setattr(image_lists, "COUNTED_IMAGES", 2)
    assert gallery.get(LIST).get_json()["total"] == {"value": 2, "is_exact": False}
    monkeypatch.setattr(image_lists, "COUNTED_IMAGES", 3)
    assert gallery.get(LIST).get_json()["total"] == {"value": 3, "is_exact": True}


def test_times_without_a_zone_are_utc_and_dates_begin_the_day(gallery: Gallery) -> None:
    image_id = upload(gallery, 1)
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with gallery.runtime.transaction() as session:
        session.execute(update(Image).where(Image.id == image_id).values(created_at=noon))
    for after, is_found in (
        ("2026-03-01", True),
        ("2026-03-02", False),
        ("2026-03-01T12:00:00", True),
        ("2026-03-01T12:00:01", False),
        ("2026-03-01T13:00:00%2B01:00", True),
        ("2026-03-01T12:30:00%2B00:00", False),
    ):
        assert bool(listed(gallery, f"created_after={after}")) is is_found, after
    before = (noon + timedelta(seconds=1)).isoformat().replace("+", "%2B")
    assert listed(gallery, f"created_before={before}") == [image_id]


def test_callers_without_a_key_like_nothing_and_find_no_file_names(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana = key_of("ana")
    shown = upload(guarded, 1, ana, is_public="true", filename="cat.png")
    like(guarded, shown, ana)
    assert listed(guarded, "liked=true", ana) == listed(guarded, "filename=cat", ana) == [shown]
    assert listed(guarded, "liked=false") == [shown]
    for query in ("liked=true", "filename=cat", "label=cat", "mine=true", "visibility=private"):
        assert listed(guarded, query) == [], query

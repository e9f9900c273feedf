"""Filters in searches, similar and related images, and groups: the same ones, with the same answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import update

from mirada.db.models import Image, User
from testing.application import create_app
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import Gallery, as_upload, assert_problem, on_arc
from testing.pictures import picture
from tests.conftest import MakeRuntime

SEARCH = "/api/v1/search"


def upload(gallery: Gallery, seed: int, degrees: float, **fields: Any) -> int:
    size, frames = fields.pop("size", (64, 48)), fields.pop("frames", 1)
    data = {"file": as_upload(picture(seed, size=size, frames=frames)), **fields}
    image_id = int(gallery.client.post("/api/v1/images", data=data).get_json()["id"])
    gallery.place(image_id, degrees)
    return image_id


def ids_of(reply: Any) -> list[int]:
    assert reply.status_code == 200, reply.get_json()
    return [found["image"]["id"] for found in reply.get_json()["results"]]


@pytest.fixture
def ids(gallery: Gallery) -> list[int]:
    """A wide one, a square public one, a moving one, and one of a prompt, each further away."""
    return [
        upload(gallery, 1, 0, size=(64, 32)),
        upload(gallery, 2, 10, size=(40, 40), is_public="true"),
        upload(gallery, 3, 20, frames=2),
        upload(gallery, 4, 30, prompt="film still"),
    ]


CASES: list[tuple[dict[str, Any], str, list[int]]] = [
    ({"shape": ["square"]}, "shape=square", [1]),
    ({"shape": ["square", "landscape"]}, "shape=square&shape=landscape", [0, 1, 2, 3]),
    ({"kind": "animated"}, "kind=animated", [2]),
    ({"visibility": "private", "kind": "still"}, "visibility=private&kind=still", [0, 3]),
    ({"has_prompt": True}, "has_prompt=true", [3]),
    ({"liked": False, "has_prompt": False}, "liked=false&has_prompt=false", [0, 1, 2]),
    ({"owner": [1]}, "owner=1", [0, 1, 2, 3]),
    ({"created_before": "2020-01-01"}, "created_before=2020-01-01", []),
]


@pytest.mark.parametrize(("asked", "address", "expected"), CASES)
def test_a_filter_means_the_same_wherever_it_is_sent(
    gallery: Gallery, ids: list[int], asked: dict[str, Any], address: str, expected: list[int]
) -> None:
    wanted = [ids[place] for place in expected]
    body = {"vector": on_arc(0), "filter": asked}
    reply = gallery.client.post(SEARCH, json=body)
    assert ids_of(reply) == wanted
    assert reply.get_json()["permitted_count"] == len(wanted)
    form = {"image_id": str(ids[0]), "filter": json.dumps(asked)}
    for reply in (
        gallery.client.post(SEARCH, json={"image_id": ids[0], "filter": asked}),
        gallery.client.post(SEARCH, data=form, content_type="multipart/form-data"),
        gallery.get(f"/api/v1/images/{ids[0]}/similar?{address}"),
        gallery.get(f"/api/v1/images/{ids[0]}/related?{address}"),
    ):
        assert ids_of(reply) == [each for each in wanted if each != ids[0]]
    listed = gallery.get(f"/api/v1/images?sort=oldest&{address}").get_json()["results"]
    assert [image["id"] for image in listed] == wanted


def test_mine_is_asked_for_wherever_images_are_found(gallery: Gallery, ids: list[int]) -> None:
    with gallery.runtime.transaction() as session:
        session.add(User(id=77, username="other"))
        session.flush()
        image = session.get_one(Image, ids[1])
        image.owner_id, image.is_public = 77, True
    gallery.runtime.index(gallery.space_id).refresh()
    for path in ("/similar", "/related"):
        address = f"/api/v1/images/{ids[0]}{path}"
        assert ids[1] in ids_of(gallery.get(address))
        found = gallery.get(f"{address}?mine=true&limit=1")
        assert ids[1] not in ids_of(found)
        assert ids[1] not in ids_of(gallery.get(found.get_json()["next"]))


def test_nothing_passes_is_an_empty_list_and_says_so(gallery: Gallery, ids: list[int]) -> None:
    asked = {"kind": "animated", "shape": ["square"]}
    body = gallery.client.post(SEARCH, json={"vector": on_arc(0), "filter": asked}).get_json()
    assert (body["results"], body["permitted_count"], body["way"]) == ([], 0, "empty")
    assert "meets every condition of the filter" in body["reason"]
    related = gallery.get(f"/api/v1/images/{ids[0]}/related?kind=animated&shape=square").get_json()
    assert "meet every condition of the filter" in related["reason"]
    everything = gallery.client.post(SEARCH, json={"vector": on_arc(0), "filter": {}}).get_json()
    assert len(everything["results"]) == 4
    assert "filter" not in everything["reason"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"shape": "square"}, "shape"),
        ({"shape": []}, "shape"),
        ({"shape": ["round"]}, "shape"),
        ({"owner": ["1"]}, "owner"),
        ({"owner": [1.5]}, "owner"),
        ({"owner": list(range(1, 102))}, "owner"),
        ({"group": True}, "group"),
        ({"has_prompt": "perhaps"}, "has_prompt"),
        ({"created_after": 5}, "created_after"),
        ({"label": ["\x00"]}, "label"),
        ({"filename": "\ud800"}, "filename"),
        ({"theme": 7}, "theme"),
        ({"kind": None}, "kind"),
    ],
)
def test_what_a_filter_cannot_hold_is_named(
    gallery: Gallery, wrong: dict[str, Any], field: str
) -> None:
    reply = gallery.client.post(SEARCH, json={"vector": on_arc(0), "filter": wrong})
    assert list(assert_problem(reply, 422, "invalid_input")["errors"]["filter"]) == [field]
    form = {"file": as_upload(picture(1)), "filter": json.dumps(wrong)}
    reply = gallery.client.post(SEARCH, data=form, content_type="multipart/form-data")
    assert list(assert_problem(reply, 422, "invalid_input")["errors"]["filter"]) == [field]


@pytest.mark.parametrize("wrong", ["", "kind=still", "[]", "7", "null", '{"kind": "still"', "NaN"])
def test_a_filter_in_a_form_is_a_json_object(gallery: Gallery, wrong: str) -> None:
    form = {"file": as_upload(picture(1)), "filter": wrong}
    reply = gallery.client.post(SEARCH, data=form, content_type="multipart/form-data")
    assert list(assert_problem(reply, 422, "invalid_input")["errors"]) == ["filter"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("square", "Must be an object, such as"),
        ({"shape": "square"}, 'Must be a list, such as ["square"].'),
        ({"owner": 1}, "Must be a list, such as [1]."),
        ({"label": "cat"}, 'Must be a list, such as ["cat"].'),
        ({"mine": True}, "`mine` stands beside the filter."),
    ],
)
def test_what_is_wrong_with_a_filter_is_said_with_the_right_form(
    gallery: Gallery, wrong: Any, said: str
) -> None:
    reply = gallery.client.post(SEARCH, json={"vector": on_arc(0), "filter": wrong})
    assert said in json.dumps(assert_problem(reply, 422, "invalid_input")["errors"]).replace(
        '\\"', '"'
    )


@pytest.mark.parametrize("wrong", [[], "kind", 7])
def test_a_filter_in_json_is_an_object(gallery: Gallery, wrong: Any) -> None:
    reply = gallery.client.post(SEARCH, json={"vector": on_arc(0), "filter": wrong})
    assert list(assert_problem(reply, 422, "invalid_input")["errors"]) == ["filter"]


def test_a_like_changes_the_next_filtered_search(gallery: Gallery, ids: list[int]) -> None:
    def liked() -> list[int]:
        body = {"vector": on_arc(0), "filter": {"liked": True}}
        return ids_of(gallery.client.post(SEARCH, json=body))

    assert liked() == []
    for image_id in (ids[2], ids[1]):
        gallery.client.put(f"/api/v1/images/{image_id}/like")
    assert liked() == [ids[1], ids[2]]
    gallery.client.delete(f"/api/v1/images/{ids[1]}/like")
    assert liked() == [ids[2]]


def test_one_content_is_found_by_the_image_that_passes_alone(gallery: Gallery) -> None:
    """Two images of the same bytes, one of them public: only that one is a result and counted."""
    private = upload(gallery, 7, 0)
    public = upload(gallery, 7, 0, is_public="true")
    body = {"vector": on_arc(0), "filter": {"visibility": "public"}}
    reply = gallery.client.post(SEARCH, json=body)
    assert ids_of(reply) == [public]
    assert reply.get_json()["permitted_count"] == 1
    # No image is both: a content is not put together from two of its images.
    with gallery.runtime.transaction() as session:
        session.execute(update(Image).where(Image.id == private).values(prompt="film still"))
    body = {"vector": on_arc(0), "filter": {"visibility": "public", "has_prompt": True}}
    assert ids_of(gallery.client.post(SEARCH, json=body)) == []


def test_words_and_fused_searches_take_the_filter_too(make_runtime: MakeRuntime) -> None:
    runtime = with_encoder(make_runtime(), CountingEncoder())
    client = create_app(runtime).test_client()
    ids = []
    for seed, size in ((1, (64, 32)), (2, (40, 40))):
        data = {"file": as_upload(picture(seed, size=size)), "caption": f"a lighthouse {seed}"}
        ids.append(int(client.post("/api/v1/images", data=data).get_json()["id"]))
    for source in ("keywords", "all"):
        for shape, expected in (("square", [ids[1]]), ("landscape", [ids[0]]), ("portrait", [])):
            body = {"text": "lighthouse", "in": source, "filter": {"shape": [shape]}}
            reply = client.post(SEARCH, json=body)
            assert ids_of(reply) == expected, (source, shape)


@pytest.mark.parametrize("where", ["search", "similar", "related"])
def test_further_pages_are_of_the_same_filter_and_show_what_passes_now(
    gallery: Gallery, where: str
) -> None:
    ids = [upload(gallery, seed, 3 * seed, size=(64, 32 + seed % 2 * 32)) for seed in range(1, 9)]
    liked, first = ids[1:], ids[0]
    for image_id in liked:
        gallery.client.put(f"/api/v1/images/{image_id}/like")
    if where == "search":
        asked = {"liked": True, "shape": ["landscape", "square"]}
        body = {"vector": on_arc(0), "filter": asked, "k": 2}
        reply = gallery.client.post(SEARCH, json=body)
    else:
        query = "liked=true&shape=landscape&shape=square&limit=2"
        reply = gallery.get(f"/api/v1/images/{first}/{where}?{query}")
    found = ids_of(reply)
    # One that is on none of the pages yet stops passing.
    gallery.client.delete(f"/api/v1/images/{liked[-1]}/like")
    while (address := reply.get_json()["next"]) is not None:
        reply = gallery.get(address)
        found += ids_of(reply)
    assert found == liked[:-1]

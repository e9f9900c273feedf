"""Images that came from another system are known to its clients by the ids and names of before."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from mirada.db.models import Image, User
from mirada.kernel.external_ids import CAPTIONED_POSTS, CREATIVE_MEMORY, IMAGE_SEARCH
from mirada.pictures import external_ids
from testing.gallery import assert_problem
from testing.pictures import picture
from tests.compat.conftest import upload


def call(server: Any, image_id: int, source: str, external_id: str, name: str | None) -> None:
    """Write of an image what an import writes."""
    with server.runtime.transaction() as session:
        session.execute(
            update(Image)
            .where(Image.id == image_id)
            .values(external_source=source, external_id=external_id, external_name=name)
        )


@pytest.mark.parametrize("external_id", ["203", "018f-c0ffee", "2", "ÄÖ 7"])
def test_related_images_are_asked_for_and_named_by_old_ids(server: Any, external_id: str) -> None:
    images = [server.upload(picture(seed), is_public="true") for seed in (1, 2, 3)]
    call(server, images[0]["id"], CREATIVE_MEMORY, external_id, None)
    with server.runtime.transaction() as session:
        session.execute(update(User).values(external_id="person-9"))
    shown = int(external_id) if external_id.isdecimal() else external_id
    related = server.client.get(f"/api/images/{external_id}/related/?limit=20").get_json()
    # An old id counts before one of ours: "2" is the imported image, whose own id is 1.
    assert [each["image"]["image_url"] for each in related["results"]].count(
        images[0]["file_url"]
    ) == 0
    assert related["count"] == 2
    back = server.client.get(f"/api/images/{images[2]['id']}/related/").get_json()["results"]
    owners = {each["image"]["image_url"]: each["image"]["user"]["id"] for each in back}
    assert shown in [each["image"]["id"] for each in back]
    # Of what was not imported nobody learns what another system calls its owner.
    assert owners == {
        images[0]["file_url"]: "person-9",
        images[1]["file_url"]: images[1]["owner"]["id"],
    }
    # By its own id it is not known where the old one is.
    assert_problem(server.client.get("/api/images/1/related"), 404, "not_found")
    assert server.client.get("/api/v1/images/1").get_json()["external_id"] == external_id


@pytest.mark.parametrize("asked", ["204", "203 ", "x" * 192, "0203", "2.0"])
def test_an_id_that_nobody_had_is_absent(server: Any, asked: str) -> None:
    image = server.upload(picture(1))
    call(server, image["id"], CREATIVE_MEMORY, "203", None)
    assert server.client.get(f"/api/images/{asked}/related").status_code == 404


def test_a_search_by_picture_tells_old_ids_and_names(server: Any) -> None:
    image = server.upload(picture(1))
    other = server.upload(picture(2))
    call(server, image["id"], IMAGE_SEARCH, "77", f"{other['id']}.png")
    best = server.post_picture("/search-similar-images/", picture(1)).get_json()["results"][0]
    assert (best["id"], best["path"]) == (77, f"/static/{other['id']}.png")
    with server.client.get(best["path"], buffered=True) as response:
        assert response.get_data() == picture(1)
    # What has a name of before is not served under the one that it would have here.
    assert_problem(server.client.get(f"/static/{image['id']}.png"), 404, "not_found")


def test_of_two_sources_with_one_id_the_route_s_own_counts(server: Any) -> None:
    first, second, third = (server.upload(picture(seed)) for seed in (1, 2, 3))
    call(server, first["id"], IMAGE_SEARCH, "5", None)
    call(server, second["id"], f"{CREATIVE_MEMORY}:shop", "5", None)
    related = server.client.get("/api/images/5/related").get_json()["results"]
    addresses = {each["image"]["id"]: each["image"]["image_url"] for each in related}
    assert addresses == {
        5: f"/api/v1/images/{first['id']}/file",
        third["id"]: f"/api/v1/images/{third['id']}/file",
    }


@pytest.mark.parametrize("external_id", ["3", "0190d2c4-7e1b"])
def test_captioned_posts_are_asked_for_and_named_by_old_ids(server: Any, external_id: str) -> None:
    first, second, third = (server.upload(picture(seed)) for seed in (1, 2, 3))
    call(server, first["id"], CAPTIONED_POSTS, external_id, None)
    call(server, second["id"], IMAGE_SEARCH, "9", None)
    posts = server.client.post(f"/api/v1/images/{external_id}/similar?limit=5").get_json()
    # Images of other systems keep the ids that they have in the API.
    assert {post["id"] for post in posts} == {second["id"], third["id"]}
    posts = server.client.post(f"/api/v1/images/{second['id']}/similar/").get_json()
    shown = int(external_id) if external_id.isdecimal() else external_id
    assert shown in {post["id"] for post in posts}
    posts = server.client.post("/api/v1/images/search?query=a%20picture").get_json()
    assert shown in {post["id"] for post in posts}
    assert_problem(server.client.post("/api/v1/images/none-of-them/similar"), 404, "not_found")
    # The API's own routes take the API's own ids alone.
    assert server.client.get(f"/api/v1/images/{first['id']}/similar").status_code == 200
    assert server.client.get("/api/v1/images/0190d2c4-7e1b/similar").status_code == 404


def test_lists_are_filtered_by_old_ids(server: Any) -> None:
    image = server.upload(picture(1))
    server.upload(picture(2))
    call(server, image["id"], IMAGE_SEARCH, "a-1", None)
    found = server.client.get("/api/v1/images?external_id=a-1").get_json()["results"]
    assert [each["id"] for each in found] == [image["id"]]
    assert_problem(server.client.get("/api/v1/images?external_id=a%2Fb"), 422, "invalid_input")


def test_new_images_keep_clear_of_old_numbers(guarded: Any, people: Any) -> None:
    before = upload(guarded, people["ana"], 1)
    with guarded.runtime.transaction() as session:
        external_ids.keep_clear(session, 5_000)
    after = upload(guarded, people["ana"], 2)
    with guarded.runtime.transaction() as session:
        external_ids.keep_clear(session, 10)
    last = upload(guarded, people["ana"], 3)
    assert before["id"] < 5_000 < after["id"] < last["id"]

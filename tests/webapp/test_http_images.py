"""The images resource, from upload to deletion."""

from __future__ import annotations

import io

import pytest
from PIL import Image as Pillow

from testing.gallery import Gallery, as_upload, assert_problem, files_in
from testing.pictures import picture


def test_an_upload_answers_201_with_the_image_and_where_it_is(gallery: Gallery) -> None:
    response = gallery.client.post(
        "/api/v1/images",
        data={
            "file": as_upload(picture(1, "JPEG"), "cat.jpg", "image/jpeg"),
            "caption": "A cat",
            "prompt": "film still, a cat",
            "is_public": "true",
        },
    )
    body = response.get_json()
    assert response.status_code == 201
    assert response.headers["Location"] == body["url"] == f"/api/v1/images/{body['id']}"
    assert response.headers["X-Change-Seq"].isdecimal()
    assert response.headers["ETag"] == f'"{body["id"]}-1-pending-0-0-0"'
    expected = {
        "owner": {"id": 1, "username": body["owner"]["username"]},
        "filename": "cat.jpg",
        "caption": "A cat",
        "prompt": "film still, a cat",
        "is_public": True,
        "status": "PENDING",
        "failure": None,
        "version": 1,
        "media_type": "image/jpeg",
        "width": 64,
        "height": 48,
        "is_animated": False,
    }
    assert {name: body[name] for name in expected} == expected


def test_an_upload_lies_in_the_store_and_nothing_in_the_staging_area(gallery: Gallery) -> None:
    gallery.upload()
    (only,) = files_in(gallery.runtime.settings.image_dir)
    assert only.endswith(".png")


def test_the_same_bytes_twice_are_two_images_and_one_file(gallery: Gallery) -> None:
    first, second = gallery.upload(seed=5), gallery.upload(seed=5)
    assert first["id"] != second["id"]
    assert len(files_in(gallery.runtime.settings.image_dir)) == 1


def test_an_idempotency_key_uploads_once(gallery: Gallery) -> None:
    headers = {"Idempotency-Key": "a1"}
    first = gallery.upload(seed=5, headers=headers)
    response = gallery.client.post(
        "/api/v1/images", data={"file": as_upload(picture(5))}, headers=headers
    )
    assert response.status_code == 201
    assert response.get_json()["id"] == first["id"]
    assert response.headers["Idempotent-Replayed"] == "true"


def test_an_idempotency_key_of_another_request_is_refused(gallery: Gallery) -> None:
    headers = {"Idempotency-Key": "a1"}
    gallery.upload(seed=5, headers=headers)
    response = gallery.client.post(
        "/api/v1/images", data={"file": as_upload(picture(6))}, headers=headers
    )
    assert_problem(response, 422, "invalid_input")


def test_a_list_goes_page_by_page_without_loss(gallery: Gallery) -> None:
    ids = [gallery.upload()["id"] for _ in range(5)]
    seen: list[int] = []
    address: str | None = "/api/v1/images?limit=2"
    while address:
        response = gallery.get(address)
        page = response.get_json()
        assert page["count"] == len(page["results"]) <= 2
        assert 'rel="first"' in response.headers["Link"]
        assert ('rel="next"' in response.headers["Link"]) == (page["next"] is not None)
        seen += [image["id"] for image in page["results"]]
        address = page["next"]
    assert seen == sorted(ids, reverse=True)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=101", "limit=x", "cursor=nonsense", "cursor=%00"]
)
def test_a_list_refuses_what_no_page_gave_out(gallery: Gallery, query: str) -> None:
    assert_problem(gallery.get(f"/api/v1/images?{query}"), 422, "invalid_input")


def test_an_image_read_again_is_304_with_its_tag(gallery: Gallery) -> None:
    image = gallery.upload()
    first = gallery.get(image["url"])
    again = gallery.get(image["url"], headers={"If-None-Match": first.headers["ETag"]})
    assert first.status_code == 200
    assert first.headers["X-Change-Seq"].isdecimal()
    assert (again.status_code, again.get_data()) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]


def test_becoming_ready_changes_the_tag_but_not_the_version_one_may_change(
    gallery: Gallery,
) -> None:
    image = gallery.upload()
    tag = gallery.get(image["url"]).headers["ETag"]
    gallery.place(image["id"], 0)
    response = gallery.get(image["url"], headers={"If-None-Match": tag})
    assert response.status_code == 200
    assert response.get_json()["status"] == "READY"
    changed = gallery.client.patch(
        image["url"], json={"caption": "Mine"}, headers={"If-Match": tag}
    )
    assert changed.status_code == 200


@pytest.mark.parametrize("image_id", [0, 99, 2**63 - 1, 2**63, 10**30])
@pytest.mark.parametrize("tail", ["", "/file", "/thumbnail", "/similar"])
def test_an_unknown_id_is_404(gallery: Gallery, image_id: int, tail: str) -> None:
    assert_problem(gallery.get(f"/api/v1/images/{image_id}{tail}"), 404, "not_found")


@pytest.mark.parametrize("spelling", ["\u0661", "01", "+1", "1_0", "1.0", "\uff11", "%201", "1%00"])
def test_an_id_has_one_spelling(gallery: Gallery, spelling: str) -> None:
    assert gallery.upload()["id"] == 1
    for tail in ("", "/file", "/similar", "/comments"):
        assert_problem(gallery.get(f"/api/v1/images/{spelling}{tail}"), 404, "not_found")
    assert_problem(gallery.get(f"/static/{spelling}.png"), 404, "not_found")


def test_a_change_gives_a_new_version_and_a_change_number(gallery: Gallery) -> None:
    image = gallery.upload(degrees=0)
    response = gallery.client.patch(image["url"], json={"is_public": True, "caption": None})
    body = response.get_json()
    assert response.status_code == 200
    assert (body["is_public"], body["version"]) == (True, 2)
    assert response.headers["ETag"] == f'"{image["id"]}-2-ready-0-0-0"'
    assert int(response.headers["X-Change-Seq"]) > 0


@pytest.mark.parametrize(
    "change",
    [{}, {"owner_id": 2}, {"caption": 7}, {"is_public": "perhaps"}, {"caption": "x" * 10_001}],
)
def test_a_change_that_makes_no_sense_is_refused(
    gallery: Gallery, change: dict[str, object]
) -> None:
    image = gallery.upload()
    assert_problem(gallery.client.patch(image["url"], json=change), 422, "invalid_input")
    assert gallery.get(image["url"]).get_json()["version"] == 1


@pytest.mark.parametrize("method", ["patch", "delete"])
@pytest.mark.parametrize(
    "tag",
    [
        '"1-7-ready"',
        '"1-7-ready-0-0-0"',
        '"1-1-pending-0"',
        '"99-1-ready"',
        '"nonsense"',
        'W/"1-1-pending"',
        '""',
        '"a", W/"',
        ", ,",
    ],
)
def test_if_match_of_another_version_is_412(gallery: Gallery, method: str, tag: str) -> None:
    image = gallery.upload()
    body = {"json": {"caption": "x"}} if method == "patch" else {}
    response = getattr(gallery.client, method)(image["url"], headers={"If-Match": tag}, **body)
    assert_problem(response, 412, "precondition_failed")
    assert gallery.get(image["url"]).status_code == 200


@pytest.mark.parametrize(
    "tag",
    [
        '"1-1-pending"',
        '"1-1-ready-7-9-1"',
        "*",
        '"5-1-ready", "1-1-ready"',
        '"1-7-ready", "1-1-ready", "1-3-ready"',
    ],
)
def test_if_match_of_this_version_lets_a_deletion_through(gallery: Gallery, tag: str) -> None:
    image = gallery.upload()
    assert image["id"] == 1
    assert gallery.client.delete(image["url"], headers={"If-Match": tag}).status_code == 204


def test_a_deleted_image_is_gone_with_its_bytes_and_what_was_made_of_them(
    gallery: Gallery,
) -> None:
    image = gallery.upload(degrees=0)
    gallery.get(image["thumbnail_url"])
    derivatives = gallery.runtime.settings.data_dir / "derivatives"
    assert files_in(derivatives)
    response = gallery.client.delete(f"{image['url']}?now=true")
    assert (response.status_code, response.get_data()) == (204, b"")
    assert int(response.headers["X-Change-Seq"]) > 0
    assert files_in(gallery.runtime.settings.image_dir) == []
    assert files_in(derivatives) == []
    for address in (image["url"], image["file_url"], image["thumbnail_url"]):
        assert gallery.get(address).status_code == 404
    assert gallery.client.delete(image["url"]).status_code == 404


def test_deleting_one_of_two_images_of_the_same_bytes_keeps_the_other(gallery: Gallery) -> None:
    first, second = gallery.upload(seed=5), gallery.upload(seed=5)
    gallery.client.delete(f"{first['url']}?now=true")
    assert gallery.get(second["file_url"]).get_data() == picture(5)


def test_the_owner_gets_the_original_byte_for_byte(gallery: Gallery) -> None:
    image = gallery.upload(seed=5)
    response = gallery.get(image["file_url"])
    assert response.get_data() == picture(5)
    assert response.mimetype == "image/png"
    assert response.headers["Content-Disposition"].startswith("attachment")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"] == "private, no-cache"


def test_a_part_of_a_file_can_be_asked_for(gallery: Gallery) -> None:
    image = gallery.upload(seed=5)
    response = gallery.get(image["file_url"], headers={"Range": "bytes=2-5"})
    assert (response.status_code, response.get_data()) == (206, picture(5)[2:6])
    beyond = gallery.get(image["file_url"], headers={"Range": "bytes=99999999-"})
    assert_problem(beyond, 416, "range_not_satisfiable")


@pytest.mark.parametrize("tail", ["/file", "/thumbnail"])
@pytest.mark.parametrize(
    "asked",
    ["items=0-1", "bytes=0-1,4-5", "bytes=5-2", "bytes=x-y", "bytes", "bytes=-99999999"],
)
def test_a_range_that_means_nothing_here_gets_the_whole(
    gallery: Gallery, tail: str, asked: str
) -> None:
    image = gallery.upload(seed=5)
    whole = gallery.get(f"{image['url']}{tail}")
    response = gallery.get(f"{image['url']}{tail}", headers={"Range": asked})
    assert (response.status_code, response.get_data()) == (200, whole.get_data())


def test_the_end_of_a_file_can_be_asked_for(gallery: Gallery) -> None:
    image = gallery.upload(seed=5)
    response = gallery.get(image["file_url"], headers={"Range": "bytes=-7"})
    assert (response.status_code, response.get_data()) == (206, picture(5)[-7:])


def test_conditions_come_before_ranges(gallery: Gallery) -> None:
    image = gallery.upload(seed=5)
    tag = gallery.get(image["file_url"]).headers["ETag"]
    part = {"Range": "bytes=2-5"}
    known = gallery.get(image["file_url"], headers=part | {"If-None-Match": tag})
    assert known.status_code == 304
    other = gallery.get(image["file_url"], headers=part | {"If-Match": '"other"'})
    assert_problem(other, 412, "precondition_failed")
    same = gallery.get(image["file_url"], headers=part | {"If-Range": tag})
    assert same.status_code == 206
    changed = gallery.get(image["file_url"], headers=part | {"If-Range": '"other"'})
    assert changed.status_code == 200


@pytest.mark.parametrize("tail", ["/file", "/thumbnail"])
def test_if_match_of_anything_is_true_of_a_file_that_exists(gallery: Gallery, tail: str) -> None:
    image = gallery.upload()
    assert gallery.get(f"{image['url']}{tail}", headers={"If-Match": "*"}).status_code == 200


def test_if_match_of_several_versions_is_true_of_the_current_one_only(gallery: Gallery) -> None:
    image = gallery.upload()
    for caption, tags, status in (
        ("a", '"1-1-ready", "1-2-ready"', 200),
        ("b", '"1-1-ready", "1-2-ready"', 200),
        ("c", '"1-1-ready", "1-2-ready"', 412),
    ):
        response = gallery.client.patch(
            image["url"], json={"caption": caption}, headers={"If-Match": tags}
        )
        assert response.status_code == status


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_change_that_is_not_json_is_415(gallery: Gallery, media_type: str) -> None:
    image = gallery.upload()
    response = gallery.client.patch(
        image["url"], data=b"caption=x", headers={"Content-Type": media_type}
    )
    assert "application/json" in assert_problem(response, 415, "unsupported_media_type")["detail"]


def test_a_file_one_has_already_is_304(gallery: Gallery) -> None:
    image = gallery.upload()
    for address in (image["file_url"], image["thumbnail_url"]):
        tag = gallery.get(address).headers["ETag"]
        again = gallery.get(address, headers={"If-None-Match": tag})
        assert (again.status_code, again.headers["ETag"]) == (304, tag)


@pytest.mark.parametrize("tail", ["/file", "/thumbnail"])
def test_if_match_of_another_file_is_a_problem(gallery: Gallery, tail: str) -> None:
    image = gallery.upload()
    response = gallery.get(f"{image['url']}{tail}", headers={"If-Match": '"other"'})
    assert_problem(response, 412, "precondition_failed")


def test_a_thumbnail_is_small_upright_webp_without_metadata(gallery: Gallery) -> None:
    photo = picture(7, "JPEG", (1200, 400), orientation=6)
    upload = gallery.client.post(
        "/api/v1/images", data={"file": as_upload(photo, "a.jpg", "image/jpeg")}
    )
    response = gallery.get(upload.get_json()["thumbnail_url"])
    assert response.mimetype == "image/webp"
    with Pillow.open(io.BytesIO(response.get_data())) as thumbnail:
        assert thumbnail.format == "WEBP"
        assert thumbnail.size[1] == 320
        assert thumbnail.size[0] == pytest.approx(107, abs=1)
        assert not thumbnail.getexif()


def test_an_upload_that_is_refused_names_the_field(gallery: Gallery) -> None:
    response = gallery.client.post(
        "/api/v1/images", data={"file": as_upload(picture(1)), "is_public": "perhaps"}
    )
    assert "is_public" in assert_problem(response, 422, "invalid_input")["errors"]


def test_similar_images_come_best_first_without_the_image_itself(gallery: Gallery) -> None:
    ids = [gallery.upload(degrees=degrees)["id"] for degrees in (0, 40, 10, 80)]
    response = gallery.get(f"/api/v1/images/{ids[0]}/similar")
    body = response.get_json()
    assert [found["image"]["id"] for found in body["results"]] == [ids[2], ids[1], ids[3]]
    assert body["results"][0]["similarity"] == pytest.approx(0.9848, abs=1e-4)
    near = gallery.get(f"/api/v1/images/{ids[0]}/similar?limit=2&threshold=0.9").get_json()
    assert [found["image"]["id"] for found in near["results"]] == [ids[2]]
    assert near["reason"]


def test_similar_images_as_a_plain_list_of_posts(gallery: Gallery) -> None:
    first, second = (gallery.upload(degrees=degrees, caption=f"{degrees}") for degrees in (0, 20))
    response = gallery.client.post(f"/api/v1/images/{first['id']}/similar?limit=5")
    (post,) = response.get_json()
    assert post["id"] == second["id"]
    assert post["caption"] == "20"
    assert post["image_url"] == second["file_url"]
    assert post["similarity"] == pytest.approx(0.9397, abs=1e-4)


@pytest.mark.parametrize("query", ["limit=0", "limit=-3", "limit=1001", "threshold=2"])
def test_similar_refuses_numbers_out_of_range(gallery: Gallery, query: str) -> None:
    image = gallery.upload(degrees=0)
    response = gallery.get(f"{image['similar_url']}?{query}")
    assert_problem(response, 422, "invalid_input")


def test_similar_to_an_image_without_a_vector_yet_is_409(gallery: Gallery) -> None:
    image = gallery.upload()
    assert_problem(gallery.get(image["similar_url"]), 409, "conflict")


@pytest.mark.parametrize(
    ("accepted", "as_plain"),
    [
        ("application/octet-stream", True),
        ("application/json, application/octet-stream", True),
        ("image/*,application/octet-stream", False),
        ("*/*", False),
        ("", False),
        ("text/html", False),
    ],
)
@pytest.mark.parametrize("tail", ["/file", "/thumbnail"])
def test_a_client_that_knows_no_image_types_gets_plain_bytes(
    gallery: Gallery, tail: str, accepted: str, as_plain: bool
) -> None:
    address = gallery.upload()["url"] + tail
    plain = gallery.get(address)
    reply = gallery.get(address, headers={"Accept": accepted})
    assert (reply.mimetype == "application/octet-stream") is as_plain
    assert reply.mimetype == plain.mimetype or as_plain
    assert reply.get_data() == plain.get_data()
    assert "Accept" in reply.headers["Vary"]
    part = gallery.get(address, headers={"Accept": accepted, "Range": "bytes=0-3"})
    assert (part.status_code, part.mimetype) == (206, reply.mimetype)


def test_a_switch_that_is_not_understood_is_told_what_is(gallery: Gallery) -> None:
    body = {"file": as_upload(picture(seed=1)), "is_public": "maybe"}
    form = gallery.client.post("/api/v1/images", data=body)
    query = gallery.client.get("/api/v1/images?mine=maybe")
    for reply, name in ((form, "is_public"), (query, "mine")):
        (said,) = assert_problem(reply, 422, "invalid_input")["errors"][name]
        assert "true or false" in said
        assert "yes, no" in said

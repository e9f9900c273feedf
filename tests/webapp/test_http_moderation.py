"""What an administrator may do about others: their public images, their role."""

from __future__ import annotations

from typing import Any

import pytest

from testing.gallery import Gallery, assert_problem, on_arc
from tests.webapp.test_http_auth import KeyOf

HIDE, SHOW = {"is_public": False}, {"is_public": True}


@pytest.fixture
def boss(key_of: KeyOf) -> dict[str, str]:
    return key_of("boss", is_administrator=True)


def change(gallery: Gallery, image: Any, fields: Any, headers: dict[str, str], **more: str) -> Any:
    return gallery.client.patch(image["url"], json=fields, headers=headers | more)


def found_by(gallery: Gallery, headers: dict[str, str]) -> list[int]:
    reply = gallery.client.post("/api/v1/search", json={"vector": on_arc(0)}, headers=headers)
    return [each["image"]["id"] for each in reply.get_json()["results"]]


def test_a_hidden_image_is_its_owner_s_to_see_and_not_to_show(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    image = guarded.upload(headers=ana, is_public="true", degrees=0)
    assert found_by(guarded, ben) == [image["id"]]

    hidden = change(guarded, image, HIDE, boss)
    assert hidden.status_code == 200
    body = hidden.get_json()
    assert (body["is_public"], body["is_hidden"], body["filename"]) == (False, True, None)
    for headers in ({}, ben, boss):
        assert_problem(guarded.get(image["url"], headers), 404, "not_found")
        assert guarded.get(image["file_url"], headers).status_code == 404
        assert found_by(guarded, headers) == []
    mine = guarded.get(image["url"], ana).get_json()
    assert (mine["is_public"], mine["is_hidden"]) == (False, True)

    refused = assert_problem(change(guarded, image, SHOW, ana), 403, "not_allowed")
    assert "An administrator hid this image" in refused["detail"]
    assert change(guarded, image, HIDE | {"caption": "mine"}, ana).status_code == 200
    assert guarded.get(image["url"], ben).status_code == 404

    shown = change(guarded, image, SHOW, boss).get_json()
    assert (shown["is_public"], shown["is_hidden"]) == (True, False)
    assert found_by(guarded, ben) == [image["id"]]
    # Afterwards it is the owner's own choice again.
    assert change(guarded, image, HIDE, ana).get_json()["is_hidden"] is False
    assert change(guarded, image, SHOW, ana).status_code == 200


def test_the_owner_is_told_why_an_image_was_hidden_and_nobody_else(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    image = guarded.upload(headers=ana, is_public="true")
    why = "It shows somebody's home address."
    hidden = change(guarded, image, HIDE | {"reason": why}, boss).get_json()
    assert (hidden["is_hidden"], hidden["hidden_reason"]) == (True, None)
    assert guarded.get(image["url"], ana).get_json()["hidden_reason"] == why
    # Another reason takes its place; shown again, the image has none.
    change(guarded, image, HIDE | {"reason": "Another."}, boss)
    assert guarded.get(image["url"], ana).get_json()["hidden_reason"] == "Another."
    assert change(guarded, image, SHOW, boss).status_code == 200
    for headers in (ana, ben):
        assert guarded.get(image["url"], headers).get_json()["hidden_reason"] is None


def test_a_reason_goes_with_hiding_somebody_else_s_image(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana, is_public="true")
    assert_problem(change(guarded, image, HIDE | {"reason": "mine"}, ana), 403, "not_allowed")
    for bad in (SHOW | {"reason": "x"}, {"reason": "x"}, HIDE | {"reason": "x" * 501}):
        assert_problem(change(guarded, image, bad, boss), 422, "invalid_input")
    assert guarded.get(image["url"], ana).get_json()["is_public"] is True


def test_an_owner_deletes_what_was_hidden(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana, is_public="true")
    change(guarded, image, HIDE, boss)
    assert guarded.client.delete(image["url"], headers=ana).status_code == 204
    assert change(guarded, image, SHOW, boss).status_code == 404


def test_the_owner_is_told_why_an_image_was_deleted_and_nobody_else(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana, why = key_of("ana"), "It shows somebody's home address."
    client = guarded.client
    image = guarded.upload(headers=ana, is_public="true")
    gone = client.delete(image["url"], query_string={"reason": why}, headers=boss)
    assert gone.status_code == 204
    (trashed,) = guarded.get("/api/v1/images?trash=true", ana).get_json()["results"]
    assert (trashed["is_hidden"], trashed["hidden_reason"]) == (True, why)
    assert why not in guarded.get("/api/v1/audit", boss).text
    back = client.post(f"{image['url']}/restore", headers=ana).get_json()
    assert (back["is_public"], back["is_hidden"], back["hidden_reason"]) == (False, True, why)
    # Of what is erased nothing is left but the entry of the act, which its owner reads.
    erased = guarded.upload(headers=ana, is_public="true")
    asked = {"now": "true", "reason": why}
    assert client.delete(erased["url"], query_string=asked, headers=boss).status_code == 204
    newest = guarded.get("/api/v1/users/me/audit", ana).get_json()["results"][0]
    assert (newest["action"], newest["subject_id"]) == ("image.erase", erased["id"])
    assert newest["detail"] == {"reason": why}
    assert why not in guarded.get("/api/v1/users/me/audit", key_of("ben")).text


def test_a_second_deletion_keeps_the_reason_of_hiding(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana, is_public="true")
    change(guarded, image, HIDE | {"reason": "An address."}, boss)
    assert guarded.client.delete(image["url"], headers=boss).status_code == 204
    (trashed,) = guarded.get("/api/v1/images?trash=true", ana).get_json()["results"]
    assert trashed["hidden_reason"] == "An address."


def test_a_reason_goes_with_deleting_somebody_else_s_image(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana, is_public="true")
    for query in ({"reason": "mine"}, {"reason": "mine", "now": "true"}):
        refused = guarded.client.delete(image["url"], query_string=query, headers=ana)
        assert_problem(refused, 403, "not_allowed")
    for odd in ("", "x" * 501):
        refused = guarded.client.delete(image["url"], query_string={"reason": odd}, headers=boss)
        assert_problem(refused, 422, "invalid_input")
    assert guarded.get(image["url"], ana).status_code == 200


@pytest.mark.parametrize("is_hidden_first", [False, True])
def test_an_administrator_deletes_anybody_s_public_image(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str], is_hidden_first: bool
) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana, is_public="true", degrees=0)
    if is_hidden_first:
        change(guarded, image, HIDE, boss)
    assert guarded.client.delete(f"{image['url']}?now=true", headers=boss).status_code == 204
    assert guarded.get(image["url"], ana).status_code == 404
    assert found_by(guarded, ana) == []
    files = [path for path in guarded.runtime.settings.image_dir.rglob("*") if path.is_file()]
    assert files == []


def test_a_private_image_is_absent_for_an_administrator_too(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana)
    for reply in (
        change(guarded, image, HIDE, boss),
        change(guarded, image, SHOW, boss),
        guarded.client.delete(image["url"], headers=boss),
    ):
        assert_problem(reply, 404, "not_found")
    # Made private by its owner, it is no longer anybody's to moderate.
    public = guarded.upload(headers=ana, is_public="true")
    change(guarded, public, HIDE, ana)
    assert_problem(guarded.client.delete(public["url"], headers=boss), 404, "not_found")
    assert guarded.get(public["url"], ana).get_json()["is_hidden"] is False


@pytest.mark.parametrize(
    "fields",
    [{"caption": "x"}, {"prompt": None}, {"is_public": False, "caption": "x"}],
    ids=str,
)
def test_what_others_wrote_is_not_an_administrator_s_to_change(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str], fields: dict[str, Any]
) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana, is_public="true", caption="ours")
    assert_problem(change(guarded, image, fields, boss), 403, "not_allowed")
    body = guarded.get(image["url"], ana).get_json()
    assert (body["caption"], body["is_public"], body["version"]) == ("ours", True, 1)


def test_nobody_else_moderates(guarded: Gallery, key_of: KeyOf, boss: dict[str, str]) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    image = guarded.upload(headers=ana, is_public="true")
    made = guarded.client.post(
        "/api/v1/users/me/keys", json={"scopes": ["read", "write"]}, headers=boss
    )
    clerk = {"Authorization": f"Bearer {made.get_json()['key']}"}
    for headers in (ben, clerk):
        assert_problem(change(guarded, image, HIDE, headers), 404, "not_found")
        assert_problem(guarded.client.delete(image["url"], headers=headers), 404, "not_found")
    assert guarded.get(image["url"]).status_code == 200


def test_an_older_version_is_not_hidden(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana, is_public="true")
    tag = guarded.get(image["url"], boss).headers["ETag"]
    change(guarded, image, {"caption": "new"}, ana)
    reply = change(guarded, image, HIDE, boss, **{"If-Match": tag})
    assert_problem(reply, 412, "precondition_failed")
    reply = guarded.client.delete(image["url"], headers=boss | {"If-Match": tag})
    assert_problem(reply, 412, "precondition_failed")


# Roles.


def test_a_role_counts_at_once(guarded: Gallery, key_of: KeyOf, boss: dict[str, str]) -> None:
    ana = key_of("ana")
    who = guarded.get("/api/v1/users/me", ana).get_json()
    assert guarded.get("/api/v1/users", ana).status_code == 403
    reply = guarded.client.patch(who["url"], json={"role": "administrator"}, headers=boss)
    # What somebody chose for their pages is told to them alone.
    assert who | reply.get_json() == who | {"role": "administrator"}
    assert reply.get_json().keys() & {"locale", "theme", "density"} == set()
    assert guarded.get("/api/v1/users", ana).status_code == 200
    chief = guarded.get("/api/v1/users/me", boss).get_json()
    taken = guarded.client.patch(chief["url"], json={"role": "user"}, headers=ana)
    assert taken.get_json()["role"] == "user"
    assert guarded.get("/api/v1/users", boss).status_code == 403
    last = guarded.client.patch(who["url"], json={"role": "user"}, headers=ana)
    assert_problem(last, 409, "conflict")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 422),
        ({"role": "root"}, 422),
        ({"role": None}, 422),
        ({"username": "x"}, 422),
        ([], 422),
    ],
    ids=str,
)
def test_what_is_no_role_is_refused(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str], fields: Any, status: int
) -> None:
    who = guarded.get("/api/v1/users/me", key_of("ana")).get_json()
    reply = guarded.client.patch(who["url"], json=fields, headers=boss)
    assert reply.status_code == status
    assert (
        guarded.client.patch("/api/v1/users/99", json={"role": "user"}, headers=boss).status_code
        == 404
    )


def test_only_administrators_change_roles(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    who = guarded.get("/api/v1/users/me", ana).get_json()
    for headers, status in ((ana, 403), ({}, 401)):
        reply = guarded.client.patch(who["url"], json={"role": "administrator"}, headers=headers)
        assert reply.status_code == status

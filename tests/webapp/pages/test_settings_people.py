"""One user's page: role, quota and end, for administrators; what is hidden, and why."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from mirada.db.models import Job
from testing.gallery import Gallery
from tests.webapp.pages.test_explore import HTML
from tests.webapp.pages.test_settings import forms


@pytest.fixture
def boss(key_of: Any) -> dict[str, str]:
    return dict(key_of("boss", is_administrator=True)) | HTML


def page_of(gallery: Gallery, headers: dict[str, str]) -> str:
    """Return the address of a user's page."""
    user = gallery.get("/api/v1/users/me", headers).get_json()
    return f"/ui/settings/users/{user['id']}"


def post(gallery: Gallery, page: str, act: str, headers: dict[str, str], **typed: str) -> Any:
    asked = gallery.get(f"{page}/end" if act == "end" else page, headers).text
    sent = forms(asked, f"{page}/{act}") | typed
    return gallery.client.post(f"{page}/{act}", data=sent, headers=headers)


def test_a_quota_is_given_shown_to_both_and_taken_back(
    guarded: Gallery, key_of: Any, boss: dict[str, str]
) -> None:
    ana = key_of("ana") | HTML
    guarded.upload(headers=ana)
    page = page_of(guarded, ana)
    assert f'href="{page}"' in guarded.get("/ui/settings", boss).text
    saved = post(guarded, page, "quota", boss, quota_images="1000", quota_bytes="")
    assert (saved.status_code, saved.headers["Location"]) == (303, f"{page}?done=1")
    for address, who in ((saved.headers["Location"], boss), ("/ui/settings", ana)):
        shown = guarded.get(address, who).text
        assert "1 picture of at most 1,000," in shown
        assert '<meter min="0" max="1000" value="1"' in shown
    post(guarded, page, "quota", boss, quota_images="", quota_bytes="")
    assert "of at most" not in guarded.get("/ui/settings", ana).text
    assert post(guarded, page, "quota", boss, quota_images="-1").status_code == 422


def test_a_role_is_changed_and_the_last_administrator_stays_one(
    guarded: Gallery, key_of: Any, boss: dict[str, str]
) -> None:
    ana = key_of("ana") | HTML
    page = page_of(guarded, ana)
    assert guarded.get(page, ana).status_code == 403
    assert post(guarded, page, "role", boss, role="administrator").status_code == 303
    assert guarded.get(page, ana).status_code == 200
    assert post(guarded, page, "role", boss, role="user").status_code == 303
    refused = post(guarded, page_of(guarded, boss), "role", boss, role="user")
    assert refused.status_code == 409
    assert "last administrator" in refused.text


def test_an_administrator_deletes_a_public_picture_and_its_owner_reads_why(
    guarded: Gallery, key_of: Any, boss: dict[str, str]
) -> None:
    ana = key_of("ana") | HTML
    image = guarded.upload(headers=ana, is_public="true")
    page = f"/ui/images/{image['id']}"
    shown = guarded.get(page, boss).text
    assert f'formaction="{page}/remove"' in shown
    assert f"{page}/remove" not in guarded.get(page, ana).text
    typed = forms(shown, f"{page}/hide") | {"reason": "It shows an address."}
    assert guarded.client.post(f"{page}/remove", data=typed, headers=ana).status_code == 403
    gone = guarded.client.post(f"{page}/remove", data=typed, headers=boss)
    assert (gone.status_code, gone.headers["Location"]) == (303, "/ui")
    trash = guarded.get("/ui/trash", ana).text
    assert "An administrator took it away from others." in trash
    assert "It shows an address." in trash
    assert guarded.get(page, boss).status_code == 404


def test_a_user_is_ended_and_the_images_go_to_whom_is_named(
    guarded: Gallery, key_of: Any, boss: dict[str, str]
) -> None:
    ana, ben = key_of("ana") | HTML, key_of("ben") | HTML
    page = page_of(guarded, ana)
    assert post(guarded, page, "end", boss, images="hand_over", heir="").status_code == 422
    assert post(guarded, page, "end", boss, images="hand_over", heir="cleo").status_code == 404
    assert guarded.get("/ui/settings", ana).status_code == 200
    ended = post(guarded, page, "end", boss, images="hand_over", heir="ben")
    assert (ended.status_code, ended.headers["Location"]) == (303, "/ui/activity")
    assert guarded.get("/api/v1/users/me", ana).status_code == 401
    heir = guarded.get("/api/v1/users/me", ben).get_json()["id"]
    with guarded.runtime.reading() as session:
        (arguments,) = session.execute(select(Job.arguments)).scalars()
    assert heir in arguments.values()


def test_somebody_s_public_picture_is_hidden_with_a_reason_that_only_its_owner_reads(
    guarded: Gallery, key_of: Any, boss: dict[str, str]
) -> None:
    ana, ben = key_of("ana") | HTML, key_of("ben") | HTML
    image = guarded.upload(headers=ana, is_public="true")
    page = f"/ui/images/{image['id']}"
    for who in (ana, ben):
        assert f'action="{page}/hide' not in guarded.get(page, who).text
    sent = forms(guarded.get(page, boss).text, f"{page}/hide") | {"reason": "<b>An address</b>"}
    assert guarded.client.post(f"{page}/hide", data=sent, headers=ben).status_code == 404
    assert guarded.client.post(f"{page}/hide", data=sent, headers=boss).status_code == 303
    assert guarded.get(page, boss).status_code == 404
    shown = guarded.get(page, ana).text
    assert "An administrator made it visible to you alone." in shown
    assert "&lt;b&gt;An address&lt;/b&gt;" in shown

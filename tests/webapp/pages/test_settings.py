"""Settings: keys that are shown once, users, and what each may see; complete without a script."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from testing.gallery import Gallery
from tests.webapp.pages.test_explore import HTML
from webapp.pages import settings_acts

KEY = re.compile(r"mrd_[a-z0-9]{8}_[A-Za-z0-9_-]{43}")


def forms(text: str, action: str) -> dict[str, str]:
    """Return the hidden fields of the form that is sent there."""
    form = re.search(rf'<form method="post" action="{re.escape(action)}".*?</form>', text, re.S)
    assert form is not None, text
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[0]))


def made(reply: Any) -> str:
    """Return the key that a reply shows."""
    assert reply.status_code == 201, reply.text
    assert reply.headers["Cache-Control"] == "no-store"
    assert "Location" not in reply.headers
    (key,) = set(KEY.findall(reply.text))
    return str(key)


def midnight() -> datetime:
    """Return the last second of today."""
    return datetime.now(UTC).replace(hour=23, minute=59, second=59)


def test_a_key_is_made_shown_once_and_revoked(
    guarded: Gallery, key_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = key_of("ana") | HTML
    sent = forms(guarded.get("/ui/settings", ana).text, "/ui/settings/keys")
    sent |= {"name": "shop <b>", "scopes": "read", "days": "30"}
    key = made(guarded.client.post("/ui/settings/keys", data=sent, headers=ana))
    hers = {"Authorization": f"Bearer {key}"}
    assert guarded.get("/api/v1/images", hers).status_code == 200
    assert guarded.client.post("/api/v1/images", headers=hers).status_code == 403
    page = guarded.get("/ui/settings", ana).text
    assert key not in page
    assert "shop &lt;b&gt;" in page
    # Somewhat later, as a page is loaded again.
    later = datetime.now(UTC) + timedelta(seconds=3)
    monkeypatch.setattr(
        settings_acts, "datetime", Mock(wraps=datetime, now=lambda _zone: min(later, midnight()))
    )
    again = guarded.client.post("/ui/settings/keys", data=sent, headers=ana)
    assert key[:12] in again.text
    assert not KEY.search(again.text)
    (there,) = re.findall(rf'<code>{key[:12]}….*?href="([^"]+/revoke)"', page, re.S)
    assert key[:12] in guarded.get(there, ana).text
    assert guarded.get("/api/v1/images", hers).status_code == 200, "asking revokes nothing"
    done = guarded.client.post(there, headers=ana)
    assert (done.status_code, done.headers["Location"]) == (303, "/ui/settings#keys")
    assert guarded.get("/api/v1/images", hers).status_code == 401


def test_nobody_sees_or_revokes_anothers_key(guarded: Gallery, key_of: Any) -> None:
    ana, bea = key_of("ana") | HTML, key_of("bea") | HTML
    key = ana["Authorization"].removeprefix("Bearer ")
    there = "/ui/settings/keys/{}/revoke"
    (id_,) = re.findall(r"/ui/settings/keys/(\d+)/revoke", guarded.get("/ui/settings", ana).text)
    page = guarded.get("/ui/settings", bea).text
    assert key[:12] not in page
    assert "ana" not in page.partition("<main")[2]
    assert guarded.get(there.format(id_), bea).status_code == 404
    assert guarded.client.post(there.format(id_), headers=bea).status_code == 404
    assert guarded.get("/api/v1/images", ana).status_code == 200


def test_only_an_administrator_sees_and_makes_users(guarded: Gallery, key_of: Any) -> None:
    root, ana = key_of("root", is_administrator=True) | HTML, key_of("ana") | HTML
    text = guarded.get("/ui/settings", root).text
    sent = forms(text, "/ui/settings/users") | {"username": "carla", "role": "user"}
    assert guarded.client.post("/ui/settings/users", data=sent, headers=ana).status_code == 403
    key = made(guarded.client.post("/ui/settings/users", data=sent, headers=root))
    carla = {"Authorization": f"Bearer {key}"}
    assert guarded.get("/api/v1/users/me", carla).get_json()["username"] == "carla"
    (id_,) = re.findall(r"<bdi>ana</bdi>.*?/ui/settings/users/(\d+)/keys", text, re.S)[:1]
    action = f"/ui/settings/users/{id_}/keys"
    assert guarded.client.post(action, data=forms(text, action), headers=ana).status_code == 403
    second = made(guarded.client.post(action, data=forms(text, action), headers=root))
    who = guarded.get("/api/v1/users/me", {"Authorization": f"Bearer {second}"})
    assert who.get_json()["username"] == "ana"
    assert "/ui/settings/users" not in guarded.get("/ui/settings", ana).text


def test_a_form_needs_the_token_of_its_session(guarded: Gallery, key_of: Any) -> None:
    key = key_of("ana")["Authorization"].removeprefix("Bearer ")
    assert guarded.client.post("/api/v1/session", json={"key": key}).status_code == 200
    sent = forms(guarded.get("/ui/settings", HTML).text, "/ui/settings/keys")
    without = {name: value for name, value in sent.items() if name != "csrf_token"}
    refused = guarded.client.post("/ui/settings/keys", data=without, headers=HTML)
    assert refused.status_code == 403
    assert not KEY.search(refused.text)
    made(guarded.client.post("/ui/settings/keys", data=sent, headers=HTML))


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"scopes": "admin"}, 422),
        ({"scopes": "metrics"}, 403),
        ({"scopes": "everything"}, 422),
        ({"days": "31"}, 422),
        ({"name": "x" * 101}, 422),
    ],
)
def test_what_a_key_cannot_be_is_said(
    guarded: Gallery, key_of: Any, wanted: dict[str, str], status: int
) -> None:
    refused = guarded.client.post("/ui/settings/keys", data=wanted, headers=key_of("ana") | HTML)
    assert (refused.status_code, refused.mimetype) == (status, "text/html")
    assert 'role="alert"' in refused.text


def test_the_page_says_who_one_is_what_it_cost_and_which_lists_are_in_force(
    gallery: Gallery,
) -> None:
    text = gallery.get("/ui/settings", HTML).text
    assert "<bdi>local</bdi>" in text
    assert "$0.00" in text
    assert 'href="/ui/settings/labels"' in text
    assert "<bdi>Cinematic</bdi>" in gallery.get("/ui/settings/styles", HTML).text
    assert 'name="density" value="normal" aria-pressed="true"' in text
    page = gallery.client.post("/ui/preferences", data={"density": "large", "back": "/ui/settings"})
    assert page.headers["Location"] == "/ui/settings"
    assert 'value="large" aria-pressed="true"' in gallery.get("/ui/settings", HTML).text


def test_recent_searches_are_listed_and_erased_without_a_script(gallery: Gallery) -> None:
    for words in ("old lamps", "<b>a bridge</b>"):
        reply = gallery.client.post("/api/v1/recent-searches", json={"words": words})
        assert reply.status_code == 200
    text = gallery.get("/ui/settings", {"Accept": "text/html"}).text
    assert "old lamps" in text
    assert "&lt;b&gt;a bridge&lt;/b&gt;" in text
    erased = {"search": str(reply.get_json()["id"]), "back": "/ui/settings"}
    done = gallery.client.post("/ui/recent-searches/erase", data=erased)
    assert (done.status_code, done.headers["Location"]) == (303, "/ui/settings#recent")
    # Pressed twice, it is gone as was wished.
    assert gallery.client.post("/ui/recent-searches/erase", data=erased).status_code == 303
    kept = gallery.get("/api/v1/recent-searches").get_json()["results"]
    assert [each["words"] for each in kept] == ["old lamps"]
    gallery.client.post("/ui/recent-searches/erase", data={"all": "true"})
    assert gallery.get("/api/v1/recent-searches").get_json()["count"] == 0

"""What users choose for the pages: kept with them, told to them alone, and found in every browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mirada.departures import ending
from mirada.people import users
from mirada.people.preferences import CHOICES, Preferences, preferences_of
from testing.gallery import Gallery, assert_problem
from webapp.pages.texts import LANGUAGES

ME = "/api/v1/users/me"
HTML = {"Accept": "text/html"}
KeyOf = Callable[..., dict[str, str]]


def chosen(gallery: Gallery, headers: dict[str, str]) -> dict[str, Any]:
    me = gallery.get(ME, headers=headers).get_json()
    return {name: me[name] for name in CHOICES}


def look(gallery: Gallery, headers: dict[str, str], **cookies: str) -> str:
    """Return how a page begins, opened in a browser that has these cookies alone."""
    client = gallery.client.application.test_client()
    for name, value in cookies.items():
        client.set_cookie(f"mirada_{name}", value)
    page: str = client.get("/ui/about", headers=headers | HTML).text
    return page.split("<html ")[1].split(">")[0]


def test_what_is_left_out_stays_and_null_takes_it_back(guarded: Gallery, key_of: KeyOf) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    assert chosen(guarded, ana) == {"locale": None, "theme": None, "density": None}
    changed = guarded.client.patch(ME, json={"locale": "pt", "theme": "dark"}, headers=ana)
    assert changed.status_code == 200
    assert changed.get_json() == guarded.get(ME, headers=ana).get_json()
    guarded.client.patch(ME, json={"density": "large", "theme": None}, headers=ana)
    assert chosen(guarded, ana) == {"locale": "pt", "theme": None, "density": "large"}
    assert guarded.client.patch(ME, json={}, headers=ana).get_json()["locale"] == "pt"
    assert chosen(guarded, ben) == {"locale": None, "theme": None, "density": None}
    # Administrators read who there is, not how they like it.
    root = key_of("root", is_administrator=True)
    assert not set(CHOICES) & set(
        guarded.get("/api/v1/users", headers=root).get_json()["results"][0]
    )


@pytest.mark.parametrize(
    "wanted", [{"locale": "fr"}, {"theme": "pink"}, {"density": 3}, {"role": "administrator"}]
)
def test_what_cannot_be_chosen_is_refused(
    guarded: Gallery, key_of: KeyOf, wanted: dict[str, Any]
) -> None:
    ana = key_of("ana")
    refused = guarded.client.patch(
        ME, json=wanted | {"theme": wanted.get("theme", "dark")}, headers=ana
    )
    problem = assert_problem(refused, 422, "invalid_input")
    assert set(problem["errors"]) == set(wanted)
    assert chosen(guarded, ana)["theme"] is None


def test_nobody_has_no_preferences(guarded: Gallery) -> None:
    assert_problem(guarded.client.patch(ME, json={"theme": "dark"}), 401, "not_authenticated")


def test_what_was_chosen_goes_with_the_user(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    guarded.client.patch(ME, json={"theme": "dark"}, headers=ana)
    with guarded.runtime.transaction() as session:
        user = users.user_named(session, "ana")
        ending.end_user(session, user.id, heir_id=None)
        assert preferences_of(session, user.id) == Preferences()


def test_the_user_counts_before_the_cookie_and_the_cookie_before_the_browser(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, spanish = key_of("ana"), {"Accept-Language": "es"}
    assert look(guarded, spanish) == 'lang="es" data-theme="system"'
    assert look(guarded, spanish, language="pt", theme="light") == 'lang="pt" data-theme="light"'
    assert look(guarded, ana | spanish, language="pt") == 'lang="pt" data-theme="system"'
    form = {"language": "en", "theme": "dark", "density": "compact"}
    assert guarded.client.post("/ui/preferences", data=form, headers=ana).status_code == 303
    assert chosen(guarded, ana) == {"locale": "en", "theme": "dark", "density": "compact"}
    # A second browser of hers has it once she is signed in, and nobody else there.
    told = look(guarded, ana | spanish, language="pt", theme="light")
    assert told == 'lang="en" data-theme="dark"'
    assert look(guarded, key_of("ben") | spanish) == 'lang="es" data-theme="system"'
    grid = guarded.client.application.test_client().get("/ui", headers=ana | HTML).text
    assert 'id="grid" data-density="compact"' in grid


def test_a_second_browser_that_signs_in_has_what_was_chosen_in_the_first(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana = key_of("ana")
    guarded.client.patch(ME, json={"locale": "pt", "theme": "dark"}, headers=ana)
    browser = guarded.client.application.test_client()
    browser.set_cookie("mirada_theme", "light")
    key = ana["Authorization"].removeprefix("Bearer ")
    session = browser.post("/api/v1/session", json={"key": key}).get_json()
    assert session["user"]["locale"] == "pt"
    assert 'lang="pt" data-theme="dark"' in browser.get("/ui/about", headers=HTML).text
    assert browser.get("/api/v1/session").get_json()["user"]["theme"] == "dark"
    signed_out = browser.delete("/api/v1/session", headers={"X-CSRF-Token": session["csrf_token"]})
    assert signed_out.status_code == 204
    assert 'lang="en" data-theme="light"' in browser.get("/ui/about", headers=HTML).text


def test_a_page_of_an_ended_session_is_in_the_browsers_language(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana = key_of("ana")
    guarded.client.patch(ME, json={"locale": "pt"}, headers=ana)
    browser = guarded.client.application.test_client()
    key = ana["Authorization"].removeprefix("Bearer ")
    browser.post("/api/v1/session", json={"key": key})
    (own,) = guarded.get("/api/v1/users/me/keys", headers=ana).get_json()["results"]
    guarded.client.delete(own["url"], headers=ana)
    page = browser.get("/ui/sign-in", headers=HTML | {"Accept-Language": "es"})
    assert '<html lang="es"' in page.text


def test_every_language_of_the_pages_can_be_chosen() -> None:
    assert CHOICES["locale"] == tuple(LANGUAGES)

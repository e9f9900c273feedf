"""Settings, "What was done": for administrators, and for everybody what concerns them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mirada.people.audit import Action, Via
from testing.gallery import Gallery
from tests.webapp.pages.test_explore import HTML
from webapp.pages import audit


@pytest.fixture
def boss(key_of: Any) -> dict[str, str]:
    return dict(key_of("boss", is_administrator=True)) | HTML


def hidden(gallery: Gallery, owner: dict[str, str], boss: dict[str, str]) -> Any:
    image = gallery.upload(headers=owner, is_public="true")
    change = {"is_public": False, "reason": "private words"}
    assert gallery.client.patch(image["url"], json=change, headers=boss).status_code == 200
    return image


def shown(reply: Any) -> str:
    """Return the entries of a page as text."""
    found = re.search(r'<ul class="list card".*?</ul>', reply.text, re.DOTALL)
    return "" if found is None else re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", found.group()))


def test_every_act_and_way_has_words() -> None:
    assert set(audit.ACTIONS) == set(Action)
    assert set(audit.VIAS) == set(Via)


def test_an_administrator_reads_who_did_what_to_whom(
    guarded: Gallery, key_of: Any, boss: dict[str, str]
) -> None:
    ana = key_of("ana") | HTML
    image = hidden(guarded, ana, boss)
    assert 'href="/ui/settings/audit"' in guarded.get("/ui/settings", boss).text
    page = guarded.get("/ui/settings/audit", boss)
    told = shown(page)
    assert f"A picture was hidden: {image['id']}, of ana" in told
    assert "boss, administrator · with a key" in told
    assert "private words" not in page.text
    assert "A user was made: ana" in told


def test_a_list_is_narrowed_by_a_form_without_a_script(
    guarded: Gallery, key_of: Any, boss: dict[str, str]
) -> None:
    hidden(guarded, key_of("ana"), boss)
    address = "/ui/settings/audit"
    narrowed = shown(guarded.get(f"{address}?user=ana&action=image.hide", boss))
    assert "A picture was hidden" in narrowed
    assert "was made" not in narrowed
    assert "Nothing of that kind" in guarded.get(f"{address}?until=2020-01-01", boss).text
    for odd, told in (
        ("user=nobody", "There is no user of this name."),
        ("action=odd", "There is no such action"),
        ("since=odd", 'value="odd"'),
    ):
        page = guarded.get(f"{address}?{odd}", boss)
        assert page.status_code == 200
        assert told in page.text
        assert 'role="alert"' in page.text


def test_a_long_list_goes_on_behind_a_link_with_the_same_filter(
    guarded: Gallery, key_of: Any, boss: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "ENTRIES", 1)
    ana = key_of("ana")
    first, second = hidden(guarded, ana, boss), hidden(guarded, ana, boss)
    page = guarded.get("/ui/settings/audit?action=image.hide", boss)
    assert f"hidden: {second['id']}" in shown(page)
    following = re.search(r'rel="next" href="([^"]+)"', page.text)
    assert following is not None
    last = guarded.get(following.group(1).replace("&amp;", "&"), boss)
    assert f"hidden: {first['id']}" in shown(last)
    assert 'rel="next"' not in last.text


def test_a_user_reads_what_was_done_to_theirs_and_no_name_of_an_administrator(
    guarded: Gallery, key_of: Any, boss: dict[str, str]
) -> None:
    ana, ben = key_of("ana") | HTML, key_of("ben") | HTML
    image = hidden(guarded, ana, boss)
    page = guarded.get("/ui/settings/audit", ana)
    assert f"A picture was hidden: {image['id']} an administrator" in shown(page)
    assert "boss" not in page.text
    assert "hidden" not in shown(guarded.get("/ui/settings/audit", ben))

"""Groups: cards that lead to their pictures, each as the caller may see it; grouping by a button."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from testing.gallery import Gallery
from tests.webapp.pages.test_explore import HTML, tiles
from tests.webapp.test_http_clusters import group, words_for


def cards(text: str) -> dict[str, str]:
    """Return the addresses that the cards of a page lead to, by their names."""
    found = re.findall(r'<h2 dir="auto"><a href="([^"]+)">([^<]+)</a>', text)
    return {name: html.unescape(address) for address, name in found}


def test_a_group_leads_to_its_pictures(gallery: Gallery) -> None:
    words_for(gallery)
    cats = [gallery.upload(degrees=degrees)["id"] for degrees in (0, 4, 8, 2, 6)]
    dogs = [gallery.upload(degrees=degrees)["id"] for degrees in (80, 84, 88)]
    assert "was not grouped yet" in gallery.get("/ui/groups", HTML).text
    group(gallery, kind="themes", k=2)
    text = gallery.get("/ui/groups", HTML).text
    found = cards(text)
    assert list(found) == ["cat", "dog"]
    assert "5 pictures" in text
    assert tiles(gallery.get(found["cat"], HTML).text) == cats[::-1]
    assert tiles(gallery.get(found["dog"], HTML).text) == dogs[::-1]
    assert "since" not in text
    spanish = gallery.get("/ui/groups", HTML | {"Accept-Language": "es"}).text
    assert list(cards(spanish)) == ["gato", "perro"]
    gallery.upload(degrees=1)
    assert "1 picture has come since" in gallery.get("/ui/groups", HTML).text


def test_a_group_is_chosen_among_the_filters(guarded: Gallery, key_of: Any) -> None:
    words_for(guarded)
    admin, ana = key_of("root", is_administrator=True), key_of("ana")
    cats = [guarded.upload(headers=ana, degrees=degrees)["id"] for degrees in (0, 4, 8)]
    dog = guarded.upload(headers=admin, degrees=80)["id"]
    guarded.upload(headers=admin, degrees=84, is_public="true")
    panel = "/ui?part=filters"
    assert 'name="group"' not in guarded.get(panel, ana | HTML).text
    group(guarded, headers=admin, kind="themes", k=2)
    text = guarded.get(panel, ana | HTML).text
    radios = re.findall(r'<input type="radio"[^>]*name="group" value="(\d*)"( checked)?>', text)
    assert [checked for _, checked in radios] == [" checked", "", ""]
    # By name, with an example and what she sees of it.
    names = re.findall(r'<img [^>]*><span dir="auto">(\w+)</span> <span class="soft">(\d+)<', text)
    assert names == [("cat", "3"), ("dog", "1")]
    chosen = radios[1][0]
    shown = guarded.get(f"/ui?group={chosen}", ana | HTML).text
    assert tiles(shown) == cats[::-1]
    assert "Group: cat" in shown
    again = guarded.get(f"{panel}&group={chosen}", ana | HTML).text
    assert re.search(rf'name="group" value="{chosen}" checked', again)
    # One that is in no list of hers stays, and shows nothing of others.
    gone = guarded.get(f"{panel}&group=999999", ana | HTML).text
    assert re.search('name="group" value="999999" checked', gone)
    assert "Of group 999999" in guarded.get("/ui?group=999999", ana | HTML).text
    assert f"/images/{dog}" not in text
    assert 'name="group"' not in guarded.get(panel, HTML).text


def test_near_duplicates_are_called_by_their_picture(gallery: Gallery) -> None:
    twins = [gallery.upload(degrees=d, caption=f"twin {d}")["id"] for d in (10, 10.5)]
    gallery.upload(degrees=60)
    group(gallery, kind="near_duplicates", threshold=0.99)
    found = cards(gallery.get("/ui/groups?kind=near_duplicates", HTML).text)
    ((name, address),) = found.items()
    assert name.startswith("twin")
    assert tiles(gallery.get(address, HTML).text) == twins[::-1]
    assert gallery.get("/ui/groups?kind=colours", HTML).status_code == 422


def test_further_groups_are_a_link_away(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    words_for(gallery)
    monkeypatch.setattr("webapp.pages.groups.GROUPS", 1)
    for degrees in (0, 2, 4, 80, 84):
        gallery.upload(degrees=degrees)
    group(gallery, kind="themes", k=2)
    first = gallery.get("/ui/groups", HTML).text
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following is not None
    second = gallery.get(html.unescape(following[1]), HTML).text
    assert list(cards(first)) == ["cat"]
    assert list(cards(second)) == ["dog"]
    assert 'rel="next"' not in second


def test_only_an_administrator_has_the_library_grouped(guarded: Gallery, key_of: Any) -> None:
    admin, user = key_of("root", is_administrator=True), key_of("ana")
    guarded.upload(headers=user, degrees=0)
    button = '<button class="button" name="kind"'
    assert button in guarded.get("/ui/groups", admin | HTML).text
    assert button not in guarded.get("/ui/groups", user | HTML).text
    form = {"kind": "themes"}
    refused = guarded.client.post("/ui/groups", data=form, headers=user | HTML)
    assert refused.status_code == 403
    sent = guarded.client.post("/ui/groups", data=form, headers=admin | HTML)
    assert (sent.status_code, sent.headers["Location"]) == (303, "/ui/groups?kind=themes")
    assert "is being grouped" in guarded.get("/ui/groups?kind=themes", admin | HTML).text
    assert "is being grouped" not in guarded.get("/ui/groups", user | HTML).text


def test_others_private_pictures_are_in_no_group(guarded: Gallery, key_of: Any) -> None:
    admin, ana, bea = key_of("root", is_administrator=True), key_of("ana"), key_of("bea")
    words_for(guarded)
    for degrees in (0, 3, 6):
        guarded.upload(headers=ana, degrees=degrees, is_public="false", caption="zorbanite")
    for degrees in (80, 84, 88):
        guarded.upload(headers=bea, degrees=degrees, is_public="true")
    group(guarded, admin, kind="themes", k=2)
    assert "cat" in cards(guarded.get("/ui/groups", ana | HTML).text)
    for who in (admin, bea):
        assert list(cards(guarded.get("/ui/groups", who | HTML).text)) == ["dog"]

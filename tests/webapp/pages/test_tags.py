"""The page of one's tags: renamed, joined, taken off and brought back, all of it without a script."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from mirada.batches import batches
from testing.gallery import Gallery
from tests.webapp.pages.test_explore import HTML, tiles
from tests.webapp.pages.test_trash import sent, shown
from webapp.pages import tags


def listed(text: str) -> dict[str, int]:
    """Return the tags of the page with how many pictures have each."""
    found = re.findall(r'<a dir="auto" href="[^"]*">([^<]*)</a> <span class="soft">(\d+) p', text)
    return {unescape(name): int(count) for name, count in found}


def tags_of(gallery: Gallery, image_id: int, who: dict[str, str]) -> list[str]:
    return list(gallery.get(f"/api/v1/images/{image_id}", who).get_json()["tags"])


def test_a_tag_is_renamed_joined_and_brought_back(guarded: Gallery, key_of: Any) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    first = guarded.upload(headers=ana, tags="kat, sky")["id"]
    second = guarded.upload(headers=ana, tags="cat")["id"]
    theirs = guarded.upload(headers=ben, tags="kat", is_public="true")["id"]
    text = shown(guarded, "/ui/tags", HTML | ana)
    assert listed(text) == {"cat": 1, "kat": 1, "sky": 1}
    (address,) = re.findall(r'href="([^"]+)">kat</a>', text)
    assert tiles(shown(guarded, unescape(address), HTML | ana)) == [first]
    form = shown(guarded, "/ui/tags/one?name=kat", HTML | ana)
    assert 'value="kat"' in form
    led = sent(guarded, "/ui/tags/one?name=kat", HTML | ana, to="Cat")
    after = shown(guarded, led, HTML | ana)
    assert listed(after) == {"cat": 2, "sky": 1} or listed(after) == {"Cat": 2, "sky": 1}
    assert "kat is called Cat now." in after
    assert tags_of(guarded, theirs, ben) == ["kat"]
    # The way back is its sender's.
    (token,) = re.findall(r'name="token" value="([^"]+)"', after)
    assert "is called" not in shown(guarded, led, HTML | ben)
    assert (
        guarded.client.post("/ui/tags/undo", data={"token": token}, headers=HTML | ben).status_code
        == 404
    )
    back = shown(guarded, sent(guarded, "/ui/tags/undo", HTML | ana, token=token), HTML | ana)
    assert "Undone on 1 picture." in back
    assert (tags_of(guarded, first, ana), tags_of(guarded, second, ana)) == (
        ["kat", "sky"],
        ["cat"],
    )


def test_a_tag_is_taken_off_and_put_back(gallery: Gallery) -> None:
    ids = [gallery.upload(tags="old, sky")["id"] for _ in range(2)]
    text = shown(gallery, sent(gallery, "/ui/tags/one/remove?name=old"))
    assert listed(text) == {"sky": 2}
    assert "old was taken off." in text
    (token,) = re.findall(r'name="token" value="([^"]+)"', text)
    assert "Undone on 2 pictures." in shown(gallery, sent(gallery, "/ui/tags/undo", token=token))
    assert [tags_of(gallery, each, {}) for each in ids] == [["old", "sky"]] * 2


def test_many_are_renamed_by_a_job_that_is_told(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "AT_ONCE", 1)
    for _ in range(2):
        gallery.upload(tags="kat")
    text = shown(gallery, sent(gallery, "/ui/tags/one?name=kat", to="cat"))
    assert "Activity shows how far it is." in text
    assert listed(text) == {"kat": 2}


@pytest.mark.parametrize("name", ["<b>&\"'", "a/b#c?d", "\u05e9\u05dc\u05d5\u05dd", "😀", "100 %"])
def test_odd_names_are_shown_and_renamed(gallery: Gallery, name: str) -> None:
    image = gallery.upload()["id"]
    gallery.client.put(f"/api/v1/images/{image}/tags", json={"tags": [name]})
    text = shown(gallery, "/ui/tags")
    assert listed(text) == {name: 1}
    (address,) = re.findall(r'href="(/ui/tags/one[^"]+)"', text)
    sent(gallery, address, to="plain")
    assert tags_of(gallery, image, {}) == ["plain"]


@pytest.mark.parametrize("to", ["", " ", "\u200b", "x" * 101])
def test_what_is_no_tag_is_refused_and_kept(gallery: Gallery, to: str) -> None:
    gallery.upload(tags="kat")
    reply = gallery.client.post("/ui/tags/one?name=kat", data={"to": to}, headers=HTML)
    assert reply.status_code == 422
    assert 'role="alert"' in reply.text
    assert listed(shown(gallery, "/ui/tags")) == {"kat": 1}


def test_a_tag_that_one_has_not_is_no_page(guarded: Gallery, key_of: Any) -> None:
    ana = key_of("ana")
    guarded.upload(headers=key_of("ben"), tags="kat", is_public="true")
    assert guarded.get("/ui/tags/one?name=kat", HTML | ana).status_code == 404
    assert guarded.get("/ui/tags/one", HTML | ana).status_code == 400
    assert "You have none yet" in shown(guarded, "/ui/tags", HTML | ana)


def test_further_tags_are_a_link_away(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "TAGS", 2)
    gallery.upload(tags="a, b, c, ca")
    first = shown(gallery, "/ui/tags")
    (following,) = re.findall(r'rel="next" href="([^"]+)"', first)
    assert list(listed(first)) + list(listed(shown(gallery, unescape(following)))) == [
        "a",
        "b",
        "c",
        "ca",
    ]
    assert list(listed(shown(gallery, "/ui/tags?q=C"))) == ["c", "ca"]
    assert "None of your tags begins so." in shown(gallery, "/ui/tags?q=x")

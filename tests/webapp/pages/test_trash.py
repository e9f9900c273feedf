"""Deleting on pages: into the trash with a way back, and what is in it; all of it without a script."""

from __future__ import annotations

import re
from html import escape, unescape
from typing import Any

import pytest

from testing.gallery import Gallery, files_in
from tests.webapp.pages.test_explore import HTML
from tests.webapp.pages.test_settings import forms
from webapp.pages import trash

UNDO = re.compile(r'action="([^"]+/restore[^"]*)"')


def shown(gallery: Gallery, address: str, who: dict[str, str] = HTML) -> str:
    reply = gallery.get(address, HTML | who)
    assert reply.status_code == 200, reply.text
    return str(reply.text)


def sent(gallery: Gallery, address: str, who: dict[str, str] = HTML, **fields: Any) -> str:
    """Send a form and return where it leads."""
    reply = gallery.client.post(unescape(address), data=fields, headers=HTML | who)
    assert reply.status_code == 303, reply.text
    return str(reply.location)


def status(gallery: Gallery, image: dict[str, Any], who: dict[str, str] | None = None) -> int:
    return int(gallery.get(image["url"], who).status_code)


def thrown_away(gallery: Gallery, who: dict[str, str] = HTML) -> list[int]:
    """Return what the page of the trash shows."""
    found = re.findall(r'action="/ui/trash/(\d+)/restore', shown(gallery, "/ui/trash", who))
    return [int(each) for each in found]


def test_a_picture_is_deleted_from_its_page_and_comes_back_by_undo(gallery: Gallery) -> None:
    image = gallery.upload(caption="<b>a cat</b>")
    gallery.upload()
    page = f"/ui/images/{image['id']}"
    assert f'action="{page}/delete?sort=oldest&amp;mine=true"' in shown(
        gallery, f"{page}?sort=oldest&mine=true"
    )

    there = sent(gallery, f"{page}/delete?sort=oldest&mine=true")

    assert there == f"/ui?sort=oldest&mine=true&trashed={image['id']}"
    assert status(gallery, image) == 404
    text = shown(gallery, there)
    assert "Moved to the trash." in text
    assert f"<bdi>{escape('<b>a cat</b>')}</bdi>" in text
    assert f'id="i{image["id"]}"' not in text
    # Neither the next search nor a picture of the list has the line in its address.
    assert text.count("trashed=") == text.count(f'name="back" value="{escape(there)}"')
    # Sent twice, as by two clicks, it is no mistake.
    assert sent(gallery, f"{page}/delete?sort=oldest&mine=true") == there
    (undo,) = UNDO.findall(text)
    for _ in range(2):
        assert sent(gallery, undo) == f"/ui?sort=oldest&mine=true#i{image['id']}"
    assert status(gallery, image) == 200
    assert "Moved to the trash." not in shown(gallery, there)


def test_the_trash_shows_what_was_deleted_and_gives_it_back(gallery: Gallery) -> None:
    assert "The trash is empty." in shown(gallery, "/ui/trash")
    assert 'href="/ui/trash"' in shown(gallery, "/ui/about")
    image = gallery.upload(caption="a dog")
    gallery.client.delete(image["url"])
    text = shown(gallery, "/ui/trash")
    listed = gallery.get("/api/v1/images?trash=true").get_json()["results"][0]
    assert "a dog" in text
    assert listed["picture"]["src"]["320"] in text
    assert listed["gone_at"][:19] in text
    assert "for 30 days" in text

    there = sent(gallery, f"/ui/trash/{image['id']}/restore")

    text = shown(gallery, there)
    assert "It is back, as it was." in text
    assert f'href="/ui/images/{image["id"]}"' in text
    assert "The trash is empty." in text
    assert status(gallery, image) == 200
    # In another tab it was restored already.
    assert sent(gallery, f"/ui/trash/{image['id']}/restore") == there


def test_erasing_asks_first_and_spares_what_was_restored_meanwhile(gallery: Gallery) -> None:
    gone, kept = (gallery.upload(caption=name) for name in ("gone", "kept"))
    for each in (gone, kept):
        gallery.client.delete(each["url"])
    ask = f"/ui/trash/{gone['id']}/erase"
    assert f'href="{ask}"' in shown(gallery, "/ui/trash")
    assert f'<form method="post" action="{ask}"' in shown(gallery, ask)
    assert thrown_away(gallery) == [kept["id"], gone["id"]]

    files = files_in(gallery.runtime.settings.image_dir)
    assert "It is gone for good." in shown(gallery, sent(gallery, ask, sure="1"))
    assert len(files_in(gallery.runtime.settings.image_dir)) == len(files) - 1

    assert thrown_away(gallery) == [kept["id"]]
    assert gallery.client.post(f"{gone['url']}/restore").status_code == 404
    assert gallery.get(ask, HTML).status_code == 404
    gallery.client.post(f"{kept['url']}/restore")
    assert sent(gallery, f"/ui/trash/{kept['id']}/erase", sure="1") == "/ui/trash"
    assert status(gallery, kept) == 200


def test_the_trash_is_emptied_after_a_question(gallery: Gallery) -> None:
    assert gallery.get("/ui/trash/empty", HTML).location == "/ui/trash"
    images = [gallery.upload() for _ in range(2)]
    for each in images:
        gallery.client.delete(each["url"])
    assert 'href="/ui/trash/empty"' in shown(gallery, "/ui/trash")
    text = shown(gallery, "/ui/trash/empty")
    assert "2 pictures are gone for good" in text
    assert len(thrown_away(gallery)) == 2
    assert sent(gallery, "/ui/trash/empty", **forms(text, "/ui/trash/empty")) == "/ui/trash"
    assert "The trash is empty." in shown(gallery, "/ui/trash")
    assert gallery.client.post(f"{images[0]['url']}/restore").status_code == 404


def test_a_long_trash_goes_on_behind_a_link(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash, "PICTURES", 2)
    ids = [gallery.upload()["id"] for _ in range(5)]
    for each in ids:
        gallery.client.delete(f"/api/v1/images/{each}")
    address, seen = "/ui/trash", []
    while True:
        text = shown(gallery, address)
        acts = re.findall(r'action="(/ui/trash/(\d+)/restore[^"]*)"', text)
        seen += [int(number) for _, number in acts]
        following = re.search(r'rel="next" href="([^"]+)"', text)
        if following is None:
            break
        address = unescape(following[1])
    assert seen == ids[::-1]
    # What is restored on a later page leads back to it, and to the first one where it was the last.
    assert sent(gallery, acts[-1][0]).startswith(f"{address}&restored=")
    assert gallery.get(address, HTML).location == "/ui/trash"
    assert gallery.get("/ui/trash?cursor=nonsense", HTML).status_code == 422


def test_nobody_sees_deletes_restores_or_erases_what_is_anothers(
    guarded: Gallery, key_of: Any
) -> None:
    ana, boss = key_of("ana") | HTML, key_of("boss", is_administrator=True) | HTML
    public = guarded.upload(headers=ana, is_public="true", caption="secret lighthouse")
    page = f"/ui/images/{public['id']}"
    assert f"{page}/delete" in shown(guarded, page, ana)
    assert f"{page}/delete" not in shown(guarded, page, boss)
    assert guarded.client.post(f"{page}/delete", headers=boss).status_code == 404
    assert status(guarded, public, ana) == 200
    there = sent(guarded, f"{page}/delete", ana)
    for address in (there, "/ui/trash", f"/ui/trash?restored={public['id']}"):
        text = shown(guarded, address, boss)
        assert "lighthouse" not in text
        assert "Moved to the trash." not in text
        assert "It is back" not in text
    for address in (f"{page}/restore", f"/ui/trash/{public['id']}/restore"):
        assert guarded.client.post(address, headers=boss).status_code == 404
    ask = f"/ui/trash/{public['id']}/erase"
    assert guarded.get(ask, boss).status_code == 404
    assert sent(guarded, ask, boss, sure="1") == "/ui/trash"
    sent(guarded, "/ui/trash/empty", boss)
    assert thrown_away(guarded, boss) == []
    assert thrown_away(guarded, ana) == [public["id"]]
    for address in ("/ui/trash", "/ui/trash/empty", ask):
        assert guarded.get(address, HTML).status_code in (303, 401)


def test_where_there_is_a_trash_the_address_of_the_question_leads_to_the_picture(
    gallery: Gallery,
) -> None:
    page = f"/ui/images/{gallery.upload()['id']}"
    assert gallery.get(f"{page}/delete", HTML).location == page

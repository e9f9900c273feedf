"""Packs as pages, all of it without a script: the list, one of them, what its forms do and undo."""

from __future__ import annotations

import re
import zipfile
from html import unescape
from io import BytesIO
from typing import Any

import pytest
from markupsafe import escape

from testing.gallery import Gallery, as_upload
from testing.odd_library import EMOJI, LONG, MARKUP, RIGHT_TO_LEFT, without_direction
from testing.pictures import picture
from tests.webapp.pages.test_explore import HTML
from tests.webapp.pages.test_settings import forms
from webapp.pages import pack_view, packs
from workers.runner import run_job

API = "/api/v1/packs"


def shown(gallery: Gallery, address: str, who: dict[str, str] = HTML) -> str:
    reply = gallery.get(unescape(address), HTML | who)
    assert reply.status_code == 200, reply.text
    return str(reply.text)


def sent(gallery: Gallery, address: str, who: dict[str, str] = HTML, **fields: Any) -> Any:
    """Send a form, and return the reply."""
    return gallery.client.post(unescape(address), data=fields, headers=HTML | who, buffered=True)


def led(gallery: Gallery, address: str, who: dict[str, str] = HTML, **fields: Any) -> str:
    """Send a form, and return the page that it leads to."""
    reply = sent(gallery, address, who, **fields)
    assert reply.status_code == 303, reply.text
    return shown(gallery, reply.location, who)


def filled(text: str, action: str) -> dict[str, str]:
    """Return all that a browser sends of the form that is sent there."""
    (form,) = re.findall(
        rf'<form method="post"(?: action="{re.escape(action)}"| class="card fields").*?</form>',
        text,
        re.S,
    )
    fields = dict(re.findall(r'<input [^>]*?name="([\w-]+)"[^>]*? value="([^"]*)"', form))
    fields |= dict(re.findall(r'<textarea [^>]*name="(\w+)"[^>]*>(.*?)</textarea>', form, re.S))
    fields["is_public"] = "1" if "selected" in form else "0"
    return {name: unescape(value) for name, value in fields.items()}


def packed(gallery: Gallery, *ids: int, **fields: Any) -> str:
    """Return the address of the page of a new pack with these pictures."""
    made = gallery.client.post(API, json={"title": "Cats", **fields}).get_json()
    if ids:
        gallery.client.post(made["images_url"], json={"image_ids": ids})
    return f"/ui/packs/{made['id']}"


def order(text: str) -> list[int]:
    """Return the pictures of a pack's page in their order."""
    return [int(each) for each in re.findall(r'<li class="member" id="i(\d+)"', text)]


def undo(gallery: Gallery, text: str) -> str:
    """Press Undo on a page, and return the page that it leads to."""
    (action,) = re.findall(
        r'<form method="post" action="([^"]+)" data-stay>(?:(?!</form>).)*id="undo"', text, re.S
    )
    fields = forms(text, unescape(action))
    return led(gallery, action, **{name: unescape(value) for name, value in fields.items()})


@pytest.fixture
def ids(gallery: Gallery) -> list[int]:
    return [gallery.upload(caption=f"cat {n}", degrees=float(n))["id"] for n in range(5)]


def test_packs_are_listed_with_what_is_in_them(
    gallery: Gallery, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "There is no pack here yet." in shown(gallery, "/ui/packs")
    packed(gallery, *ids, title="Five")
    packed(gallery, ids[2], title=MARKUP, is_public=True)
    packed(gallery, title="Stills", query={"filter": {"kind": "still"}})
    text = shown(gallery, "/ui/packs")
    assert re.findall(r'data-count="(\d)"', text) == ["4", "1", "4"]
    assert str(escape(MARKUP)) in text
    assert "5 pictures" in text
    assert "Fills itself" in text
    only = shown(gallery, "/ui/packs?show=public")
    assert (str(escape(MARKUP)) in only, "Five" in only) == (True, False)
    assert "Five" in shown(gallery, "/ui/packs?show=mine&title=FIV")
    assert "No pack has this in its title." in shown(gallery, "/ui/packs?title=nobody")
    monkeypatch.setattr(packs, "PACKS", 2)
    text = shown(gallery, "/ui/packs?show=mine")
    assert "Five" not in text
    (following,) = re.findall(r'rel="next" href="([^"]+)"', text)
    assert "Five" in shown(gallery, following)
    assert gallery.get("/ui/packs?show=odd", HTML).location == "/ui/packs"


def test_a_pack_is_made_changed_and_deleted_after_a_question(gallery: Gallery) -> None:
    form = filled(shown(gallery, "/ui/packs/new"), "/ui/packs/new")
    reply = sent(gallery, "/ui/packs/new", **form | {"title": " Happy  cats ", "is_public": "1"})
    again = sent(gallery, "/ui/packs/new", **form | {"title": " Happy  cats ", "is_public": "1"})
    # Sent twice, as by two clicks, it is one pack.
    assert reply.location == again.location
    page = reply.location
    text = shown(gallery, page)
    assert '<h1 dir="auto">Happy cats</h1>' in text
    assert "The pack is empty." in text
    change = filled(text, f"{page}/change")
    assert change["title"] == "Happy cats"
    new = {"title": "Dogs", "description": "Two\nlines", "is_public": "0", "theme": "Dogs"}
    text = led(gallery, f"{page}/change", **change | new)
    assert "Saved." in text
    told = gallery.get(f"{API}/{page.split('/')[-1]}").get_json()
    assert (told["title"], told["description"], told["is_public"], told["theme"]) == (
        *("Dogs", "Two\nlines", False),
        "dogs",
    )
    assert f'href="{page}/delete"' in text
    ask = shown(gallery, f"{page}/delete")
    assert "The pictures stay." in ask
    assert "The pack is gone." in led(gallery, f"{page}/delete", **forms(ask, f"{page}/delete"))
    assert gallery.get(page, HTML).status_code == 404


def test_what_another_tab_changed_is_not_overwritten_and_what_was_typed_stays(
    gallery: Gallery, ids: list[int]
) -> None:
    page = packed(gallery, ids[0])
    form = filled(shown(gallery, page), f"{page}/change")
    gallery.client.patch(API + page[9:], json={"title": "Of another tab"})
    reply = sent(gallery, f"{page}/change", **form | {"title": "Mine & yours"})
    assert reply.status_code == 412
    assert "was changed meanwhile" in reply.text
    assert '<h1 dir="auto">Of another tab</h1>' in reply.text
    assert str(escape("Mine & yours")) in reply.text
    # Saved again, it counts.
    assert "Mine &amp; yours</h1>" in led(
        gallery, f"{page}/change", **filled(reply.text, f"{page}/change")
    )


@pytest.mark.parametrize("title", [LONG, "  "])
def test_a_title_that_is_none_is_refused_and_stays_as_typed(gallery: Gallery, title: str) -> None:
    for address in ("/ui/packs/new", packed(gallery)):
        action = address if address.endswith("new") else f"{address}/change"
        form = filled(shown(gallery, address), action)
        reply = sent(gallery, action, **form | {"title": title, "theme": "kept"})
        assert reply.status_code == 422
        assert "A title is one line of 1 to 150 characters." in reply.text
        assert f'value="{title}"' in reply.text
        assert 'value="kept"' in reply.text
    assert gallery.get(API).get_json()["results"][0]["title"] == "Cats"


def test_pictures_move_by_their_buttons(gallery: Gallery, ids: list[int]) -> None:
    a, b, c, *_ = ids
    page = packed(gallery, a, b, c)
    text = shown(gallery, page)
    assert order(text) == [a, b, c]
    assert text.count('name="to" value="2"') == 2
    text = led(gallery, f"{page}/images/{a}", do="move", to="2")
    assert order(text) == [b, a, c]
    assert "It is at place 2 now." in text
    # Past the ends it stays at the end.
    assert order(led(gallery, f"{page}/images/{b}", do="move", to="0")) == [b, a, c]
    assert order(led(gallery, f"{page}/images/{b}", do="move", to="99")) == [a, c, b]
    assert sent(gallery, f"{page}/images/{b}", do="move", to="x").status_code == 400
    assert sent(gallery, f"{page}/images/{b}", do="odd").status_code == 400
    # A script gets the parts that changed, and nothing around them.
    part = gallery.client.post(f"{page}/images/{b}?part=1", data={"do": "move", "to": "1"})
    assert order(part.text) == [b, a, c]
    assert "<html" not in part.text


def test_a_removed_picture_comes_back_to_its_place_with_its_emojis(
    gallery: Gallery, ids: list[int]
) -> None:
    a, b, c, *_ = ids
    page = packed(gallery, a, b, c)
    assert "😀 🐱" in led(gallery, f"{page}/images/{b}/emojis", emojis="😀, 🐱")
    assert "Cover</span>" in led(gallery, f"{page}/images/{b}", do="cover")
    text = led(gallery, f"{page}/images/{b}", do="remove")
    assert order(text) == [a, c]
    assert "1 picture was taken out of the pack." in text
    # In another tab it was taken out already.
    assert order(led(gallery, f"{page}/images/{b}", do="remove")) == [a, c]
    text = undo(gallery, text)
    assert order(text) == [a, b, c]
    assert "😀 🐱" in text
    assert "Cover</span>" in text
    assert 'id="undo"' not in text


def test_what_is_no_emoji_is_refused_beside_its_field(gallery: Gallery, ids: list[int]) -> None:
    page = packed(gallery, ids[0])
    reply = sent(gallery, f"{page}/images/{ids[0]}/emojis", emojis="😀 <b>")
    assert reply.status_code == 422
    assert str(escape("😀 <b>")) in reply.text
    assert str(escape("'<b>' is not one emoji.")) in reply.text


def test_suggestions_are_taken_or_not_and_that_is_undone(gallery: Gallery, ids: list[int]) -> None:
    page = packed(gallery, *ids[:2], theme="cats")
    text = shown(gallery, page)
    suggested = re.findall(rf'action="({page}/suggestions/(\d+))"', text)
    assert {int(number) for _, number in suggested} == set(ids[2:])
    (first, number), (second, other), *_ = suggested
    text = led(gallery, first, accepted="1")
    assert order(text) == [*ids[:2], int(number)]
    assert "It is in the pack." in text
    assert order(undo(gallery, text)) == ids[:2]
    text = led(gallery, second, accepted="0")
    assert "It is not suggested again." in text
    assert f'action="{second}"' not in text
    assert f'action="{second}"' in undo(gallery, text)
    assert other
    assert "Nothing is known yet" in shown(gallery, packed(gallery))


def test_a_title_that_was_suggested_is_taken_and_given_back(gallery: Gallery) -> None:
    page = packed(gallery, title="Before & after")
    text = led(gallery, f"{page}/title", title="Suggested")
    assert '<h1 dir="auto">Suggested</h1>' in text
    assert "Before &amp; after</h1>" in undo(gallery, text)


def test_an_export_is_checked_mended_and_downloaded(gallery: Gallery, ids: list[int]) -> None:
    page = packed(gallery, *ids[:3])
    text = shown(gallery, f"{page}?export=whatsapp")
    assert "3 things keep it from being exported:" in text
    refused = sent(gallery, f"{page}/export", format="whatsapp")
    assert refused.status_code == 409
    assert "WhatsApp asks for an emoji of each sticker." in refused.text
    for each in ids[:3]:
        assert f'name="emojis-{each}"' in text
    wrong = {f"emojis-{ids[0]}": "😀", f"emojis-{ids[1]}": "no"}
    reply = sent(gallery, f"{page}/emojis", export="whatsapp", **wrong)
    assert reply.status_code == 422
    assert 'value="no" aria-invalid="true"' in reply.text
    assert 'value="😀"' in reply.text
    given = {f"emojis-{each}": "😀" for each in ids[:2]}
    text = led(gallery, f"{page}/emojis", export="whatsapp", **given)
    assert "1 thing keeps it from being exported:" in text
    text = led(gallery, f"{page}/emojis", export="whatsapp", **{f"emojis-{ids[2]}": "🐱"})
    assert "3 stickers, all well." in text
    reply = sent(gallery, f"{page}/export", format="whatsapp")
    assert reply.headers["Content-Disposition"].endswith("filename=Cats.zip")
    with zipfile.ZipFile(BytesIO(reply.data)) as files:
        assert "tray.png" in files.namelist()
    assert order(shown(gallery, page)) == ids[:3]
    assert gallery.get(f"{page}?export=odd", HTML).status_code == 400


def test_a_picture_that_keeps_a_pack_from_being_exported_is_taken_out_there(
    gallery: Gallery, ids: list[int]
) -> None:
    film = as_upload(picture(70, "GIF", frames=3), "film.gif", "image/gif")
    reply = gallery.client.post("/api/v1/images", data={"file": film})
    moving = reply.get_json()["id"]
    page = packed(gallery, *ids[:3], moving)
    text = shown(gallery, f"{page}?export=telegram")
    assert "takes animations as videos" in text
    assert f'formaction="{page}/images/{moving}" name="do" value="remove"' in text
    assert "of still or of moving stickers" in shown(gallery, f"{page}?export=whatsapp")


def test_a_pack_that_fills_itself_leads_to_its_search(gallery: Gallery, ids: list[int]) -> None:
    search = "/ui/packs/new?q=cat+-dog&kind=still&mine=true"
    text = shown(gallery, search)
    assert "The pack fills itself" in text
    form = (
        forms(text, search) if f'action="{search}"' in text else {"title": "cat", "is_public": "0"}
    )
    reply = sent(gallery, search, **form)
    assert reply.status_code == 303, reply.text
    query = gallery.get(API).get_json()["results"][0]["query"]
    assert (query["text"], query["syntax"]) == ("cat -dog", "signs")
    assert query["filter"] == {"kind": "still", "owner": [1]}
    text = shown(gallery, reply.location)
    assert 'href="/ui?kind=still&amp;owner=1&amp;q=cat+-dog"' in text
    page = packed(gallery, title="Stills", query={"filter": {"kind": "still"}})
    text = shown(gallery, page)
    assert order(text) == ids[::-1]
    for act in ("/images/", "/suggestions/"):
        assert f'action="{page}{act}' not in text
    assert sent(gallery, f"{page}/images/{ids[0]}", do="move", to="1").status_code == 409
    # What has no such search is said before it is made.
    assert "not by this mixture" in shown(gallery, f"/ui/packs/new?q=cat&plus={ids[0]}")
    alone = sent(gallery, f"/ui/packs/new?plus={ids[0]}", title="Like it", is_public="0")
    assert f'href="/ui?plus={ids[0]}"' in shown(gallery, alone.location)


def test_a_long_pack_goes_on_behind_a_link(
    gallery: Gallery, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_view, "PICTURES", 2)
    page = packed(gallery, *ids)
    seen, places, address = [], [], page
    while True:
        text = shown(gallery, address)
        seen += order(text)
        places += re.findall(r'data-place="(\d+)"', text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        if following is None:
            break
        address = following[1]
    assert seen == ids
    assert places == ["1", "2", "3", "4", "5"]
    # A form on a later page leads back to it.
    (action, *_) = re.findall(rf'action="({page}/images/{ids[4]}\?[^"]+)"', text)
    assert order(led(gallery, action, do="move", to="5")) == [ids[4]]


def test_odd_titles_stand_as_they_were_written(gallery: Gallery, ids: list[int]) -> None:
    for title in (MARKUP, RIGHT_TO_LEFT, EMOJI[:150]):
        page = packed(gallery, ids[0], title=title, description=title)
        text = shown(gallery, page)
        assert text.count(str(escape(title))) >= 3
        assert without_direction(text) == []
        assert str(escape(title)) in shown(gallery, f"{page}/delete")
    assert without_direction(shown(gallery, "/ui/packs")) == []


def test_others_see_a_public_pack_and_change_nothing(guarded: Gallery, key_of: Any) -> None:
    ana, ben = (key_of(name) for name in ("ana", "ben"))
    seen, hidden = (
        guarded.upload(headers=ana, is_public=public, caption=f"public {public}")["id"]
        for public in ("true", "false")
    )
    ids = {}
    for title, is_public in (("Open", True), ("Closed", False)):
        made = guarded.client.post(API, json={"title": title, "is_public": is_public}, headers=ana)
        guarded.client.post(
            made.get_json()["images_url"], json={"image_ids": [hidden, seen]}, headers=ana
        )
        ids[title] = made.get_json()["id"]
    assert "Closed" in shown(guarded, "/ui/packs", ana)
    page = f"/ui/packs/{ids['Open']}"
    for who in (ben, {}):
        text = shown(guarded, "/ui/packs", who)
        assert ("Open" in text, "Closed" in text) == (True, False)
        text = shown(guarded, page, who)
        assert order(text) == [seen]
        assert 'method="post" action="/ui/packs' not in text.split('id="export"')[0]
        assert guarded.get(f"/ui/packs/{ids['Closed']}", HTML | who).status_code == 404
    assert sent(guarded, f"{page}/images/{seen}", ben, do="remove").status_code == 404
    assert sent(guarded, f"{page}/change", ben, title="x", version="1").status_code == 404
    assert sent(guarded, f"{page}/delete", ben).status_code == 404
    assert sent(guarded, f"{page}/export", ben, format="originals").status_code == 200
    assert sent(guarded, f"{page}/export", {}, format="originals").status_code == 401
    assert "/ui/sign-in" in guarded.get("/ui/packs/new", HTML).location
    assert order(shown(guarded, page, ana)) == [hidden, seen]


def test_explore_saves_what_it_shows_and_filters_by_pack(gallery: Gallery, ids: list[int]) -> None:
    text = shown(gallery, "/ui?q=cat&kind=still")
    assert 'href="/ui/packs/new?kind=still&amp;q=cat"' in text or (
        'href="/ui/packs/new?q=cat&amp;kind=still"' in text
    )
    # Everything is no search, and a mixture fills no pack.
    for address in ("/ui", f"/ui?q=cat&plus={ids[0]}"):
        assert "/ui/packs/new" not in shown(gallery, address)
    packed(gallery, *ids[:2], title=MARKUP)
    text = shown(gallery, "/ui?pack=1&filters=true")
    assert f"In the pack: {escape(MARKUP)}" in text
    assert re.search(rf'<option value="1"[^>]*selected[^>]*>{re.escape(str(escape(MARKUP)))}', text)
    assert "2 pictures" in text
    assert "In pack 999" in shown(gallery, "/ui?pack=999")


def test_a_pictures_page_tells_its_packs_and_puts_it_in_and_out(
    gallery: Gallery, ids: list[int]
) -> None:
    page = f"/ui/images/{ids[0]}"
    into = packed(gallery, ids[1], title=RIGHT_TO_LEFT)
    packed(gallery, title="Filled", query={"filter": {"kind": "still"}})
    text = shown(gallery, page)
    assert f'href="{into}"' not in text
    assert re.findall(r'<option value="(\d+)">', text) == [into.split("/")[-1]]
    text = led(gallery, f"{page}/packs", pack=into.split("/")[-1])
    assert f'href="{into}" dir="auto">{RIGHT_TO_LEFT}</a>' in text
    assert without_direction(text) == []
    assert order(shown(gallery, into)) == [ids[1], ids[0]]
    text = led(gallery, f"{page}/packs/remove", pack=into.split("/")[-1])
    assert "It was taken out of the pack." in text
    assert order(shown(gallery, into)) == [ids[1]]
    token = re.findall(r'name="token" value="([^"]+)"', text)[0]
    text = led(gallery, f"{page}/packs/undo", token=token)
    assert "It was taken out of the pack." not in text
    assert order(shown(gallery, into)) == [ids[1], ids[0]]
    new = f"/ui/packs/new?picture={ids[0]}"
    assert f'href="{new}"' in text
    made = sent(gallery, new, title="One", is_public="0").location
    assert order(shown(gallery, made)) == [ids[0]]
    # A script gets the section alone.
    part = gallery.client.post(
        f"{page}/packs/remove?part=1&section=packs", data={"pack": made.split("/")[-1]}
    )
    assert part.text.lstrip().startswith('<section id="packs"')
    assert "Undo" in part.text


def test_nobody_is_told_of_packs_that_they_do_not_see(guarded: Gallery, key_of: Any) -> None:
    ana, ben = (key_of(name) for name in ("ana", "ben"))
    image = guarded.upload(headers=ana, is_public="true")["id"]
    for title, is_public in (("Open", True), ("Closed", False)):
        made = guarded.client.post(API, json={"title": title, "is_public": is_public}, headers=ana)
        inside = {"image_ids": [image]}
        guarded.client.post(made.get_json()["images_url"], json=inside, headers=ana)
    page = f"/ui/images/{image}"
    for who in (ben, {}):
        text = shown(guarded, page, who)
        assert (">Open</a>" in text, ">Closed</a>" in text) == (True, False)
        assert f'action="{page}/packs/remove' not in text
    assert ">Closed</a>" in shown(guarded, page, ana)
    assert sent(guarded, f"{page}/packs", ben, pack="1").status_code == 404
    assert sent(guarded, f"{page}/packs/remove", ben, pack="1").status_code == 404


def test_what_went_out_comes_in_again_with_what_was_not_taken(
    gallery: Gallery, ids: list[int]
) -> None:
    page = packed(gallery, *ids[:3], title=RIGHT_TO_LEFT)
    led(gallery, f"{page}/images/{ids[1]}/emojis", emojis="😀")
    content = sent(gallery, f"{page}/export", format="originals").data
    with zipfile.ZipFile(whole := BytesIO(content), "a") as files:
        files.writestr("broken.png", b"\x89PNG\r\n\x1a\nno picture")
    form = shown(gallery, "/ui/packs/new")
    fields = forms(form, "/ui/packs/import")
    reply = sent(
        gallery,
        "/ui/packs/import",
        file=as_upload(whole.getvalue(), "cats.zip", "application/zip"),
        is_public="0",
        **fields,
    )
    assert reply.status_code == 200, reply.text
    assert "3 pictures are in the pack." in reply.text
    assert without_direction(reply.text) == []
    (new,) = re.findall(r'class="button main" href="(/ui/packs/\d+)"', reply.text)
    text = shown(gallery, new)
    assert order(text) == ids[:3]
    assert "😀" in text
    refused = sent(
        gallery, "/ui/packs/import", file=as_upload(b"no", "a.zip", "application/zip"), once="zip-2"
    )
    assert refused.status_code in (415, 422)
    assert "Send the pack as a ZIP" in refused.text


def test_a_pack_that_is_too_large_to_wait_for_is_made_by_a_job(
    gallery: Gallery, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = packed(gallery, *ids[:3])
    monkeypatch.setattr("mirada.packs.exporting.MOST_ORIGINALS", 2)
    reply = sent(gallery, f"{page}/export", format="originals")
    assert reply.status_code == 409
    assert f'action="{page}/exports"' in reply.text
    there = sent(gallery, f"{page}/exports", format="originals").location
    text = shown(gallery, there)
    assert "is not done yet" in text
    job_id = int(re.findall(r"made=(\d+)", there)[0])
    assert run_job(gallery.runtime, job_id)
    text = shown(gallery, there)
    assert "The ZIP is ready." in text
    (address,) = re.findall(r'class="button main" href="(/api/v1/packs/exports/\d+)"', text)
    with zipfile.ZipFile(BytesIO(gallery.get(address).data)) as files:
        assert len(files.namelist()) == 4
    # Another one's, or nobody's, is not spoken of.
    assert "The ZIP" not in shown(gallery, f"{page}?made=999999")

"""What people write stands on every page as text, in its own direction."""

from __future__ import annotations

from html import unescape
from typing import Any

from testing.gallery import Gallery, as_upload
from testing.odd_library import MARKUP, RIGHT_TO_LEFT, fill, odd_addresses, without_direction
from testing.pictures import picture
from tests.webapp.pages.test_explore import HTML


def test_odd_texts_are_text_in_their_own_direction_on_every_page(gallery: Gallery) -> None:
    ids, seen = fill(gallery), ""
    for address in odd_addresses(ids):
        reply = gallery.get(address, HTML)
        assert reply.status_code == 200, (address, reply.text)
        assert "<img src=x" not in reply.text, address
        assert "<script>alert" not in reply.text, address
        assert " 49 %(num)s" not in unescape(reply.text), address
        assert without_direction(reply.text) == [], address
        seen += reply.text
    assert RIGHT_TO_LEFT in seen
    assert MARKUP in unescape(seen)


def test_names_of_files_keys_and_users_have_their_direction(gallery: Gallery) -> None:
    file = as_upload(picture(1), f"{RIGHT_TO_LEFT}.png")
    broken = as_upload(b"no picture", f"{MARKUP.replace('/', '')}{RIGHT_TO_LEFT}.png")
    told = gallery.client.post("/ui/add", data={"file": [file, broken]}, headers=HTML).text
    assert without_direction(told) == []
    assert RIGHT_TO_LEFT in told
    assert "<img src=x" not in told


def test_keys_and_users_have_their_direction(guarded: Gallery, key_of: Any) -> None:
    name = RIGHT_TO_LEFT.split()[0]
    who = key_of(name, is_administrator=True)
    made = guarded.client.post(
        "/api/v1/users/me/keys", json={"name": f"{name}{MARKUP[:40]}"}, headers=who
    )
    assert made.status_code == 201, made.get_json()
    for address in ("/ui/settings", f"/ui/settings/keys/{made.get_json()['id']}/revoke", "/ui"):
        text = guarded.get(address, HTML | who).text
        assert without_direction(text) == [], address
        assert "<img src=x" not in text

"""Tags on pages: shown, searched by, added and taken off without a script, in any number of tabs."""

from __future__ import annotations

from html import escape
from typing import Any

from testing.gallery import Gallery

HTML = {"Accept": "text/html"}


def page(gallery: Gallery, address: str) -> str:
    reply = gallery.get(address, HTML)
    assert reply.status_code == 200, reply.text
    return str(reply.text)


def send(gallery: Gallery, image: dict[str, Any], act: str, **fields: Any) -> Any:
    return gallery.client.post(f"/ui/images/{image['id']}/{act}", data=fields, headers=HTML)


def tags(gallery: Gallery, image: dict[str, Any]) -> list[str]:
    return list(gallery.get(image["url"]).get_json()["tags"])


def test_tags_are_added_and_taken_off_by_forms(gallery: Gallery) -> None:
    image = gallery.upload(tags="sky")
    reply = send(gallery, image, "tags", tags="red cat, <b>sea</b>")
    assert reply.status_code == 303
    assert reply.location.endswith(f"/ui/images/{image['id']}#tags")
    assert tags(gallery, image) == ["sky", "red cat", "<b>sea</b>"]
    text = page(gallery, f"/ui/images/{image['id']}")
    assert '<a href="/ui?tag=red+cat" dir="auto">red cat</a>' in text
    assert escape("<b>sea</b>") in text
    assert "<b>sea</b>" not in text
    # Two tabs: each does its own, and what is done already is no mistake.
    for _ in range(2):
        assert send(gallery, image, "tags/remove", tag="sky").status_code == 303
    assert tags(gallery, image) == ["red cat", "<b>sea</b>"]


def test_a_refused_tag_stays_in_its_box_with_the_reason(gallery: Gallery) -> None:
    image = gallery.upload()
    for wrong in ("x" * 101, "[1", ", ".join(f"tag {number}" for number in range(101))):
        reply = send(gallery, image, "tags", tags=wrong)
        assert reply.status_code == 422
        assert f'value="{escape(wrong)}"' in reply.text
        assert 'id="tags-refused"' in reply.text
    assert tags(gallery, image) == []


def test_explore_filters_by_tags_and_by_what_pictures_show(gallery: Gallery) -> None:
    first = gallery.upload(tags="Sky, sea")
    second = gallery.upload(tags="sky")
    text = page(gallery, "/ui?filters=1")
    assert 'name="tag"' in text
    assert "Sky" in text
    text = page(gallery, "/ui?tag=sky&tag=sea")
    assert f"/ui/images/{first['id']}?" in text
    assert f"/ui/images/{second['id']}?" not in text

"""Explore: the library and its searches as HTML, complete without a script."""

from __future__ import annotations

import gzip
import re
from typing import Any

import pytest

from testing.gallery import Gallery
from webapp.pages.assets import bundle

HTML = {"Accept": "text/html"}


def tiles(text: str) -> list[int]:
    """Return the ids of the tiles of a page, in their order."""
    return [int(one) for one in re.findall(r'<li class="tile[^"]*" data-id="(\d+)"', text)]


def test_a_browser_that_asks_for_the_root_gets_the_pages_and_a_program_the_json(
    client: Any,
) -> None:
    browser = client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (browser.status_code, browser.headers["Location"]) == (302, "/ui")
    assert client.get("/").get_json()["endpoints"]["pages"] == "/ui"


def test_the_library_is_in_the_html_newest_first(gallery: Gallery) -> None:
    ids = [gallery.upload(caption=f"picture {n}")["id"] for n in range(3)]
    page = gallery.get("/ui", HTML)
    assert page.status_code == 200
    assert tiles(page.text) == ids[::-1]
    assert "3 pictures" in page.text
    assert 'alt="picture 2"' in page.text


def test_the_next_page_is_a_link_that_needs_no_script(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.pages.explore.TILES", 2)
    ids = [gallery.upload()["id"] for _ in range(5)]
    seen, address = [], "/ui?sort=oldest"
    while address:
        text = gallery.get(address, HTML).text
        seen += tiles(text)
        found = re.search(r'rel="next" href="([^"]+)"', text)
        address = found[1].replace("&amp;", "&") if found else ""
    assert seen == ids


def test_what_a_script_asks_for_is_the_same_tiles_without_the_frame(gallery: Gallery) -> None:
    ids = [gallery.upload()["id"] for _ in range(2)]
    part = gallery.get("/ui?part=1", HTML)
    assert tiles(part.text) == ids[::-1]
    assert "<html" not in part.text
    assert '<template id="part-verdict">' in part.text


def test_pictures_of_the_query_are_chips_that_can_be_turned_and_removed(gallery: Gallery) -> None:
    one, two = (gallery.upload(degrees=angle)["id"] for angle in (0, 90))
    page = gallery.get(f"/ui?plus={one}", HTML).text
    # What is asked with is no result.
    assert tiles(page) == [two]
    assert f'name="plus" value="{one}"' in page
    assert f'href="/ui?minus={one}"' in page


def test_less_alone_is_refused_with_a_sentence(gallery: Gallery) -> None:
    one = gallery.upload(degrees=0)["id"]
    page = gallery.get(f"/ui?minus={one}", HTML)
    assert page.status_code == 422
    assert "only says what is not wanted" in page.text


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/ui?colour=red", 422),
        ("/ui?plus=cat", 422),
        ("/ui?sort=best", 422),
        ("/ui?cursor=none", 422),
        ("/ui?q=%22red", 422),
        ("/ui?" + "&".join(f"plus={n}" for n in range(1, 30)), 422),
        ("/ui/nothing/here", 404),
        ("/ui/images/99", 404),
    ],
)
def test_what_cannot_be_asked_is_a_page_that_says_why(
    gallery: Gallery, address: str, status: int
) -> None:
    page = gallery.get(address, HTML)
    assert (page.status_code, page.mimetype) == (status, "text/html")
    assert 'role="alert"' in page.text
    assert '<a class="button" href="/ui">' in page.text


def test_what_people_write_is_never_markup(gallery: Gallery) -> None:
    words = '<script>alert(1)</script>" onerror="x'
    gallery.upload(caption=words)
    text = gallery.get("/ui", HTML).text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34; onerror=&#34;x" in text


def test_others_private_pictures_are_in_no_page(guarded: Gallery, key_of: Any) -> None:
    owner, other = key_of("owner"), key_of("other")
    hidden = guarded.upload(headers=owner, is_public="false")["id"]
    shown = guarded.upload(headers=owner, is_public="true")["id"]
    assert set(tiles(guarded.get("/ui", owner | HTML).text)) == {hidden, shown}
    assert tiles(guarded.get("/ui", other | HTML).text) == [shown]
    assert guarded.get(f"/ui/images/{hidden}", other | HTML).status_code == 404


def test_pages_run_no_text_as_code_and_are_kept_by_no_cache(gallery: Gallery) -> None:
    page = gallery.get("/ui", HTML)
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert page.headers["Cache-Control"] == "private, no-cache"
    assert re.search(r'style="|<style|onclick|javascript:', page.text) is None


def test_pages_are_compressed_where_the_browser_takes_it(gallery: Gallery) -> None:
    page = gallery.get("/ui", HTML | {"Accept-Encoding": "gzip"})
    assert page.headers["Content-Encoding"] == "gzip"
    assert b"</html>" in gzip.decompress(page.data)


def test_files_have_lasting_addresses_that_change_with_their_content(client: Any) -> None:
    total, files = bundle()
    for name, found in files.items():
        reply = client.get(f"/ui/assets/{total}/{name}", headers={"Accept-Encoding": "gzip"})
        assert reply.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert gzip.decompress(reply.data) == found.plain
    assert client.get(f"/ui/assets/{'0' * 16}/app.css").status_code == 404


def test_theme_and_language_are_remembered_without_a_script(gallery: Gallery) -> None:
    reply = gallery.client.post("/ui/preferences", data={"theme": "dark", "back": "/ui?q=cat"})
    assert (reply.status_code, reply.headers["Location"]) == (303, "/ui?q=cat")
    gallery.client.post("/ui/preferences", data={"language": "pt"})
    page = gallery.get("/ui/about", HTML).text
    assert '<html lang="pt" data-theme="dark">' in page
    assert gallery.client.post("/ui/preferences", data={"theme": "pink"}).status_code == 400


@pytest.mark.parametrize(
    "back", ["https://evil.example/ui", "//evil.example", "/ui\\@evil", "/docs"]
)
def test_a_form_leads_back_to_pages_alone(gallery: Gallery, back: str) -> None:
    reply = gallery.client.post("/ui/preferences", data={"theme": "dark", "back": back})
    assert reply.headers["Location"] == "/ui"

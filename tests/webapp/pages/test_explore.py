"""Explore: the library and its searches as HTML, complete without a script."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from flask import render_template
from PIL import Image as Pillow

from mirada.db.classifier_models import ImageLabels
from mirada.db.models import Image, utc_now
from mirada.kernel.audience import Scope
from mirada.people import keys, users
from mirada.pictures import image_lists
from testing.application import create_app
from testing.asking import Words
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import Gallery, as_upload
from testing.pictures import picture
from tests.conftest import MakeRuntime
from webapp.pages import explore
from webapp.pages.assets import bundle
from webapp.pages.explore_address import address_of_request

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
        ("/ui?colour=mauve", 422),
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


# Filters, order and what is chosen.


def hrefs(text: str) -> set[str]:
    """Return the addresses that a page links to."""
    return {one.replace("&amp;", "&") for one in re.findall(r'href="([^"]+)"', text)}


def test_the_panel_counts_what_can_be_chosen_and_each_filter_has_a_way_out(
    gallery: Gallery,
) -> None:
    for number in range(3):
        gallery.upload(is_public="true" if number else "false")
    closed = gallery.get("/ui", HTML).text
    assert "/ui?filters=true" in hrefs(closed)
    assert '<section class="panel"' not in closed
    page = gallery.get("/ui?filters=true&visibility=private&kind=still", HTML).text
    # What is asked of an attribute itself does not narrow its counts.
    assert re.search(r'<option value="public">\s*Everybody \(2\)', page)
    assert re.search(r'<option value="private" selected>\s*Only you \(1\)', page)
    assert len(tiles(page)) == 1
    assert {"/ui?visibility=private", "/ui?kind=still", "/ui"} <= hrefs(page)


def test_empty_fields_of_the_form_are_left_out_of_the_address(gallery: Gallery) -> None:
    reply = gallery.get("/ui?q=&kind=&shape=square&filename=&sort=likes", HTML)
    assert (reply.status_code, reply.headers["Location"]) == (303, "/ui?shape=square&sort=likes")
    # A name that no parameter has is never taken for one of the function that writes addresses.
    odd = gallery.get("/ui?_scheme=javascript&_external=1&q=", HTML)
    assert odd.headers["Location"] == "/ui?_scheme=javascript&_external=1"
    assert gallery.get(odd.headers["Location"], HTML).status_code == 422


def test_a_month_is_its_first_moment_to_its_last(gallery: Gallery) -> None:
    moments = ("2026-01-31T23:59:59", "2026-02-01T00:00:00", "2026-03-01T00:00:00")
    ids = [gallery.upload()["id"] for _ in moments]
    with gallery.runtime.transaction() as session:
        for image_id, moment in zip(ids, moments, strict=True):
            session.get_one(Image, image_id).created_at = datetime.fromisoformat(f"{moment}+00:00")
    page = gallery.get("/ui?month=2026-02&filters=true", HTML).text
    assert tiles(page) == [ids[1]]
    assert "February 2026 (1)" in page
    assert "March 2026 (1)" in page
    assert gallery.get("/ui?month=2026-13", HTML).status_code == 422
    assert tiles(gallery.get("/ui?month=2026-12", HTML).text) == []


def test_what_has_no_control_stays_in_the_form(gallery: Gallery) -> None:
    gallery.upload()
    kept = '<input type="hidden" form="search" name="{}" value="{}">'
    for panel in ("", "&filters=true"):
        page = gallery.get(f"/ui?sort=oldest&created_after=2020-01-01{panel}", HTML).text
        assert kept.format("sort", "oldest") in page
        assert kept.format("created_after", "2020-01-01") in page
    # With the panel open its own fields say what is asked for, and once.
    page = gallery.get("/ui?kind=still&filters=true", HTML).text
    assert page.count('name="kind"') == 1
    assert kept.format("kind", "still") in gallery.get("/ui?kind=still", HTML).text


def test_each_order_is_a_link_and_its_page_goes_on_in_that_order(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.pages.explore.TILES", 2)
    ids = [gallery.upload()["id"] for _ in range(3)]
    gallery.client.put(f"/api/v1/images/{ids[0]}/like")
    page = gallery.get("/ui?kind=still", HTML).text
    assert "/ui?kind=still&sort=likes" in hrefs(page)
    liked = gallery.get("/ui?kind=still&sort=likes", HTML).text
    assert tiles(liked) == [ids[0], ids[2]]
    following = re.search(r'rel="next" href="([^"]+)"', liked)
    assert following is not None
    later = following[1].replace("&amp;", "&")
    text = gallery.get(later, HTML).text
    assert tiles(text) == [ids[1]]
    # A section says where it comes from, so that it can be asked for again.
    assert later in {one.replace("&amp;", "&") for one in re.findall(r'data-src="([^"]+)"', text)}


def test_a_panel_tells_nobody_of_others_private_pictures(guarded: Gallery, key_of: Any) -> None:
    owner, other = key_of("owner"), key_of("other")
    guarded.upload(headers=owner, is_public="false", filename="secret.png")
    guarded.upload(headers=owner, is_public="true")
    mine = guarded.get("/ui?filters=true", owner | HTML).text
    assert re.search(r'<option value="private">\s*Only you \(1\)', mine)
    theirs = guarded.get("/ui?filters=true", other | HTML).text
    assert '<option value="private">' not in theirs
    assert re.search(r'<option value="public">\s*Everybody \(1\)', theirs)
    assert tiles(guarded.get("/ui?filename=secret", other | HTML).text) == []


def test_counts_of_a_panel_are_remembered_until_somebody_changes_who_sees_what(
    guarded: Gallery, key_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, other = key_of("owner"), key_of("other")
    shown = [guarded.upload(headers=owner, is_public="true")["id"] for _ in range(3)]
    asked: list[Scope] = []
    facets = image_lists.facets

    def counting(session: Any, scope: Scope, attributes: Any) -> Any:
        if attributes:
            asked.append(scope)
        return facets(session, scope, attributes)

    monkeypatch.setattr(image_lists, "facets", counting)

    def everybody(headers: Any) -> str | None:
        page = guarded.get("/ui?filters=true", headers | HTML).text
        found = re.search(r'<option value="public">\s*Everybody \((\d)\)', page)
        return found and found[1]

    assert [everybody(other), everybody(owner), everybody(other), everybody(owner)] == ["3"] * 4
    assert len(asked) == 2
    assert asked[0] != asked[1]
    guarded.client.patch(f"/api/v1/images/{shown[0]}", json={"is_public": False}, headers=owner)
    assert [everybody(other), everybody(owner)] == ["2", "2"]
    guarded.client.delete(f"/api/v1/images/{shown[1]}", headers=owner)
    assert [everybody(other), everybody(owner)] == ["1", "1"]


def test_the_panel_alone_is_what_a_script_asks_for(gallery: Gallery) -> None:
    gallery.upload()
    part = gallery.get("/ui?kind=still&part=filters", HTML).text
    assert '<section class="panel"' in part
    assert "<html" not in part
    assert tiles(part) == []


def test_an_empty_library_and_filters_that_nothing_passes_say_what_to_do(gallery: Gallery) -> None:
    assert "Drop pictures here" in gallery.get("/ui", HTML).text
    gallery.upload()
    page = gallery.get("/ui?kind=animated", HTML).text
    assert "Nothing passes these filters." in page
    assert "Drop pictures here" not in page


def test_density_is_remembered(gallery: Gallery) -> None:
    gallery.client.post("/ui/preferences", data={"density": "compact", "back": "/ui"})
    assert '<div id="grid" data-density="compact"' in gallery.get("/ui", HTML).text


# Pictures as queries.


def test_a_picture_sent_by_the_form_becomes_a_part_of_the_address(words: Words) -> None:
    shown = words.hang("sun")
    form = {"file": as_upload(picture(7)), "back": "/ui?q=moon&kind=still&cursor=x&part=1"}
    reply = words.client.post("/ui/query-picture", data=form)
    assert (reply.status_code, reply.headers["Location"]) == (
        303,
        "/ui?q=moon&kind=still&plus=p1",
    )
    page = words.client.get("/ui?plus=p1", headers=HTML)
    assert page.status_code == 200
    assert shown in tiles(page.text)
    assert 'src="/api/v1/query-pictures/1/thumbnail"' in page.text
    assert 'name="plus" value="p1"' in page.text
    assert "/ui?minus=p1" in hrefs(page.text)


@pytest.mark.parametrize(
    ("back", "leads_to"),
    [
        ("/ui/images/4", "/ui?plus=p1"),
        ("//evil.example", "/ui?plus=p1"),
        ("/ui?_anchor=x&endpoint=y", "/ui?_anchor=x&endpoint=y&plus=p1"),
    ],
)
def test_the_form_of_a_picture_leads_to_explore_alone(
    words: Words, back: str, leads_to: str
) -> None:
    form = {"file": as_upload(picture(7)), "back": back}
    assert words.client.post("/ui/query-picture", data=form).headers["Location"] == leads_to


def test_a_picture_whose_name_tells_another_kind_is_taken_as_what_it_is(words: Words) -> None:
    # People save a WebP as picture.png, and browsers go by the ending.
    file = io.BytesIO()
    Pillow.open(io.BytesIO(picture(7))).save(file, "WEBP")
    form = {"file": as_upload(file.getvalue(), "picture.png", "image/png")}
    assert words.client.post("/ui/query-picture", data=form).status_code == 303


def test_what_is_no_picture_is_refused_with_a_page(words: Words) -> None:
    reply = words.client.post("/ui/query-picture", data={"file": as_upload(b"no picture")})
    assert (reply.status_code, reply.mimetype) == (415, "text/html")
    assert words.client.post("/ui/query-picture", data={}).status_code == 415


@pytest.fixture
def keyed(make_runtime: MakeRuntime) -> tuple[Any, dict[str, dict[str, str]]]:
    """A client of AUTH_MODE=keys whose encoder takes any picture, and the headers of two people."""
    runtime = with_encoder(make_runtime(auth_mode="keys"), CountingEncoder())
    client = create_app(runtime).test_client()
    runtime.space()
    with runtime.transaction() as session:
        made = {n: keys.issue(session, users.create_user(session, n)).key for n in ("ana", "ben")}
    return client, {name: {"Authorization": f"Bearer {key}"} for name, key in made.items()}


def test_a_kept_picture_is_of_no_use_to_anybody_else(
    keyed: tuple[Any, dict[str, dict[str, str]]],
) -> None:
    client, of = keyed
    form = {"file": as_upload(picture(7))}
    kept = client.post("/ui/query-picture", data=form, headers=of["ana"])
    address = kept.headers["Location"]
    thumbnail = "/api/v1/query-pictures/1/thumbnail"
    assert [client.get(address, headers=of[n] | HTML).status_code for n in of] == [200, 404]
    assert [client.get(thumbnail, headers=of[n]).status_code for n in of] == [200, 404]
    nobody = client.post("/ui/query-picture", data={"file": as_upload(picture(7))})
    assert nobody.status_code == 401


def test_a_form_with_a_file_carries_its_token_as_other_forms_do(
    keyed: tuple[Any, dict[str, dict[str, str]]],
) -> None:
    client, of = keyed
    key = of["ana"]["Authorization"].removeprefix("Bearer ")
    token = client.post("/api/v1/session", json={"key": key}).get_json()["csrf_token"]
    assert 'name="csrf_token"' in client.get("/ui", headers=HTML).text
    refused = client.post("/ui/query-picture", data={"file": as_upload(picture(7))})
    assert refused.status_code == 403
    form = {"file": as_upload(picture(7)), "csrf_token": token}
    assert client.post("/ui/query-picture", data=form).status_code == 303


VERDICTS = {
    ("relevant", 2, 311, "exact"): {
        "en": "2 clear matches in 311 pictures, none left out.",
        "pt": "2 resultados claros em 311 imagens, nenhuma ficou de fora.",
        "es": "2 resultados claros en 311 imágenes, ninguna quedó fuera.",
    },
    ("weak", 0, 1, "graph"): {
        "en": "Only weak matches in 1 picture.",
        "pt": "Só resultados fracos em 1 imagem.",
        "es": "Solo resultados débiles en 1 imagen.",
    },
    ("nothing relevant", 0, 3, "graph"): {
        "en": "Nothing relevant in 3 pictures. The nearest are below, but none stands out.",
        "pt": "Nada relevante em 3 imagens. As mais próximas estão abaixo, mas nenhuma se destaca.",
        "es": "Nada relevante en 3 imágenes. Las más cercanas están abajo, pero ninguna destaca.",
    },
    ("nothing relevant", 0, None, "fused"): {
        "en": "Nothing relevant. The nearest are below, but none stands out."
    },
}
"""Verdict, relevant ones, how many were searched and how: the sentences that are read."""


@pytest.mark.parametrize("about", VERDICTS)
def test_verdicts_are_whole_sentences_in_every_language(
    app: Any, about: tuple[str, int, int | None, str]
) -> None:
    verdict, count, among, way = about
    found = SimpleNamespace(
        ranking=SimpleNamespace(relevant_count=count),
        verdict=verdict,
        permitted_count=among,
        way=way,
    )
    shown = SimpleNamespace(found=found, tiles=[1])
    for language, sentence in VERDICTS[about].items():
        with app.test_request_context(headers={"Accept-Language": language}):
            said = render_template("pages/_verdict.html", shown=shown, newest_first=False)
        assert " ".join(re.sub("<[^>]+>", "", said).split()) == sentence


def test_the_newest_of_the_clear_matches_come_first_when_asked(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.pages.explore.TILES", 3)
    asked = gallery.upload(degrees=0)["id"]
    near = [gallery.upload(degrees=angle)["id"] for angle in (2, 1, 4, 3)]
    relevance = dict.fromkeys(near, 0.9)
    monkeypatch.setattr(
        "mirada.search.found.Hit.is_relevant", property(lambda hit: hit.image_id in relevance)
    )
    far = [gallery.upload(degrees=angle)["id"] for angle in (80, 70)]
    pages, address = [], f"/ui?plus={asked}&sort=newest"
    while address:
        text = gallery.get(address, HTML).text
        pages.append(tiles(text))
        found = re.search(r'rel="next" href="([^"]+)"', text)
        address = found[1].replace("&amp;", "&") if found else ""
    # Newest first while relevant, over the end of a page; then by nearness.
    assert [one for page in pages for one in page] == [*near[::-1], far[1], far[0]]
    assert len(pages) == 2
    first = gallery.get(f"/ui?plus={asked}&sort=newest", HTML).text
    assert "The newest of them come first." in first
    assert 'aria-current="true">Newest clear matches first' in first
    usual = gallery.get(f"/ui?plus={asked}", HTML).text
    assert tiles(usual)[:2] == [near[1], near[0]]
    body = {"image_id": asked, "sort": "newest"}
    found_by_api = gallery.client.post("/api/v1/search", json=body).get_json()["results"]
    assert [each["image"]["id"] for each in found_by_api] == [*near[::-1], far[1], far[0]]
    reply = gallery.client.post("/api/v1/search", json=body | {"sort": "likes"})
    assert reply.status_code == 422


def test_there_is_something_to_try_and_it_leads_to_pictures(gallery: Gallery) -> None:
    empty = gallery.get("/ui", HTML).text
    assert 'class="try"' not in empty
    image = gallery.upload(degrees=1)["id"]
    with gallery.runtime.transaction() as session:
        session.add(
            ImageLabels(
                image_id=image,
                space_id=gallery.space_id,
                judged_by="test",
                label="family",
                score=0.9,
                logits=b"",
                is_far=False,
                computed_at=utc_now(),
            )
        )
    for language, word in (("en", "family"), ("pt", "família")):
        text = gallery.get("/ui", HTML | {"Accept-Language": language}).text
        assert f">{word}</a>" in text
    # What is asked for already is nothing else to try.
    lost = SimpleNamespace(found=SimpleNamespace(ranking=SimpleNamespace(relevant_count=0)))
    with gallery.client.application.test_request_context("/ui?q=Family"):
        assert explore._tries(address_of_request(), lost) == []  # type: ignore[arg-type]
    with gallery.client.application.test_request_context("/ui?q=zebra"):
        (one,) = explore._tries(address_of_request(), lost)  # type: ignore[arg-type]
        assert (one.text, one.address) == ("family", "/ui?q=family")
    # Nothing is offered that no picture has; and no labels where a list is narrowed.
    assert ">gato</a>" not in text
    assert 'class="try"' not in gallery.get("/ui?kind=still", HTML).text


def test_days_are_those_of_the_browsers_clock_and_the_panel_says_whose(gallery: Gallery) -> None:
    ids = [gallery.upload()["id"] for _ in range(3)]
    # 23:30 of 9 January, 0:30 of 10 January and 0:30 of 11 January in Lisbon; 12 hours later in Auckland.
    moments = ("2026-01-09T23:30", "2026-01-10T00:30", "2026-01-11T00:30")
    with gallery.runtime.transaction() as session:
        for image_id, moment in zip(ids, moments, strict=True):
            made = datetime.fromisoformat(moment).replace(tzinfo=UTC)
            session.get_one(Image, image_id).created_at = made

    def found(zone: str, query: str) -> list[int]:
        gallery.client.set_cookie("mirada_zone", zone)
        return tiles(gallery.get(f"/ui?{query}", HTML).text)

    assert found("Europe/Lisbon", "from=2026-01-10&to=2026-01-10") == [ids[1]]
    assert found("Europe/Lisbon", "from=2026-01-10") == [ids[2], ids[1]]
    assert found("Europe/Lisbon", "to=2026-01-09") == [ids[0]]
    assert found("Pacific/Auckland", "from=2026-01-10&to=2026-01-10") == [ids[1], ids[0]]
    # Together with a month, both hold; days of the ends of time are days.
    assert found("Pacific/Auckland", "month=2026-01&to=2026-01-10") == [ids[1], ids[0]]
    assert found("Pacific/Auckland", "from=0001-01-01&to=9999-12-31") == ids[::-1]
    text = gallery.get("/ui?filters=true&from=2026-01-10", HTML).text
    assert 'type="date" aria-describedby="f-zone"' in text
    assert 'value="2026-01-10"' in text
    assert "the clock of Pacific/Auckland" in text
    assert "From Jan 10, 2026" in text
    assert gallery.get("/ui?from=10.1.2026", HTML).status_code == 422


def test_people_and_colours_can_be_chosen_as_filters(
    guarded: Gallery, key_of: Callable[..., dict[str, str]]
) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    red, blue = (
        guarded.upload(headers=who, degrees=1, is_public="true")["id"] for who in (ana, ben)
    )
    hidden = guarded.upload(headers=key_of("cleo"), is_public="false")
    with guarded.runtime.transaction() as session:
        for image_id, colour in ((red, "#d22020"), (blue, "#1b2a41")):
            session.get_one(Image, image_id).content.colour = colour
    panel = guarded.get("/ui?part=filters", HTML | ben).text
    assert re.search(r'<option value="\d+">ana \(1\)</option>', panel)
    assert "cleo" not in panel
    (owner,) = re.findall(r'<option value="(\d+)">ana', panel)
    page = guarded.get(f"/ui?owner={owner}", HTML | ben).text
    assert tiles(page) == [red]
    assert "Of ana" in page
    # Who has nothing to be seen is called by the number that was asked with.
    unseen = guarded.get(f"/ui?owner={hidden['owner']['id']}", HTML | ben).text
    assert tiles(unseen) == []
    assert f"Of {hidden['owner']['id']}" in unseen
    assert 'class="swatch red"' in panel
    assert tiles(guarded.get("/ui?colour=red", HTML | ben).text) == [red]
    assert tiles(guarded.get("/ui?colour=red&colour=blue", HTML | ben).text) == [blue, red]
    listed = guarded.get("/api/v1/images?colour=blue", ben).get_json()["results"]
    assert [each["id"] for each in listed] == [blue]
    assert guarded.get("/api/v1/images?colour=mauve", ben).status_code == 422


def test_what_is_asked_for_keeps_its_control_where_there_is_no_other_choice(
    guarded: Gallery, key_of: Callable[..., dict[str, str]]
) -> None:
    ana = key_of("ana")
    owner = guarded.upload(headers=ana, is_public="true")["owner"]["id"]
    asked = {"owner": owner, "status": "PENDING", "liked": "true", "mine": "true"}
    for headers in (ana, {}):
        for name, value in asked.items():
            panel = guarded.get(f"/ui?part=filters&{name}={value}", HTML | headers).text
            assert re.search(rf'form="search" name="{name}"', panel), name
            assert re.search(rf'value="{value}" (selected|checked)', panel), name


def test_a_result_says_why_it_is_there(words: Words) -> None:
    client = create_app(words.runtime).test_client()
    text = client.get("/ui?q=moon+-sea", headers=HTML).text
    first = tiles(text)[0]
    told = re.search(rf'<div class="why" id="why-{first}" popover>(.*?)</div>', text, re.DOTALL)
    assert told is not None
    said = " ".join(re.sub("<[^>]+>", " ", told[1]).split())
    assert re.match(r"\d+% relevant", said)
    assert "What it shows: " in said
    assert "Most of it is for “moon”." in said
    assert f'popovertarget="why-{first}"' in text
    # Of one part there is nothing to tell apart, and a list has no reasons.
    alone = client.get("/ui?q=moon", headers=HTML).text
    assert "Most of it" not in alone
    assert 'class="why"' not in client.get("/ui", headers=HTML).text

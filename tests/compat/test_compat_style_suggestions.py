"""The creative memory's style suggestions: key for key, only one's own, and never out of date."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import update

from mirada.db.models import Content
from mirada.db.session import Database
from mirada.embedding.backfill import BACKFILL_EMBEDDINGS
from mirada.jobs import ledger
from mirada.kernel.user_text import MAX_TEXT_CHARS
from mirada.memory import styles
from mirada.memory.styles import BUILT_IN_STYLES, MAX_DESCRIPTIONS, MAX_STYLES, Style
from mirada.people import users
from mirada.people.keys import issue as issue_key
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import as_upload
from testing.pictures import picture
from tests.compat.conftest import Server

ADDRESS = "/api/users/me/style-suggestions/"
SUBJECTS = (
    "a red fox",
    "an old sailor",
    "a lighthouse",
    "two dancers",
    "a snowy owl",
    "a village church",
    "a glass of lemonade",
    "a wooden bicycle",
)
MOVIES = ("film still, anamorphic", "cinematic", "anamorphic movie scene, film frame")
Headers = dict[str, str]


@pytest.fixture
def suggesting(serve: Callable[..., Server]) -> Callable[..., Server]:
    """Return a function from settings to a server whose vectors cost nothing and mean nothing.

    Words alone decide there; the bundled encoder takes seconds for the texts of the list.
    """

    def make(**settings: Any) -> Server:
        server = serve(**settings)
        with_encoder(server.runtime, CountingEncoder())
        return server

    return make


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def guarded(request: pytest.FixtureRequest, suggesting: Callable[..., Server]) -> Server:
    if request.param == "sqlite":
        return suggesting(auth_mode="keys")
    database: Database = request.getfixturevalue("mariadb_database")
    url = database.engine.url.render_as_string(hide_password=False)
    return suggesting(auth_mode="keys", database_url=url)


@pytest.fixture
def seeds() -> Iterator[int]:
    return itertools.count(1)


def person(server: Server, name: str, *, is_administrator: bool = False) -> Headers:
    with server.runtime.transaction() as session:
        user = users.create_user(session, name, is_administrator=is_administrator)
        return {"Authorization": f"Bearer {issue_key(session, user).key}"}


def upload(server: Server, headers: Headers, seed: int, prompt: str) -> dict[str, Any]:
    part = as_upload(picture(seed), "p.png", "image/png")
    reply = server.client.post(
        "/api/v1/images", data={"file": part, "prompt": prompt}, headers=headers
    )
    assert reply.status_code == 201, reply.get_json()
    body: dict[str, Any] = reply.get_json()
    return body


def fill(server: Server, headers: Headers, seeds: Iterator[int], styles: Any) -> list[Any]:
    """Upload a prompt for each style, about one subject after another; None is a plain one."""
    images = []
    for subject, style in zip(itertools.cycle(SUBJECTS), styles, strict=False):
        prompt = subject if style is None else f"{subject}, {style}"
        images.append(upload(server, headers, next(seeds), prompt))
    server.work()
    return images


def suggestions(server: Server, headers: Headers, query: str = "") -> list[dict[str, Any]]:
    reply = server.client.get(f"{ADDRESS}{query}", headers=headers)
    assert reply.status_code == 200, reply.get_json()
    body = reply.get_json()
    assert body["count"] == len(body["results"])
    results: list[dict[str, Any]] = body["results"]
    return results


def test_a_style_in_other_words_counts_and_every_key_is_there(
    guarded: Server, seeds: Iterator[int]
) -> None:
    expect_cinematic(guarded, seeds)


def test_the_bundled_encoder_agrees(
    serve: Callable[..., Server], bundled_encoder: Any, seeds: Iterator[int]
) -> None:
    server = serve(auth_mode="keys")
    server.runtime._load_encoder = lambda: bundled_encoder  # type: ignore[method-assign]
    expect_cinematic(server, seeds)


def expect_cinematic(server: Server, seeds: Iterator[int]) -> None:
    ana = person(server, "ana")
    images = fill(server, ana, seeds, [*MOVIES * 2, None, None])
    (found,) = suggestions(server, ana)
    assert found["label"] == "Cinematic"
    assert found["frequency"] == 6
    assert 0 < found["confidence"] <= 1
    prompts = {image["id"]: image["prompt"] for image in images[:6]}
    assert found["example_prompt"] == prompts[found["example_image_id"]]
    assert suggestions(server, ana) == [found]


def test_a_phrase_that_no_list_names_is_found_and_nobody_else_is_told(
    guarded: Server, seeds: Iterator[int]
) -> None:
    ana, bea = person(guarded, "ana"), person(guarded, "bea")
    fill(guarded, ana, seeds, ["quilted zorbanite glow"] * 6 + [None] * 2)
    fill(guarded, bea, seeds, ["cinematic"] * 6 + [None] * 2)
    (own,) = suggestions(guarded, ana)
    assert (own["label"], own["kind"], own["frequency"]) == ("quilted zorbanite glow", "phrase", 6)
    reply = guarded.client.get(ADDRESS, headers=bea)
    assert [found["label"] for found in reply.get_json()["results"]] == ["Cinematic"]
    memory = guarded.client.get("/api/v1/users/me/memory", headers=bea)
    for text in (reply.get_data(as_text=True), memory.get_data(as_text=True)):
        assert "zorbanite" not in text
        assert str(own["example_image_id"]) not in [
            str(found["example_image_id"]) for found in reply.get_json()["results"]
        ]


def test_an_answer_follows_uploads_changed_prompts_privacy_and_deletions(
    guarded: Server, seeds: Iterator[int]
) -> None:
    ana = person(guarded, "ana")
    images = fill(guarded, ana, seeds, ["cinematic"] * 6 + [None] * 2)

    def frequency() -> int:
        found = [one for one in suggestions(guarded, ana) if one["label"] == "Cinematic"]
        return int(found[0]["frequency"]) if found else 0

    assert frequency() == 6
    more = upload(guarded, ana, next(seeds), "a teapot, cinematic")
    assert frequency() == 7
    changed = guarded.client.patch(more["url"], json={"prompt": "a teapot"}, headers=ana)
    assert changed.status_code == 200
    assert frequency() == 6
    again = upload(guarded, ana, next(seeds), images[0]["prompt"])
    assert frequency() == 7
    flipped = guarded.client.patch(again["url"], json={"is_public": True}, headers=ana)
    assert flipped.status_code == 200
    assert frequency() == 7
    assert guarded.client.delete(again["url"], headers=ana).status_code == 204
    assert frequency() == 6
    for image in images[:6]:
        assert guarded.client.delete(image["url"], headers=ana).status_code == 204
    assert suggestions(guarded, ana) == []


def test_an_example_is_as_its_owner_wrote_it_last(guarded: Server, seeds: Iterator[int]) -> None:
    ana = person(guarded, "ana")
    fill(guarded, ana, seeds, ["cinematic"] * 6)
    (found,) = suggestions(guarded, ana)
    url = f"/api/v1/images/{found['example_image_id']}"
    # The same prompt to an encoder, in other white space.
    spaced = found["example_prompt"].replace(" ", "  ")
    assert guarded.client.patch(url, json={"prompt": spaced}, headers=ana).status_code == 200
    assert suggestions(guarded, ana)[0]["example_prompt"] == spaced


def test_suggestions_follow_the_list(guarded: Server, seeds: Iterator[int]) -> None:
    boss = person(guarded, "boss", is_administrator=True)
    fill(guarded, boss, seeds, ["quilted zorbanite glow"] * 6 + [None] * 2)
    assert suggestions(guarded, boss)[0]["kind"] == "phrase"
    put = guarded.client.put(
        "/api/v1/styles/Zorbanite",
        json={"descriptions": ["quilted zorbanite glow, soft mineral light"]},
        headers=boss,
    )
    assert put.status_code == 201
    (found,) = suggestions(guarded, boss)
    assert (found["label"], found["kind"]) == ("Zorbanite", "listed")


def test_somebody_without_a_style_gets_no_suggestion(guarded: Server, seeds: Iterator[int]) -> None:
    ana = person(guarded, "ana")
    assert suggestions(guarded, ana) == []
    fill(guarded, ana, seeds, [None] * 8)
    assert suggestions(guarded, ana) == []


def test_nobody_is_answered_without_a_key(suggesting: Callable[..., Server]) -> None:
    server = suggesting(auth_mode="keys")
    for address in (ADDRESS, ADDRESS.rstrip("/"), "/api/v1/users/me/memory"):
        assert server.client.get(address).status_code == 401


def test_a_limit_out_of_range_is_no_fault(suggesting: Callable[..., Server]) -> None:
    client = suggesting().client
    for query in ("limit=0", "limit=11", "limit=x", "limit=10", "limit=1", "", "page=2"):
        assert client.get(f"{ADDRESS}?{query}").status_code == 200, query


def test_the_limit_keeps_the_surest(
    suggesting: Callable[..., Server], seeds: Iterator[int]
) -> None:
    server = suggesting()
    fill(server, {}, seeds, ["cinematic"] * 6 + ["watercolour painting"] * 5 + [None] * 5)
    both = suggestions(server, {})
    assert {found["label"] for found in both} == {"Cinematic", "Watercolour"}
    assert suggestions(server, {}, "?limit=1") == both[:1]
    assert suggestions(server, {}, "?limit=0") == both[:1]
    assert suggestions(server, {}, "?limit=99") == both
    assert both == sorted(both, key=lambda found: -found["confidence"])


def test_without_embeddings_nothing_is_suggested_and_uploads_go_on(
    serve: Callable[..., Server],
) -> None:
    server = serve(embeddings_enabled=False)
    for seed in range(6):
        upload(server, {}, seed, f"{SUBJECTS[seed]}, cinematic")
    assert server.client.get(ADDRESS).get_json() == {"count": 0, "results": []}
    memory = server.client.get("/api/v1/users/me/memory").get_json()
    assert memory["styles"] == memory["subjects"] == memory["palette"]["colours"] == []


def memory(server: Server, headers: Headers) -> dict[str, Any]:
    reply = server.client.get("/api/v1/users/me/memory", headers=headers)
    assert reply.status_code == 200
    body: dict[str, Any] = reply.get_json()
    return body


def plain_picture(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(out, "PNG")
    return out.getvalue()


def post_plain(server: Server, headers: Headers, colour: str, prompt: str) -> dict[str, Any]:
    part = as_upload(plain_picture(colour), "p.png", "image/png")
    form = {"file": part, "prompt": prompt}
    reply = server.client.post("/api/v1/images", data=form, headers=headers)
    assert reply.status_code == 201
    body: dict[str, Any] = reply.get_json()
    return body


def test_the_memory_page_says_what_the_images_have_in_common(
    guarded: Server, seeds: Iterator[int]
) -> None:
    ana, bea = person(guarded, "ana"), person(guarded, "bea")
    fill(guarded, bea, seeds, ["watercolour painting"] * 6)
    for number, subject in enumerate(SUBJECTS[:6]):
        post_plain(guarded, ana, f"#ff000{number}", f"{subject}, cinematic")
    newest = post_plain(guarded, ana, "#0000ff", "a red fox, black and white")
    for number in range(3):
        newest = post_plain(guarded, ana, f"#0000f{number}", f"a red fox in winter {number}")
    guarded.work()
    body = memory(guarded, ana)
    assert (body["images"], body["prompts"]) == (10, 10)
    month = newest["created_at"][:7]
    assert body["months"] == [{"month": month, "count": 10}]
    (style,) = body["styles"]
    assert (style["label"], style["frequency"]) == ("Cinematic", 6)
    assert style["by_month"] == [{"month": month, "count": 6}]
    assert len(style["image_ids"]) == 6
    assert style["image_ids"] == sorted(style["image_ids"], reverse=True)
    assert style["example_image_id"] in style["image_ids"]
    of_time = ("by_month", "image_ids")
    assert suggestions(guarded, ana) == [{k: v for k, v in style.items() if k not in of_time}]
    subject = body["subjects"][0]
    assert (subject["subject"], subject["frequency"]) == ("red fox", 5)
    assert subject["example_image_id"] == newest["id"]
    assert body["palette"]["pictures"] == 10
    red, blue = body["palette"]["colours"]
    assert (red["hex"][:5], round(red["share"], 2)) == ("#ff00", 0.6)
    assert (blue["hex"][:5], round(blue["share"], 2)) == ("#0000", 0.4)


def test_a_copy_of_somebody_elses_picture_has_no_colours_before_its_own_job_is_done(
    guarded: Server,
) -> None:
    ana, bea = person(guarded, "ana"), person(guarded, "bea")
    post_plain(guarded, ana, "#ff0000", "a red square")
    guarded.work()
    assert memory(guarded, ana)["palette"]["pictures"] == 1
    post_plain(guarded, bea, "#ff0000", "mine")
    post_plain(guarded, bea, "#00ff00", "mine too")
    assert memory(guarded, bea)["palette"] == {"colours": [], "pictures": 0}
    guarded.work()
    assert memory(guarded, bea)["palette"]["pictures"] == 2


def test_a_backfill_brings_the_colours_of_older_pictures(guarded: Server) -> None:
    ana = person(guarded, "ana")
    post_plain(guarded, ana, "#ff0000", "a red square")
    guarded.work()
    before = memory(guarded, ana)
    with guarded.runtime.transaction() as session:
        session.execute(update(Content).values(palette=None))
    assert memory(guarded, ana)["palette"] == {"colours": [], "pictures": 0}
    with guarded.runtime.transaction() as session:
        ledger.enqueue(session, BACKFILL_EMBEDDINGS)
    guarded.work()
    guarded.work()
    assert memory(guarded, ana) == before


def test_only_an_administrator_edits_the_list(guarded: Server) -> None:
    ana = person(guarded, "ana")
    new = {"descriptions": ["soft mineral light"]}
    client = guarded.client
    before = client.get("/api/v1/styles", headers=ana).get_json()
    for reply in (
        client.put("/api/v1/styles/Zorbanite", json=new, headers=ana),
        client.delete("/api/v1/styles/Cinematic", headers=ana),
        client.delete("/api/v1/styles", headers=ana),
    ):
        assert reply.status_code == 403
        assert reply.content_type == "application/problem+json"
    assert client.put("/api/v1/styles/Zorbanite", json=new).status_code == 401
    assert client.get("/api/v1/styles", headers=ana).get_json() == before
    assert before["is_edited"] is False


def test_what_no_list_can_hold_is_refused_and_nothing_is_done(guarded: Server) -> None:
    boss = person(guarded, "boss", is_administrator=True)
    client = guarded.client
    text = {"descriptions": ["soft mineral light"]}
    before = client.get("/api/v1/styles", headers=boss).get_json()

    def put(name: str, json: Any) -> int:
        code: int = client.put(f"/api/v1/styles/{name}", json=json, headers=boss).status_code
        return code

    wrong: list[Any] = [
        {},
        {"descriptions": []},
        {"descriptions": [" "]},
        {"descriptions": "one"},
        {"descriptions": [7]},
        {"descriptions": ["x" * 10_000]},
        {"descriptions": [f"{n}" for n in range(MAX_DESCRIPTIONS + 1)]},
        text | {"colour": "red"},
    ]
    assert [put("New", body) for body in wrong] == [422] * len(wrong)
    assert put("x" * 1_000, text) == 422
    assert client.put("/api/v1/styles/New", data="{", headers=boss).status_code in (400, 415)
    assert client.get("/api/v1/styles/None", headers=boss).status_code == 404
    assert client.delete("/api/v1/styles/None", headers=boss).status_code == 404
    assert client.get("/api/v1/styles", headers=boss).get_json() == before


def test_a_list_may_be_neither_empty_nor_endless(guarded: Server) -> None:
    boss = person(guarded, "boss", is_administrator=True)
    client = guarded.client
    with guarded.runtime.transaction() as session:
        for number in range(MAX_STYLES - len(BUILT_IN_STYLES)):
            styles.STYLES.put(session, Style(f"style {number}", ("soft light",)))
    text = {"descriptions": ["soft mineral light"]}
    assert client.put("/api/v1/styles/One more", json=text, headers=boss).status_code == 409
    assert client.put("/api/v1/styles/style 0", json=text, headers=boss).status_code == 200
    with guarded.runtime.transaction() as session:
        for style in styles.STYLES.in_force(session):
            if style.name != "Cinematic":
                styles.STYLES.delete(session, style.name)
    assert client.delete("/api/v1/styles/Cinematic", headers=boss).status_code == 409
    assert client.get("/api/v1/styles", headers=boss).get_json()["count"] == 1
    assert client.delete("/api/v1/styles", headers=boss).status_code == 204
    whole = client.get("/api/v1/styles", headers=boss).get_json()
    assert (whole["count"], whole["is_edited"]) == (len(BUILT_IN_STYLES), False)


def test_an_enormous_prompt_is_read_like_any_and_a_larger_one_refused(
    guarded: Server, seeds: Iterator[int]
) -> None:
    ana = person(guarded, "ana")
    fill(guarded, ana, seeds, ["cinematic"] * 6 + [None] * 2)
    enormous = ("a lighthouse of many words, film still, " * 2_500)[:100_000]
    part = as_upload(picture(99), "p.png", "image/png")
    form = {"file": part, "prompt": enormous}
    refused = guarded.client.post("/api/v1/images", data=form, headers=ana)
    assert refused.status_code == 422
    image = upload(guarded, ana, next(seeds), enormous[:MAX_TEXT_CHARS].strip())
    guarded.work()
    (found,) = suggestions(guarded, ana)
    assert (found["label"], found["frequency"]) == ("Cinematic", 7)
    assert memory(guarded, ana)["prompts"] == 9
    assert guarded.client.get(image["url"], headers=ana).get_json()["status"] == "READY"


@pytest.mark.postgresql
def test_the_routes_answer_on_postgresql(
    suggesting: Callable[..., Server], postgresql_url: str, seeds: Iterator[int]
) -> None:
    server = suggesting(auth_mode="keys", database_url=postgresql_url)
    expect_cinematic(server, seeds)
    boss = person(server, "boss", is_administrator=True)
    text = {"descriptions": ["soft mineral light"]}
    assert server.client.put("/api/v1/styles/New", json=text, headers=boss).status_code == 201
    assert server.client.delete("/api/v1/styles/New", headers=boss).status_code == 204
    assert server.client.get("/api/v1/styles", headers=boss).get_json()["is_edited"]
    assert server.client.delete("/api/v1/styles", headers=boss).status_code == 204
    fill(server, boss, seeds, ["watercolour painting"] * 6)
    body = memory(server, boss)
    assert [style["label"] for style in body["styles"]] == ["Watercolour"]
    assert body["palette"]["pictures"] == 6
    with server.runtime.transaction() as session:
        session.execute(update(Content).values(palette=None))
        ledger.enqueue(session, BACKFILL_EMBEDDINGS)
    server.work()
    server.work()
    assert memory(server, boss) == body

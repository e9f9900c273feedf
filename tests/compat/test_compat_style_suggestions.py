"""The creative memory's style suggestions: key for key, only one's own, and never out of date."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mirada.db.session import Database
from mirada.usecases import users
from tests.compat.conftest import Server
from tests.encoders import CountingEncoder, with_encoder
from tests.pictures import picture
from tests.webapp.gallery import as_upload

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
        return {"Authorization": f"Bearer {users.issue_key(session, user)}"}


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


def test_limits_out_of_range_are_refused(suggesting: Callable[..., Server]) -> None:
    client = suggesting().client
    for query in ("limit=0", "limit=11", "limit=x"):
        assert client.get(f"{ADDRESS}?{query}").status_code == 422, query
    for query in ("limit=10", "limit=1", ""):
        assert client.get(f"{ADDRESS}?{query}").status_code == 200, query


def test_the_limit_keeps_the_surest(
    suggesting: Callable[..., Server], seeds: Iterator[int]
) -> None:
    server = suggesting()
    fill(server, {}, seeds, ["cinematic"] * 6 + ["watercolour painting"] * 5 + [None] * 5)
    both = suggestions(server, {})
    assert {found["label"] for found in both} == {"Cinematic", "Watercolour"}
    assert suggestions(server, {}, "?limit=1") == both[:1]
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

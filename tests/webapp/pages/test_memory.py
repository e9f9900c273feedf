"""Memory: one's own styles, subjects, colours and months, each leading to its pictures."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from mirada.people import users
from mirada.people.keys import issue as issue_key
from mirada.runtime import Runtime
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import as_upload
from testing.pictures import picture
from tests.compat.conftest import Server
from tests.webapp.pages.test_explore import HTML, tiles
from webapp.pages.memory import TREND_MONTHS, _colours, trend_of

SUBJECTS = ("a red fox", "an old sailor", "a lighthouse", "two dancers", "a snowy owl", "a church")


@pytest.fixture
def server(make_runtime: Callable[..., Runtime]) -> Server:
    from testing.application import create_app

    runtime = make_runtime(auth_mode="keys")
    with_encoder(runtime, CountingEncoder())
    return Server(runtime, create_app(runtime).test_client())


@pytest.fixture
def seeds() -> Iterator[int]:
    return itertools.count(1)


def person(server: Server, name: str) -> dict[str, str]:
    with server.runtime.transaction() as session:
        user = users.create_user(session, name)
        return HTML | {"Authorization": f"Bearer {issue_key(session, user).key}"}


def fill(
    server: Server, who: dict[str, str], seeds: Iterator[int], prompts: list[str]
) -> list[int]:
    ids = []
    for prompt in prompts:
        part = as_upload(picture(next(seeds)), "p.png", "image/png")
        made = server.client.post(
            "/api/v1/images", data={"file": part, "prompt": prompt}, headers=who
        )
        ids.append(made.get_json()["id"])
    server.work()
    return ids


def address_in(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, text
    return html.unescape(found[1])


def test_a_style_leads_to_its_pictures_and_shows_four_of_them(
    server: Server, seeds: Iterator[int]
) -> None:
    ana = person(server, "ana")
    ids = fill(server, ana, seeds, [f"{one}, cinematic" for one in SUBJECTS])
    page = server.client.get("/ui/memory", headers=ana)
    assert page.status_code == 200
    assert 'aria-current="page"' in page.text
    four = re.search(r'class="four".*?</a>', page.text, re.S)
    assert four is not None
    assert four[0].count("<img") == 4
    there = server.client.get(
        address_in(page.text, r'<h3 dir="auto"><a href="([^"]+)">Cinematic'), headers=ana
    )
    assert tiles(there.text) == ids[::-1]
    assert ">Cinematic</h1>" in there.text


def test_subjects_colours_and_months_lead_to_ones_own_pictures(
    server: Server, seeds: Iterator[int]
) -> None:
    ana = person(server, "ana")
    ids = fill(server, ana, seeds, [f"a red fox in winter {n}" for n in range(4)])
    text = server.client.get("/ui/memory", headers=ana).text
    subject = address_in(text, r'<ul class="leads">\s*<li><a href="([^"]+)"')
    assert "red fox" in text
    colour = address_in(text, r'<ul class="palette">\s*<li><a href="([^"]+)"')
    month = address_in(text, r'<ul class="months">\s*<li><a href="([^"]+)"')
    for address in (subject, colour, month):
        assert "mine=true" in address
        assert server.client.get(address, headers=ana).status_code == 200
    assert tiles(server.client.get(month, headers=ana).text) == ids[::-1]


def test_colours_of_one_name_are_one(server: Server) -> None:
    shares = {"#d0d0d0": 0.04, "#dd2e44": 0.06, "#303030": 0.03}
    palette = [SimpleNamespace(hex=colour, share=share) for colour, share in shares.items()]
    with server.client.application.test_request_context("/ui/memory"):
        found = _colours(SimpleNamespace(palette=palette))
        assert [(str(one.text), one.count, one.colour) for one in found] == [
            ("grey", 7, "#d0d0d0"),
            ("red", 6, "#dd2e44"),
        ]


def test_nothing_of_others_is_in_a_memory(server: Server, seeds: Iterator[int]) -> None:
    ana, bea = person(server, "ana"), person(server, "bea")
    fill(server, ana, seeds, [f"{one}, quilted zorbanite glow" for one in SUBJECTS])
    assert "zorbanite" in server.client.get("/ui/memory", headers=ana).text
    hers = server.client.get("/ui/memory", headers=bea)
    assert "zorbanite" not in hers.text
    assert "<img" not in hers.text.partition("<main")[2]
    wanted = "/ui/memory/style?name=quilted+zorbanite+glow"
    assert server.client.get(wanted, headers=ana).status_code == 200
    assert server.client.get(wanted, headers=bea).status_code == 404
    assert server.client.get("/ui/memory", headers=HTML).status_code in (303, 401)


def test_a_picture_that_is_gone_is_gone_from_its_style(
    server: Server, seeds: Iterator[int]
) -> None:
    ana = person(server, "ana")
    ids = fill(server, ana, seeds, [f"{one}, cinematic" for one in SUBJECTS])
    assert server.client.delete(f"/api/v1/images/{ids[0]}", headers=ana).status_code == 204
    there = server.client.get("/ui/memory/style?name=Cinematic", headers=ana)
    assert tiles(there.text) == ids[:0:-1]


def test_an_empty_memory_says_how_styles_come_about(server: Server) -> None:
    page = server.client.get("/ui/memory", headers=person(server, "ana"))
    assert "Styles come from the prompts" in page.text
    assert "<h2 id=" in page.text
    assert "Palette" not in page.text


def test_a_trend_ends_with_the_newest_month_and_its_highest_bar_is_full() -> None:
    from flask import Flask

    from webapp.pages import texts, wishes

    app = Flask(__name__)
    texts.register(app)
    counts = [("2025-01", 9), ("2025-12", 4), ("2026-02", 1)]
    with app.test_request_context():
        # Nobody is asked for their language.
        wishes.ask_no_more()
        bars = trend_of(counts, "2026-02")
    assert len(bars) == TREND_MONTHS
    assert [bar.height for bar in bars if bar.height] == [28, 7]
    assert (bars[-1].title, bars[0].title) == ("Feb 2026: 1", "Mar 2025: 0")


def test_what_people_write_is_never_markup(server: Server, seeds: Iterator[int]) -> None:
    ana = person(server, "ana")
    fill(server, ana, seeds, [f'{one}, <b onerror="x">glimmerwort weave' for one in SUBJECTS])
    text: Any = server.client.get("/ui/memory", headers=ana).text
    assert "glimmerwort" in text
    assert "<b " not in text

"""Refusals and failures as pages: what happened, what to do, and who is calling."""

from __future__ import annotations

from typing import Any

import pytest

from mirada.kernel.errors import Unavailable
from testing.gallery import Gallery
from tests.webapp.pages.test_explore import HTML


def test_an_address_without_a_page_says_so_and_asks_nobody_to_sign_in(gallery: Gallery) -> None:
    reply = gallery.get("/ui/nowhere", HTML)
    assert reply.status_code == 404
    assert "No page or picture has this address" in reply.text
    assert "Sign in" not in reply.text
    assert 'lang="en" dir="auto">There is nothing at /ui/nowhere' in reply.text


def test_whoever_is_signed_in_is_so_on_a_refusal(guarded: Gallery, key_of: Any) -> None:
    ana = key_of("ana", is_administrator=True) | HTML
    assert ">Index</a>" in guarded.get("/ui/nowhere", ana).text
    bob = key_of("bob") | HTML
    refused = guarded.get("/ui/index", bob)
    assert refused.status_code == 403
    assert "You may not do this here." in refused.text
    assert ">Sign in<" not in refused.text
    assert ">Sign in<" in guarded.get("/ui/nowhere", HTML).text


@pytest.mark.parametrize(
    ("language", "advice"),
    [("en", "Nothing is lost."), ("pt", "Nada se perdeu."), ("es", "No se ha perdido nada.")],
)
def test_advice_is_in_the_reader_s_language(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, language: str, advice: str
) -> None:
    def busy(*_: Any) -> None:
        raise Unavailable("The index is being read.")

    monkeypatch.setattr("webapp.pages.explore._listed", busy)
    reply = gallery.get("/ui", HTML | {"Accept-Language": language})
    assert reply.status_code == 503
    assert advice in reply.text
    assert "The index is being read." in reply.text
    assert int(reply.headers["Retry-After"]) > 0

"""The pages' languages: every text is in each of them, and has no hole that the English one has not."""

from __future__ import annotations

import re

import pytest
from flask import render_template_string
from flask.testing import FlaskClient
from flask_babel import ngettext

from testing.page_texts import is_translated, texts
from webapp.pages.texts import LANGUAGES, catalogue

HOLES = re.compile(r"%\(\w+\)s|\{\w+\}")
OTHERS = [code for code in LANGUAGES if code != "en"]


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_in_every_language(language: str) -> None:
    assert len(texts()) > 30
    assert [f"{file}: {text}" for file, text in texts() if not is_translated(text, language)] == []


@pytest.mark.parametrize("language", OTHERS)
def test_no_translation_has_a_hole_that_nothing_fills(language: str) -> None:
    known = catalogue(language)
    for file, text in texts():
        if isinstance(text, str):
            pairs = [(text, known.ugettext(text))]
        else:
            pairs = [(text[1], known.ungettext(*text, count)) for count in (1, 5)]
        for english, translated in pairs:
            assert set(HOLES.findall(translated)) <= set(HOLES.findall(english)), (file, english)


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "1 picture, 0 pictures, 12,345 pictures"),
        ("pt", "1 imagem, 0 imagens, 12.345 imagens"),
        ("es", "1 imagen, 0 imágenes, 12.345 imágenes"),
    ],
)
def test_a_number_in_a_text_is_written_as_the_language_writes_it(
    client: FlaskClient, language: str, told: str
) -> None:
    pair = ("%(num)s picture", "%(num)s pictures")
    with client.application.test_request_context(headers={"Accept-Language": language}):
        by_view = [ngettext(*pair, count) for count in (1, 0, 12_345)]
        source = "{{ ngettext(pair[0], pair[1], count) }}"
        by_template = [
            render_template_string(source, pair=pair, count=count) for count in (1, 0, 12_345)
        ]
    assert ", ".join(by_view) == ", ".join(by_template) == told


def test_what_goes_into_a_text_of_a_template_is_escaped(client: FlaskClient) -> None:
    source = '{{ ngettext("%(who)s: %(num)s", "%(who)s: %(num)s", 2, who="<b>") }}'
    with client.application.test_request_context():
        assert render_template_string(source) == "&lt;b&gt;: 2"

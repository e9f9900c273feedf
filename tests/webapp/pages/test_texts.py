"""The pages' languages: every text is in each of them, and has no hole that the English one has not."""

from __future__ import annotations

import re

import pytest

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

"""Styles of made people: what was planted is found, and nobody without a style is told of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.styles import diaries_of, judged, suggestions_of
from benchmarks.styles_set import made_people
from mirada.memory.background import Background, Surroundings
from mirada.memory.history import PromptHistory
from mirada.memory.rates import confidence
from mirada.memory.style_matcher import StyleMatcher
from mirada.memory.styles import BUILT_IN_STYLES, Style
from mirada.memory.suggest import Kind, suggest
from mirada.memory.summary import recurring_subjects
from mirada.memory.words import read

SUBJECTS = ("a fox", "an owl", "a teapot", "two dancers", "a lighthouse", "a tram", "a baker")


@pytest.mark.parametrize("seed", [1, 2])
def test_planted_styles_are_found_and_nobody_else_gets_any(seed: int) -> None:
    people = made_people("a", seed)
    histories = diaries_of(people, None)
    score = judged(people, histories, suggestions_of(histories, None))
    assert score.precision >= 0.9, score.faults
    assert score.recall >= 0.8, score.faults
    assert score.styleless_with == 0, score.faults


def test_the_same_prompts_get_the_same_suggestions() -> None:
    histories = diaries_of(made_people("a", 1)[:8], None)
    assert suggestions_of(histories, None) == suggestions_of(histories, None)


def _prompts(style: str, count: int) -> list[str]:
    return [f"{SUBJECTS[i % len(SUBJECTS)]} number {i}, {style}".strip(", ") for i in range(count)]


def _suggested(
    texts: list[str],
    others: Sequence[PromptHistory] = (),
    styles: tuple[Style, ...] = BUILT_IN_STYLES,
) -> list[str]:
    matcher = StyleMatcher(styles, None)
    history = PromptHistory(1, texts)
    return [one.label for one in suggest(history, matcher, Background([history, *others], matcher))]


def test_what_everybody_writes_is_nobodys_style() -> None:
    prompts = _prompts("quilted zorbanite glow", 20)
    assert _suggested(prompts) == ["quilted zorbanite glow"]
    others = [PromptHistory(person, prompts) for person in range(2, 30)]
    assert _suggested(prompts, others) == []


@pytest.mark.parametrize("loud", [1, 3, 30])
def test_what_others_ask_for_lowers_confidence_and_takes_no_named_style_away(loud: int) -> None:
    matcher = StyleMatcher(BUILT_IN_STYLES, None)
    own = PromptHistory(1, [*_prompts("cinematic", 7), *_prompts("", 6)])
    (alone,) = suggest(own, matcher, Background([own], matcher))
    others = [
        PromptHistory(person, _prompts(f"cinematic, {person}", 40)) for person in range(2, 2 + loud)
    ]
    (beside,) = suggest(own, matcher, Background([own, *others], matcher))
    assert (alone.label, len(alone.members)) == ("Cinematic", 7)
    assert (beside.label, beside.members) == (alone.label, alone.members)
    assert alone.confidence > 0.9 > beside.confidence


def test_styles_stay_styles_beside_their_companions_and_a_few_that_were_tried() -> None:
    tried = ["pencil sketch"] * 4 + ["macro photography"] * 4 + ["ukiyo-e", "woodcut", "art deco"]
    tried += ["cinematic", "solarpunk", "long exposure", "iridescent"]
    texts = _prompts("watercolour", 10) + _prompts("cyberpunk", 7)
    texts += _prompts("low poly, isometric, 3d render", 3) + _prompts("low poly", 3)
    texts += [f"{text}, {style}" for text, style in zip(_prompts("", 15), tried, strict=True)]
    texts += [f"a thing of its own {number}" for number in range(22)]
    assert _suggested(texts) == ["Watercolour", "Cyberpunk", "Low poly"]


def test_somebody_who_tries_many_styles_about_as_often_has_none_of_them() -> None:
    often = "cinematic"
    others = ["watercolour", "gouache", "woodcut", "etching", "ukiyo-e", "anime", "manga"]
    others += [
        "isometric",
        "cyberpunk",
        "origami",
        "collage",
        "mosaic",
        "stained glass",
        "low poly",
    ]
    texts = _prompts(often, 6) + [text for style in others for text in _prompts(style, 4)]
    assert _suggested(texts) == []
    assert _suggested(_prompts(often, 6) + _prompts("", 56)) == ["Cinematic"]


def test_what_a_style_is_called_is_no_subject() -> None:
    matcher = StyleMatcher(BUILT_IN_STYLES, None)
    prompts = [read(f"low poly {thing}, soft light") for thing in ("tram", "owl", "fox")]
    prompts += [read(f"red fox {place}") for place in ("in snow", "at home", "by night")]
    assert [one.label for one in recurring_subjects(prompts, matcher.words.is_name)] == ["red fox"]
    assert len(recurring_subjects(prompts)) == 2


def test_no_word_of_others_is_in_a_suggestion() -> None:
    others = [
        PromptHistory(person, _prompts(f"velvety {'q' * person}ux", 20)) for person in range(2, 20)
    ]
    matcher = StyleMatcher(BUILT_IN_STYLES, None)
    own = PromptHistory(1, [*_prompts("cinematic", 12), *_prompts("quilted zorbanite glow", 12)])
    found = suggest(own, matcher, Background([own, *others], matcher))
    listed = {style.name for style in BUILT_IN_STYLES}
    assert found
    for one in found:
        assert one.label in listed or one.label in " ".join(own.texts)


def test_a_style_taken_off_the_list_is_not_suggested_by_its_name() -> None:
    texts = _prompts("cinematic", 15)
    assert _suggested(texts) == ["Cinematic"]
    fewer = tuple(style for style in BUILT_IN_STYLES if style.name != "Cinematic")
    assert "Cinematic" not in _suggested(texts, styles=fewer)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "🦊🦊🦊, ✨",
        "ثعلب أحمر في الغابة، ألوان مائية",
        "שועל אדום, צבעי מים",
        "\u202ered fox\u202c, cinematic",
        "a" * 100_000,
        "fox, " * 20_000,
        "(((((" * 20_000,
        "<" * 100_000,
    ],
)
def test_any_text_is_read_without_trouble(text: str) -> None:
    assert _suggested([text, *_prompts("cinematic", 15)]) == ["Cinematic"]


def test_confidence_shrinks_with_few_prompts_and_at_everybodys_rate_is_nothing() -> None:
    assert confidence(3, 3, 0.02) < confidence(30, 30, 0.02) < 1
    assert confidence(2, 100, 0.02) == 0
    assert confidence(0, 0, 0.02) == 0


def _others(rng: np.random.Generator, people: int = 20, each: int = 30) -> tuple[np.ndarray, ...]:
    rows = rng.normal(size=(people * each, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.repeat(np.arange(2, people + 2), each), rows


def test_a_group_of_vectors_is_found_and_scattered_ones_are_none() -> None:
    rng = np.random.default_rng(3)
    space = Surroundings(*_others(rng))
    scattered = rng.normal(size=(60, 64)).astype(np.float32)
    scattered /= np.linalg.norm(scattered, axis=1, keepdims=True)
    assert space.groups(1, scattered, 9) == []
    grouped = scattered.copy()
    grouped[:20] += 0.8 * scattered[59]
    grouped /= np.linalg.norm(grouped, axis=1, keepdims=True)
    (group,) = space.groups(1, grouped, 9)
    assert len(set(group.members) & set(range(20))) >= 16
    assert len(set(group.members) - set(range(20)) - {59}) <= 3
    assert group.middle in group.members


def test_a_look_that_no_prompt_names_is_suggested_and_a_look_of_everybodys_is_not() -> None:
    rng = np.random.default_rng(4)
    owners, rows = _others(rng)
    direction = rows[0]
    texts = [f"{SUBJECTS[i % 7]} {chr(97 + i % 26)}{chr(97 + i // 26)}zq" for i in range(60)]
    pictures = rng.normal(size=(60, 64)).astype(np.float32)
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    pictures[:20] += direction
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    own = PromptHistory(1, texts, None, pictures)
    matcher = StyleMatcher(BUILT_IN_STYLES, None)
    plain = [
        PromptHistory(n, [f"{n} {i}" for i in range(30)], None, rows[owners == n])
        for n in range(2, 22)
    ]
    (look,) = suggest(own, matcher, Background([own, *plain], matcher))
    assert look.kind is Kind.LOOK
    assert len(set(look.members) & set(range(20))) >= 15
    alike = [PromptHistory(n, texts, None, pictures) for n in range(2, 22)]
    assert suggest(own, matcher, Background([own, *alike], matcher)) == []


@pytest.mark.parametrize(
    "way",
    ["(cinematic:1.2)", "((cinematic))", "(cinematic)1.3", "cinematic::2", "[cinematic:0.8]"],
)
def test_weights_of_prompts_hide_no_style_and_are_none(way: str) -> None:
    assert _suggested(_prompts(way, 15)) == ["Cinematic"]
    assert read(f"a fox, {way}") == read("a fox, cinematic")


def test_words_of_styles_are_folded_as_words_of_searches_are() -> None:
    for text in ("Weiße AQUARELLE smørrebrød", "weisse aquarelle smorrebrod"):
        assert [word.folded for word in read(text)[0]] == ["weisse", "aquarelle", "smorrebrod"]

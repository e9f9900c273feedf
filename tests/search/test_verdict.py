"""The verdict on an answer and the relevance of its results are one and the same judgement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.kernel.similarity import RELEVANT_FROM, Verdict
from mirada.search.found import Hit, Ranking
from mirada.search.queries import Source
from mirada.search.verdict import Opinion, fused_relevance

share = st.floats(0, 1)
vectors = st.sampled_from([Source.PICTURES, Source.PROMPTS, Source.CAPTIONS])
opinions = st.lists(
    st.builds(Opinion, vectors, st.floats(0.01, 10), share),
    max_size=3,
    unique_by=lambda o: o.source,
)


def ranking(relevances: list[float]) -> Ranking:
    hits = [Hit(number, 0.5, relevance) for number, relevance in enumerate(relevances, 1)]
    return Ranking(hits, "exact", len(hits), 1, None)


@given(st.lists(share, max_size=30))
def test_the_verdict_never_contradicts_the_results(relevances: list[float]) -> None:
    found = ranking(relevances)
    assert found.relevant_count == sum(hit.is_relevant for hit in found.hits)
    assert (found.verdict is Verdict.NOTHING) == (found.relevant_count == 0)
    is_sure = any(hit.relevance >= RELEVANT_FROM for hit in found.hits)
    assert (found.verdict is Verdict.RELEVANT) == is_sure


@given(opinions)
def test_several_sources_are_never_surer_than_the_surest_of_them(said: list[Opinion]) -> None:
    relevance = fused_relevance(said)
    assert 0 <= relevance <= 1
    if said:
        each = [opinion.relevance for opinion in said]
        assert min(each) - 1e-6 <= relevance <= max(each) + 1e-6


@given(opinions, share)
def test_where_there_is_a_caption_it_decides(said: list[Opinion], relevance: float) -> None:
    others = [each for each in said if each.source is not Source.CAPTIONS]
    caption = Opinion(Source.CAPTIONS, 0.1, relevance)
    assert fused_relevance([*others, caption]) == relevance
    assert fused_relevance([*others, caption, Opinion(Source.KEYWORDS, 1, 0.0)]) == relevance


@given(share, share)
def test_captions_that_do_not_tell_things_apart_are_a_source_like_others(
    of_caption: float, of_picture: float
) -> None:
    caption = Opinion(Source.CAPTIONS, 1, of_caption, tells_apart=False)
    picture = Opinion(Source.PICTURES, 1, of_picture)
    low, high = sorted([of_caption, of_picture])
    assert low - 1e-6 <= fused_relevance([caption, picture]) <= high + 1e-6
    assert fused_relevance([caption, picture]) == fused_relevance(
        [Opinion(Source.PROMPTS, 1, of_caption), picture]
    )


@given(opinions)
def test_an_image_with_every_word_is_relevant(said: list[Opinion]) -> None:
    assert fused_relevance([*said, Opinion(Source.KEYWORDS, 0.1, 1.0)]) == 1.0


def test_a_picture_that_happens_to_stand_out_does_not_overrule_its_prompt() -> None:
    picture, prompt = Opinion(Source.PICTURES, 1, 0.7), Opinion(Source.PROMPTS, 1, 0.02)
    assert fused_relevance([picture, prompt]) < 0.5
    assert fused_relevance([picture]) == 0.7
    weights = [Opinion(Source.PICTURES, weight, 0.7) for weight in (0.1, 1, 10, 100)]
    by_weight = [fused_relevance([each, prompt]) for each in weights]
    assert by_weight == sorted(by_weight)
    assert by_weight[-1] == pytest.approx(0.7, abs=0.05)

"""Hits as bytes: whatever a ranking says of a hit, its page says too."""

from __future__ import annotations

from dataclasses import fields

import pytest

from mirada.search.found import FoundBy, Hit
from mirada.search.places import hit_type, packed, sources_of, unpacked

ALONE = [
    Hit(2**62, 0.1234567, 0.97),
    Hit(1, -1.0, 0.0, collapsed_count=0),
    Hit(7, None, 0.5, collapsed_count=123_456),
]
FUSED = [
    Hit(5, 0.3, 0.9, 0.0325, [FoundBy("pictures", 2, 0.3, 0.9), FoundBy("keywords", 1, None, 1.0)]),
    Hit(6, None, 0.2, 0.01, [FoundBy("captions", 5_000, -0.25, 0.125)]),
    Hit(7, None, 0.0, 0.0, [FoundBy("keywords", 4, None, 0.0)]),
]


@pytest.mark.parametrize("hits", [[], ALONE, FUSED, ALONE + FUSED])
def test_hits_survive(hits: list[Hit]) -> None:
    sources = sources_of(hits)
    data = packed(hits, sources)
    assert len(data) == len(hits) * hit_type(sources).itemsize
    for found, hit in zip(unpacked(data, sources), hits, strict=True):
        for field in fields(Hit):
            told, given = getattr(found, field.name), getattr(hit, field.name)
            assert list(told) == list(given) if field.name == "found_by" else told == given


def test_a_piece_of_them_can_be_read_alone() -> None:
    sources = sources_of(FUSED)
    size, data = hit_type(sources).itemsize, packed(FUSED, sources)
    assert [hit.image_id for hit in unpacked(data[size : 3 * size], sources)] == [6, 7]


def test_every_field_of_a_hit_is_looked_at_here() -> None:
    """A new field of a hit has to be packed, or pages would not tell it."""
    assert [field.name for field in fields(Hit)] == [
        "image_id",
        "similarity",
        "relevance",
        "score",
        "found_by",
        "collapsed_count",
    ]
    assert [field.name for field in fields(FoundBy)] == [
        "source",
        "rank",
        "similarity",
        "relevance",
    ]


def test_a_hit_of_one_space_takes_few_bytes() -> None:
    assert hit_type([]).itemsize == 36
    assert hit_type(["pictures", "prompts", "captions", "keywords"]).itemsize <= 114

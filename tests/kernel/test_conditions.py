"""Conditions written NAME=VALUE: the same names and meanings as in requests, or a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.datastructures import MultiDict

from mirada.kernel.conditions import MAX_VALUES, SEVERAL, filter_of, read_conditions
from mirada.kernel.errors import InvalidInput
from webapp.schemas.filters import FILTER_NAMES, FilterParametersSchema

WRITTEN = {
    "owner": ["owner=3", "owner=4"],
    "visibility": ["visibility=private"],
    "status": ["status=READY", "status=FAILED"],
    "kind": ["kind=animated"],
    "shape": ["shape=square", "shape=portrait"],
    "has_prompt": ["has_prompt=false"],
    "liked": ["liked=true"],
    "created_after": ["created_after=2026-01-31"],
    "created_before": ["created_before=2026-01-31T12:00:00+02:00"],
    "theme": ["theme=Cute  Cats"],
    "label": ["label= cat", "label=dog=big"],
    "group": ["group=7"],
    "nsfw": ["nsfw=true"],
    "filename": ["filename=Cat.PNG"],
    "asset_id": ["asset_id=sku-7"],
    "colour": ["colour=red", "colour=grey"],
    "area": ["area=0,1,200,65535"],
    "pack": ["pack=7"],
    "tag": ["tag=red car", "tag=Holidays"],
    "shows": ["shows=cat"],
    "external_id": ["external_id=old-7"],
}


def by_request(written: list[str]) -> Any:
    fields = MultiDict(text.split("=", 1) for text in written)
    lists = {name: fields.getlist(name) if name in SEVERAL else fields[name] for name in fields}
    return filter_of(FilterParametersSchema().load(lists), 0.5)


def test_every_condition_of_requests_has_its_name_here() -> None:
    assert WRITTEN.keys() == FILTER_NAMES


@pytest.mark.parametrize("name", WRITTEN)
def test_a_condition_means_what_it_means_in_a_request(name: str) -> None:
    found = filter_of(read_conditions(WRITTEN[name]), 0.5)
    assert len(found.asked) == 1
    assert found == by_request(WRITTEN[name])


def test_all_together() -> None:
    everything = [text for texts in WRITTEN.values() for text in texts]
    assert filter_of(read_conditions(everything), 0.5) == by_request(everything)
    assert filter_of(read_conditions([]), 0.5).is_everything


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["kind"], "'kind' is no condition. One is written NAME=VALUE"),
        (["tone=red"], "the names are area, asset_id, colour, created_after"),
        (["kind="], "'kind=': It takes still, animated."),
        (["kind=still", "kind=animated"], "'kind' takes one value, and has two"),
        (["owner=" + "9" * 30], "It takes a number from 1."),
        (["group=-1"], "It takes a number from 1."),
        (["liked=maybe"], "It takes true, false."),
        (["created_after=then"], "such as 2026-01-31"),
        (["filename=" + "x" * 1000], "characters at most"),
        (["asset_id="], "An asset id is text that is not empty"),
        ([f"owner={n}" for n in range(1, MAX_VALUES + 2)], f"takes {MAX_VALUES} values at most"),
    ],
)
def test_what_is_no_condition_is_told_with_what_to_write(wrong: list[str], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_conditions(wrong)
    assert says in refused.value.detail

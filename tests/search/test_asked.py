"""A search without Flask: asked with plain values, as fresh as they say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirada.kernel.errors import Conflict, InvalidInput
from mirada.runtime import Runtime
from mirada.search.asked import Asked, current_change_seq
from mirada.search.queries import QueryKind
from mirada.search.related import RelatedRequest, related_images
from mirada.search.request import Part, SearchRequest
from mirada.search.run import run
from testing.scopes import seen_by
from testing.worksite import MeanColours, Site
from workers.runner import JobRunner


@pytest.fixture
def site(make_runtime: Callable[..., Runtime]) -> Site:
    runtime, encoder = make_runtime(), MeanColours()
    runtime.remember("encoder", encoder)
    return Site(runtime, encoder)


def embedded(site: Site, *seeds: int) -> list[int]:
    taken = [site.upload(seed) for seed in seeds]
    for each in taken:
        assert each.job_id is not None
        JobRunner(site.runtime).run(each.job_id)
    return [each.image_id for each in taken]


def like(image_id: int, asked: Asked) -> SearchRequest:
    return SearchRequest((Part(QueryKind.IMAGE_ID, image_id),), asked, k=5)


@pytest.mark.parametrize("k", [0, 1001])
def test_a_number_of_results_out_of_range_is_refused(k: int) -> None:
    with pytest.raises(InvalidInput):
        SearchRequest((Part(QueryKind.TEXT, "cat"),), Asked(seen_by(1)), k)


def test_what_was_just_committed_is_found_by_whoever_asks_for_it(site: Site) -> None:
    first, second = embedded(site, 1, 2)
    asked = Asked(seen_by(site.owner_id), current_change_seq(site.runtime))

    found = run(site.runtime, like(first, asked))
    related = related_images(site.runtime, RelatedRequest(first, asked, 5))

    assert [each.image.id for each in found.results] == [second]
    assert [each.image.id for each in related.results] == [second]
    (third,) = embedded(site, 3)
    later = Asked(asked.scope, current_change_seq(site.runtime))
    assert third in {each.image.id for each in run(site.runtime, like(second, later)).results}


def test_a_number_that_was_never_given_is_a_conflict(site: Site) -> None:
    (image_id,) = embedded(site, 1)
    with pytest.raises(Conflict, match="never gave the change number"):
        run(site.runtime, like(image_id, Asked(seen_by(site.owner_id), 10**9)))

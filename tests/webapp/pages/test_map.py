"""Map: the list of groups and what a search lights up, complete without a script."""

from __future__ import annotations

import re
from typing import Any

from mirada.adapters.projection.components import ComponentsProjection
from mirada.groups import map_rows
from testing.gallery import Gallery
from workers.runner import run_job

HTML = {"Accept": "text/html"}


def make_map(gallery: Gallery) -> None:
    """Do what the sweeper and the worker do."""
    gallery.runtime.remember("projection", ComponentsProjection())
    with gallery.runtime.transaction() as session:
        job = map_rows.request_map(session)
    assert run_job(gallery.runtime, job.id)


def lit(text: str) -> list[int]:
    """Return the ids that a page lights up."""
    found = re.search(r'id="lit"[^>]*data-lit="([^"]*)"', text)
    assert found is not None
    return [int(one) for one in found[1].split()]


def test_before_the_first_map_the_page_says_so(gallery: Gallery) -> None:
    text = gallery.get("/ui/map", HTML).text
    assert "There is no map yet." in text
    assert "data-points" not in text


def test_the_groups_are_a_list_with_sizes_examples_and_a_way_to_explore(gallery: Gallery) -> None:
    for degrees in (0, 2, 4, 6, 80, 82, 84, 86):
        gallery.upload(degrees=float(degrees), caption=f"<b>at {degrees}</b>")
    make_map(gallery)
    gallery.upload(degrees=40.0)
    text = gallery.get("/ui/map", HTML).text
    assert "8 pictures" in text
    assert "1 newer one comes with the next map" in text
    assert len(re.findall(r'<li class="group"', text)) == 2
    assert 'alt="&lt;b&gt;at 0&lt;/b&gt;"' in text
    address = re.search(r'href="(/ui\?group=\d+)"', text)
    assert address is not None
    assert "4 pictures" in gallery.get(address[1], HTML).text
    assert re.search(r'data-points="/api/v1/map/points/\d+"', text)


def test_a_search_lights_up_what_is_relevant_and_the_box_stays_on_the_map(
    gallery: Gallery,
) -> None:
    ids = [gallery.upload(degrees=float(degrees))["id"] for degrees in (0, 1, 2, 60, 120, 150)]
    make_map(gallery)
    page = gallery.get(f"/ui/map?plus={ids[0]}&zoom=4&x=0.25&y=0.5", HTML).text
    part = gallery.get(f"/ui/map?plus={ids[0]}&part=1", HTML).text
    assert lit(page) == lit(part)
    assert set(lit(page)) <= set(ids)
    assert "<html" not in part
    assert 'action="/ui/map"' in page
    assert 'data-zoom="4.0"' in page
    assert f'href="/ui?plus={ids[0]}"' in page
    assert "data-lit" not in gallery.get("/ui/map", HTML).text


def test_a_view_beyond_the_map_is_refused(gallery: Gallery) -> None:
    for wrong in ("x=2", "y=-1", "zoom=0.5", "zoom=x", "odd=1"):
        assert gallery.get(f"/ui/map?{wrong}", HTML).status_code == 422


def test_what_becomes_private_leaves_the_map_of_others(guarded: Gallery, key_of: Any) -> None:
    one, other = key_of("one"), key_of("other")
    image = guarded.upload(headers=one, degrees=0.0, is_public="true", caption="a secret place")
    guarded.upload(headers=other, degrees=80.0)
    make_map(guarded)
    assert "a secret place" in guarded.get("/ui/map", {**HTML, **other}).text
    guarded.client.patch(f"/api/v1/images/{image['id']}", json={"is_public": False}, headers=one)
    assert "a secret place" not in guarded.get("/ui/map", {**HTML, **other}).text
    assert "a secret place" in guarded.get("/ui/map", {**HTML, **one}).text

"""Tiles: addresses that never change, and what is behind a picture before and beside it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import update

from mirada.db.models import Content, Image
from testing.gallery import Gallery

HTML = {"Accept": "text/html"}


def looking(gallery: Gallery, **look: Any) -> str:
    """Return the tile of one picture that a worker has seen."""
    gallery.upload(degrees=0)
    with gallery.runtime.transaction() as session:
        session.execute(update(Content).values(placeholder="IAgCBw==", **look))
    found = re.search(r'<li class="tile.*?</a>', gallery.get("/ui", HTML).text, re.DOTALL)
    assert found
    return found[0]


def test_tiles_have_the_addresses_that_replies_tell(gallery: Gallery) -> None:
    src = gallery.upload()["picture"]["src"]
    text = gallery.get("/ui", HTML).text
    assert f'src="{src["320"]}"' in text
    assert f'srcset="{src["320"]} 320w, {src["640"]} 640w"' in text
    assert "/thumbnail" not in text


def test_the_page_of_an_image_has_the_large_one(gallery: Gallery) -> None:
    image = gallery.upload()
    text = gallery.get(f"/ui/images/{image['id']}", HTML).text
    assert f'src="{image["picture"]["src"]["1280"]}"' in text


def test_an_image_without_a_token_is_shown_by_its_thumbnail(gallery: Gallery) -> None:
    image = gallery.upload()
    with gallery.runtime.transaction() as session:
        session.get_one(Image, image["id"]).picture_token = None
    assert f'src="{image["thumbnail_url"]}?size=320"' in gallery.get("/ui", HTML).text


@pytest.mark.parametrize(
    ("look", "ground", "colour"),
    [
        ({"has_alpha": False, "colour": "#dc2f45", "lightness": 0.6}, "tile", "#dc2f45"),
        ({"has_alpha": True, "colour": "#dc2f45", "lightness": 0.6}, "tile clear", None),
        ({"has_alpha": True, "colour": "#602020", "lightness": 0.3}, "tile clear dim", None),
        # A badger: dark legs, and light for the rest.
        ({"has_alpha": True, "colour": "#32383e", "lightness": 0.59}, "tile clear dim", None),
        ({"has_alpha": True, "colour": "#fafafa", "lightness": 0.95}, "tile clear bright", None),
        ({"has_alpha": None, "colour": None, "lightness": None}, "tile", None),
    ],
)
def test_a_tile_is_the_ground_on_which_its_picture_stands_out(
    gallery: Gallery, look: dict[str, Any], ground: str, colour: str | None
) -> None:
    tile = looking(gallery, **look)
    assert f'class="{ground}"' in tile
    assert (f'data-colour="{colour}"' in tile) if colour else "data-colour" not in tile

"""Pictures in a browser: asked for once, on a ground that is there before them, and gone when private."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser
from sqlalchemy import update

from mirada.db.models import Content
from mirada.runtime import Runtime
from testing.browsing import visiting
from testing.gallery import Gallery

pytestmark = pytest.mark.browser
DESK = {"width": 1440, "height": 900}


@pytest.fixture
def library(runtime: Runtime, client: Any) -> Gallery:
    gallery = Gallery(runtime, client)
    for n in range(12):
        gallery.upload(degrees=float(n * 7), **({"is_public": "true"} if n % 2 else {}))
    with runtime.transaction() as session:
        look = {"has_alpha": False, "colour": "#dc2f45", "lightness": 0.6}
        session.execute(update(Content).values(placeholder="IAgCBw==", **look))
    return gallery


@pytest.mark.usefixtures("library")
def test_a_second_visit_asks_for_no_picture_again(
    app: Any, browser: Browser, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    inner = app.wsgi_app

    def listening(environ: Any, start: Any) -> Any:
        heard.append(environ["PATH_INFO"])
        return inner(environ, start)

    monkeypatch.setattr(app, "wsgi_app", listening)
    with visiting(browser, address, viewport=DESK) as visit:
        visit.go("/ui")
        first = [path for path in heard if path.startswith("/i/")]
        assert len(first) == len(set(first)) == 12
        heard.clear()
        visit.go("/ui/about")
        visit.go("/ui")
        shown = visit.page.locator(".tile img")
        assert shown.count() == 12
        assert all(
            one.evaluate("one => one.complete && one.naturalWidth > 0") for one in shown.all()
        )
        assert "/ui" in heard
        assert [path for path in heard if path.startswith("/i/") or "thumbnail" in path] == []
        visit.require_clean()


@pytest.mark.usefixtures("library")
def test_a_tile_has_its_picture_s_colour(browser: Browser, address: str) -> None:
    with visiting(browser, address, viewport=DESK) as visit:
        page = visit.go("/ui")
        ground = page.locator(".tile").first.evaluate(
            "one => getComputedStyle(one).backgroundColor"
        )
        assert ground == "rgb(220, 47, 69)"
        visit.require_clean()


def test_a_picture_made_private_is_gone_at_its_old_address(
    browser: Browser, address: str, library: Gallery
) -> None:
    image = library.upload(is_public="true")
    old = image["picture"]["src"]["320"]
    with visiting(browser, address) as visit:
        assert visit.page.request.get(f"{address}{old}").status == 200
    library.client.patch(image["url"], json={"is_public": False})
    with visiting(browser, address) as fresh:
        assert fresh.page.request.get(f"{address}{old}").status == 404

"""Deleting on pages with TRASH_DAYS=0: what is deleted is gone, after a question."""

from __future__ import annotations

from typing import Any

import pytest

from mirada.runtime import Runtime
from testing.application import create_app
from testing.gallery import Gallery
from tests.conftest import MakeRuntime
from tests.webapp.pages.test_explore import HTML
from tests.webapp.pages.test_settings import forms
from tests.webapp.pages.test_trash import sent, shown, status


@pytest.fixture
def runtime(make_runtime: MakeRuntime) -> Runtime:
    """An installation that keeps nothing."""
    return make_runtime(trash_days=0)


@pytest.fixture
def guarded(make_runtime: MakeRuntime) -> Gallery:
    """The same behind AUTH_MODE=keys."""
    runtime = make_runtime(auth_mode="keys", trash_days=0)
    return Gallery(runtime, create_app(runtime).test_client())


def test_deleting_asks_on_a_page_of_its_own(gallery: Gallery) -> None:
    image = gallery.upload(caption="a cat")
    page = f"/ui/images/{image['id']}"
    ask = f"{page}/delete?mine=true"
    assert f'<a class="button" id="delete" href="{ask}">' in shown(gallery, f"{page}?mine=true")
    # A form of a page of before, when there was a trash, erases nothing.
    assert sent(gallery, ask) == ask
    assert status(gallery, image) == 200
    text = shown(gallery, ask)
    assert "This cannot be undone." in text
    assert f'href="{page}?mine=true"' in text
    assert sent(gallery, ask, **forms(text, ask)) == "/ui?mine=true"
    assert status(gallery, image) == 404
    assert "what you delete is gone at once" in shown(gallery, "/ui/trash")


def test_nobody_is_asked_about_or_deletes_anothers_picture(guarded: Gallery, key_of: Any) -> None:
    ana, ben = key_of("ana") | HTML, key_of("ben", is_administrator=True) | HTML
    image = guarded.upload(headers=ana, is_public="true")
    ask = f"/ui/images/{image['id']}/delete"
    assert guarded.get(ask, ben).status_code == 404
    assert guarded.client.post(ask, data={"sure": "1"}, headers=ben).status_code == 404
    assert status(guarded, image, ana) == 200
    assert sent(guarded, ask, ana, sure="1") == "/ui"
    assert status(guarded, image, ana) == 404

"""Webhooks in Settings: made, changed, tried, switched and replayed by forms, without a script."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select, update

from mirada.db.webhook_models import Webhook, WebhookDelivery
from mirada.webhooks import deliveries, hooks
from mirada.webhooks.deliveries import DeliveryState, Outcome
from testing.gallery import Gallery
from tests.webapp.pages.test_explore import HTML
from tests.webapp.pages.test_settings import forms
from webapp.pages import webhooks

HERE = "/ui/settings/webhooks"
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")
TYPED: dict[str, Any] = {
    "address": "https://hooks.example/mirada",
    "events": ["image.ready", "job.ended"],
    "description": "our <b>shop</b>",
}


@pytest.fixture
def ana(key_of: Any) -> dict[str, str]:
    return dict(key_of("ana")) | HTML


def post(gallery: Gallery, who: dict[str, str], page: str, action: str, **typed: Any) -> Any:
    """Send a form of a page as it stands there, with what is typed."""
    sent = forms(gallery.get(page, who).text, action) | typed
    return gallery.client.post(action, data=sent, headers=who)


def made(gallery: Gallery, who: dict[str, str], **typed: Any) -> str:
    """Make a webhook and return the address of its page."""
    reply = post(gallery, who, HERE, HERE, **(TYPED | typed))
    assert reply.status_code == 201, reply.text
    found = re.search(rf'href="({HERE}/\d+)"', reply.text)
    assert found is not None
    return found.group(1)


def test_every_event_state_and_reason_has_words() -> None:
    assert set(webhooks.EVENTS) == {*hooks.Event, deliveries.TEST}
    assert set(webhooks.STATES) == set(DeliveryState)
    assert set(webhooks.ENDED) == set(hooks.Ended)


def test_a_webhook_is_made_and_its_secret_is_shown_once(
    guarded: Gallery, ana: dict[str, str]
) -> None:
    assert f'href="{HERE}"' in guarded.get("/ui/settings", ana).text
    sent = forms(guarded.get(HERE, ana).text, HERE) | TYPED
    first = guarded.client.post(HERE, data=sent, headers=ana)
    assert (first.status_code, first.headers["Cache-Control"]) == (201, "no-store")
    (secret,) = set(SECRET.findall(first.text))
    # The same form again makes none, and shows no secret.
    again = guarded.client.post(HERE, data=sent, headers=ana)
    assert again.status_code == 201
    assert "was sent before" in again.text
    assert secret not in again.text
    listed = guarded.get(HERE, ana).text
    assert listed.count("https://hooks.example/mirada</a>") == 1
    assert "our &lt;b&gt;shop&lt;/b&gt;" in listed
    page = re.search(rf'href="({HERE}/\d+)"', listed)
    assert page is not None
    one = guarded.get(page.group(1), ana).text
    assert secret not in one
    assert secret not in listed
    assert re.search(r'value="job.ended" checked', one)
    assert re.search(r'value="image.deleted">', one)


@pytest.mark.parametrize(
    ("odd", "field"),
    [
        ({"address": "ftp://hooks.example/"}, 'id="address"'),
        ({"address": "no address"}, 'id="address"'),
        ({"events": []}, "Choose at least one."),
    ],
    ids=str,
)
def test_what_is_refused_is_said_beside_its_field_and_stays_typed(
    guarded: Gallery, ana: dict[str, str], odd: dict[str, Any], field: str
) -> None:
    page = made(guarded, ana)
    for action, at in ((HERE, HERE), (page, page)):
        typed = TYPED | {"description": "typed by hand"} | odd
        refused = post(guarded, ana, at, action, **typed)
        assert refused.status_code == 422
        assert 'value="typed by hand"' in refused.text
        assert field in refused.text
        assert 'role="alert"' in refused.text
    with guarded.runtime.reading() as session:
        (hook,) = session.execute(select(Webhook)).scalars()
    assert hook.description == TYPED["description"]


def test_address_events_and_name_are_changed(guarded: Gallery, ana: dict[str, str]) -> None:
    page = made(guarded, ana)
    changed = {
        "address": "https://other.example/",
        "events": ["image.deleted"],
        "description": "",
    }
    saved = post(guarded, ana, page, page, **changed)
    assert (saved.status_code, saved.headers["Location"]) == (303, f"{page}?done=saved")
    shown = guarded.get(saved.headers["Location"], ana).text
    assert "Saved." in shown
    assert 'value="https://other.example/"' in shown
    assert re.search(r'value="image.deleted" checked', shown)
    assert "job.ended" in shown
    assert not re.search(r'value="job.ended" checked', shown)


def test_a_test_is_sent_its_end_is_told_and_it_is_sent_again(
    guarded: Gallery, ana: dict[str, str]
) -> None:
    page = made(guarded, ana)
    assert "Nothing yet." in guarded.get(page, ana).text
    sent = post(guarded, ana, page, f"{page}/test")
    assert sent.headers["Location"] == f"{page}?done=tested"
    waiting = guarded.get(page, ana).text
    assert "a test: on its way" in waiting
    assert "/replay" not in waiting
    with guarded.runtime.transaction() as session:
        (row,) = session.execute(select(WebhookDelivery)).scalars()
        outcome = Outcome(500, "The server <answered> 500.", 41, is_hopeless=True)
        deliveries.record(session, row.id, outcome)
    failed = guarded.get(page, ana).text
    assert "a test: given up (500)" in failed
    assert "The server &lt;answered&gt; 500." in failed
    assert "1 attempt" in failed
    assert "Nothing was taken since" in failed
    again = post(guarded, ana, page, f"{page}/deliveries/{row.id}/replay")
    assert again.headers["Location"] == f"{page}?done=again"
    assert "a test: on its way" in guarded.get(page, ana).text


def test_it_is_switched_off_and_on_and_says_why_it_went_off(
    guarded: Gallery, ana: dict[str, str]
) -> None:
    page = made(guarded, ana)
    post(guarded, ana, page, f"{page}/switch", on="0")
    off = guarded.get(page, ana).text
    assert "It is switched off" in off
    assert f"{page}/test" not in off
    assert "switched off" in guarded.get(HERE, ana).text
    with guarded.runtime.transaction() as session:
        session.execute(update(Webhook).values(ended_reason=hooks.Ended.GONE))
    assert "wants no more (410)" in guarded.get(page, ana).text
    post(guarded, ana, page, f"{page}/switch", on="1")
    assert "It is on" in guarded.get(page, ana).text


def test_another_secret_is_shown_once_and_both_count_for_a_day(
    guarded: Gallery, ana: dict[str, str]
) -> None:
    page = made(guarded, ana)
    with guarded.runtime.reading() as session:
        before = session.execute(select(Webhook.secret)).scalar_one()
    renewed = post(guarded, ana, page, f"{page}/secret")
    assert (renewed.status_code, renewed.headers["Cache-Control"]) == (200, "no-store")
    (secret,) = set(SECRET.findall(renewed.text))
    assert secret != before
    shown = guarded.get(page, ana).text
    assert "Both count until" in shown
    assert not SECRET.search(shown)


def test_deleting_asks_first(guarded: Gallery, ana: dict[str, str]) -> None:
    page = made(guarded, ana)
    gone = post(guarded, ana, f"{page}/delete", f"{page}/delete")
    assert gone.headers["Location"] == f"{HERE}?done=deleted"
    assert "You have no webhook." in guarded.get(gone.headers["Location"], ana).text
    assert guarded.get(page, ana).status_code == 404


def test_a_webhook_of_somebody_else_does_not_exist(
    guarded: Gallery, ana: dict[str, str], key_of: Any
) -> None:
    page, ben = made(guarded, ana), key_of("ben") | HTML
    assert guarded.get(page, ben).status_code == 404
    assert guarded.get(f"{page}/delete", ben).status_code == 404
    for act in ("", "/switch", "/test", "/secret", "/delete", "/deliveries/1/replay"):
        asked = guarded.client.post(f"{page}{act}", data=TYPED, headers=ben)
        assert asked.status_code == 404, act
    assert "hooks.example" not in guarded.get(HERE, ben).text


def test_a_long_log_goes_on_behind_a_link_and_the_most_is_said(
    guarded: Gallery, ana: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "DELIVERIES", 1)
    page = made(guarded, ana)
    for _ in range(2):
        post(guarded, ana, page, f"{page}/test")
    shown = guarded.get(page, ana).text
    following = re.search(r'rel="next" href="([^"]+)"', shown)
    assert following is not None
    assert 'rel="next"' not in guarded.get(following.group(1).partition("#")[0], ana).text
    monkeypatch.setattr(hooks, "MOST", 1)
    full = guarded.get(HERE, ana).text
    assert "which is the most" in full
    assert "New webhook" not in full

"""Text that is typed into a session which has ended is on the page that refuses it, for every form."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from mirada.db.models import User
from mirada.people import keys, users
from mirada.runtime import Runtime
from mirada.webhooks import hooks
from testing.application import create_app
from testing.gallery import Gallery, as_upload
from tests.webapp.pages.test_explore import HTML
from webapp.callers.sessions import COOKIE

SIGN_IN = "/ui/sign-in"
TYPED = "typed by hand: <b>é & 漢字</b>"


@dataclass
class Form:
    """A form of a page.

    Attributes:
        action: where it is sent.
        fields: of it, as browsers send them untouched.
        boxes: names of those that take text.
    """

    action: str
    is_post: bool
    fields: list[tuple[str, str]] = field(default_factory=list)
    boxes: list[str] = field(default_factory=list)
    has_files: bool = False


class Forms(HTMLParser):
    """The forms of a page, in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._open: Form | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, kind = given.get("name"), given.get("type", "text")
        if tag == "form":
            self._open = Form(given.get("action") or "", given.get("method") == "post")
            self.found.append(self._open)
        if self._open is None:
            return
        if tag == "button" and name is not None and name not in dict(self._open.fields):
            self._open.fields.append((name, given.get("value") or ""))
        elif tag == "input" and kind == "file":
            self._open.has_files = True
        elif tag in ("input", "textarea") and name is not None:
            if tag == "textarea" or kind in ("text", "url", "number", "search"):
                self._open.boxes.append(name)
            elif kind not in ("checkbox", "radio") or "checked" in given:
                self._open.fields.append((name, given.get("value") or ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None


def posts(text: str) -> list[Form]:
    return [form for form in Forms(text).found if form.is_post]


def form_to(text: str, action: str) -> Form:
    (form,) = [form for form in posts(text) if form.action == action]
    return form


@pytest.fixture
def runtime(make_runtime: Callable[..., Runtime]) -> Runtime:
    return make_runtime(auth_mode="keys", embeddings_enabled=False)


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    return create_app(runtime).test_client()


@pytest.fixture
def key(runtime: Runtime) -> str:
    with runtime.transaction() as session:
        made = users.create_with_key(session, "boss", is_administrator=True).first_key.key
    assert made is not None
    return made


def sign_in(client: FlaskClient, key: str) -> None:
    assert client.post(SIGN_IN, data={"key": key}, headers=HTML).status_code == 303


def sent(client: FlaskClient, form: Form, typed: str = TYPED, **more: Any) -> Any:
    """Send a form with text in each of its boxes."""
    data: dict[str, list[Any]] = {}
    if form.has_files:
        data["file"] = [as_upload(b"no picture")]
    for name, value in [*form.fields, *((name, typed) for name in form.boxes)]:
        data.setdefault(name, []).append(value)
    return client.post(form.action, data=data, headers=HTML, **more)


def test_every_form_of_every_page_keeps_what_was_typed(
    client: FlaskClient, runtime: Runtime, key: str
) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    image = Gallery(runtime, client).upload(headers=headers, is_public="true", prompt="a cat")
    tagged = client.put(f"{image['url']}/tags", json={"tags": ["kept"]}, headers=headers)
    assert tagged.status_code == 200
    with runtime.transaction() as session:
        boss = users.user_named(session, "boss")
        ana = users.create_user(session, "ana")
        theirs = keys.issue(session, boss, name="a phone").row
        hook = hooks.make_webhook(
            session, boss.id, address="https://hooks.example/", events=["image.ready"]
        )
    sign_in(client, key)
    seen: set[str] = set()
    lost, boxes = [], 0
    pages = [
        *("/ui", "/ui/map", "/ui/memory", "/ui/activity", "/ui/index", "/ui/groups", "/ui/trash"),
        *("/ui/add", "/ui/about", "/ui/usage", "/ui/settings", "/ui/settings/audit"),
        *(f"/ui/settings/{which}/one" for which in ("labels", "styles")),
        *("/ui/settings/labels/one?name=cat", "/ui/settings/labels/remove?name=cat"),
        *("/ui/settings/styles/reset", "/ui/settings/webhooks"),
        *(f"/ui/settings/webhooks/{hook.id}{more}" for more in ("", "/delete")),
        *(f"/ui/settings/users/{ana.id}{more}" for more in ("", "/end")),
        *(f"/ui/settings/keys/{theirs.id}/revoke", f"/ui/images/{image['id']}"),
        *("/ui/tags", "/ui/tags/one?name=kept"),
    ]
    forms = []
    for page in pages:
        shown = client.get(page, headers=HTML)
        assert shown.status_code == 200, page
        forms += [(page, form) for form in posts(shown.text)]
    client.delete_cookie(COOKIE)
    for page, form in forms:
        if form.action in (*seen, "/ui/sign-out", "/ui/preferences", SIGN_IN):
            continue
        seen.add(form.action)
        refused = sent(client, form)
        assert refused.status_code == 401, (page, form.action)
        if form.has_files:
            kept = TYPED_AS_SHOWN in refused.text
        else:
            again = [one for one in posts(refused.text) if one.action == form.action]
            kept = len(again) == 1 and sorted(again[0].fields) == sorted(
                [(n, v) for n, v in form.fields if n != "csrf_token"]
                + [(name, TYPED) for name in form.boxes]
            )
        boxes += len(form.boxes)
        if not kept:
            lost.append((page, form.action))
    assert lost == []
    assert boxes >= 20


TYPED_AS_SHOWN = "typed by hand: &lt;b&gt;é &amp; 漢字&lt;/b&gt;"


def test_one_signs_in_on_the_page_and_sends_it(
    client: FlaskClient, runtime: Runtime, key: str
) -> None:
    sign_in(client, key)
    form = form_to(client.get("/ui/settings", headers=HTML).text, "/ui/settings/users")
    form.fields.append(("role", "user"))
    client.delete_cookie(COOKIE)
    refused = sent(client, form, "ana")
    entry = form_to(refused.text, SIGN_IN)
    # A wrong key loses nothing either.
    wrong = client.post(SIGN_IN, data=dict(entry.fields) | {"key": "mrd_wrong"}, headers=HTML)
    assert wrong.status_code == 401
    entry = form_to(wrong.text, SIGN_IN)
    signed_in = client.post(SIGN_IN, data=dict(entry.fields) | {"key": key}, headers=HTML)
    assert signed_in.status_code == 200
    assert signed_in.headers["Cache-Control"] == "no-store"
    assert "signed in as boss" in signed_in.text
    assert '<p dir="auto">ana</p>' in signed_in.text
    again = form_to(signed_in.text, "/ui/settings/users")
    assert sent(client, again).status_code == 201
    with runtime.reading() as session:
        names = session.execute(select(User.username)).scalars().all()
    assert sorted(names) == ["ana", "boss"]


def test_one_signs_in_in_another_tab_and_sends_it(client: FlaskClient, key: str) -> None:
    sign_in(client, key)
    form = form_to(client.get("/ui/settings", headers=HTML).text, "/ui/settings/keys")
    client.delete_cookie(COOKIE)
    refused = sent(client, form, "a phone")
    sign_in(client, key)
    # The form carries no token of the new session, and its page says so.
    asked = sent(client, form_to(refused.text, "/ui/settings/keys"))
    assert asked.status_code == 403
    assert "What you wrote is still here" in asked.text
    assert sent(client, form_to(asked.text, "/ui/settings/keys")).status_code == 201


def test_a_form_with_the_token_of_an_earlier_session_is_kept(client: FlaskClient, key: str) -> None:
    sign_in(client, key)
    form = form_to(client.get("/ui/settings", headers=HTML).text, "/ui/settings/keys")
    sign_in(client, key)
    refused = sent(client, form, "a phone")
    assert refused.status_code == 403
    assert sent(client, form_to(refused.text, "/ui/settings/keys")).status_code == 201


def test_what_another_origin_sent_is_not_offered_again(client: FlaskClient, key: str) -> None:
    data = {"username": "mallory", "role": "administrator"}
    for odd in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        refused = client.post("/ui/settings/users", data=data, headers=HTML | odd)
        assert refused.status_code == 401
        assert "mallory" not in refused.text
        packed = json.dumps({"action": "/ui/settings/users", "fields": [["username", "mallory"]]})
        entered = client.post(SIGN_IN, data={"unsent": packed, "key": key}, headers=HTML | odd)
        assert entered.status_code == 403
        assert "mallory" not in entered.text


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "[]",
        "{",
        '{"action": 1, "fields": 2}',
        '{"action": "https://evil.example/ui", "fields": []}',
        '{"action": "//evil.example/ui", "fields": []}',
        '{"action": "/api/v1/users", "fields": []}',
    ],
)
def test_what_is_no_form_of_ours_is_not_carried_along(
    client: FlaskClient, key: str, odd: str
) -> None:
    entered = client.post(SIGN_IN, data={"unsent": odd, "key": key}, headers=HTML)
    assert entered.status_code == 303
    assert entered.headers["Location"] == "/ui"


def test_a_refusal_of_another_kind_keeps_it_too(client: FlaskClient, key: str) -> None:
    sign_in(client, key)
    form = form_to(client.get("/ui/settings", headers=HTML).text, "/ui/settings/users")
    refused = sent(client, form, "no name because of blanks")
    assert refused.status_code in (400, 422)
    assert "no name because of blanks" in refused.text

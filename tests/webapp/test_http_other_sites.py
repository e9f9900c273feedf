"""Pages of other sites in open mode, and which replies they may show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from mirada.runtime import Runtime
from testing.gallery import Gallery, as_upload, assert_problem
from testing.pictures import picture

EVIL = "https://evil.example"
GOOD = "https://app.example"
REFUSED = {
    "a call of a script": {"Origin": EVIL},
    "a call of a script, told twice": {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"},
    "a page without an origin": {"Origin": "null"},
    "an empty origin": {"Origin": ""},
    "a picture in a page": {
        "Referer": f"{EVIL}/cats.html",
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Dest": "image",
        "Sec-Fetch-Mode": "no-cors",
    },
    "a picture of a page that hides itself": {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Dest": "image",
        "Sec-Fetch-Mode": "no-cors",
    },
    "a picture, asked for by an old browser": {"Referer": f"{EVIL}/cats.html"},
    "a page of this machine on another port": {
        "Origin": "http://localhost:9999",
        "Sec-Fetch-Site": "same-site",
    },
    "an allowed name as a part of another": {"Origin": f"{GOOD}.evil.example"},
    "an allowed name with another port": {"Origin": f"{GOOD}:8443"},
    "an allowed name without its scheme": {"Origin": "app.example"},
    "our own name and another port": {"Referer": "http://localhost:9999/"},
    "a frame": {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Dest": "iframe",
        "Sec-Fetch-Mode": "navigate",
    },
    "a page address that makes no sense": {"Referer": "http://[x"},
    "a very long origin": {"Origin": "https://" + "x" * 5000},
}
ANSWERED = {
    "a program": {},
    "our own page, by an old browser": {"Origin": "http://localhost"},
    "our own page's picture, by an old browser": {"Referer": "http://localhost/docs"},
    "our own page behind a proxy that renames us": {
        "Origin": "https://gallery.example",
        "Sec-Fetch-Site": "same-origin",
    },
    "the address bar": {"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"},
    "an allowed page": {"Origin": GOOD, "Sec-Fetch-Site": "cross-site"},
    "an allowed page's picture": {
        "Referer": f"{GOOD}/",
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Dest": "image",
    },
}


@pytest.fixture
def open_client(make_runtime: Callable[..., Runtime]) -> FlaskClient:
    from testing.application import create_app

    return create_app(make_runtime(allowed_origins=(f"{GOOD}/",))).test_client()


def asked(client: FlaskClient, method: str, path: str, headers: dict[str, str]) -> Any:
    body: Any = {"data": {"file": as_upload(picture(1))}} if method == "post" else {}
    return getattr(client, method)(path, headers=headers, buffered=True, **body)


CALLS = [
    ("get", "/api/v1/images"),
    ("get", "/api/v1/users/me"),
    ("get", "/api/v1/labels"),
    ("get", "/static/1.png"),
    ("post", "/api/v1/images"),
    ("delete", "/api/v1/images/1"),
]


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_page_of_another_site_is_refused_whatever_it_asks(
    open_client: FlaskClient, method: str, path: str, headers: dict[str, str]
) -> None:
    body = assert_problem(asked(open_client, method, path, headers), 403, "not_allowed")
    assert "ALLOWED_ORIGINS" in body["detail"]
    assert len(body["detail"]) < 400


@pytest.mark.parametrize("headers", ANSWERED.values(), ids=ANSWERED)
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_everybody_else_is_answered(
    open_client: FlaskClient, method: str, path: str, headers: dict[str, str]
) -> None:
    assert asked(open_client, method, path, headers).status_code != 403


def test_a_link_opens_a_tab_and_changes_nothing(open_client: FlaskClient) -> None:
    link = {
        "Referer": f"{EVIL}/",
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    opened = open_client.get("/api/v1/images", headers=link)
    assert opened.status_code == 200
    assert opened.headers["X-Frame-Options"] == "DENY"
    # A form of that page is a navigation as well.
    assert_problem(asked(open_client, "post", "/api/v1/images", link), 403, "not_allowed")


def test_any_page_may_call_where_the_operator_says_so(
    make_runtime: Callable[..., Runtime],
) -> None:
    from testing.application import create_app

    client = create_app(make_runtime(allowed_origins=("*",))).test_client()
    for headers in REFUSED.values():
        assert client.get("/api/v1/images", headers=headers).status_code == 200


def test_with_a_key_the_site_does_not_matter(guarded: Gallery, key_of: Any) -> None:
    ana = key_of("ana")
    for headers in REFUSED.values():
        assert guarded.get("/api/v1/users/me", headers=ana | headers).status_code == 200


@pytest.mark.parametrize("is_public", ["true", "false"])
def test_other_sites_may_show_public_pictures_alone(gallery: Gallery, is_public: str) -> None:
    image = gallery.upload(is_public=is_public)
    told = "cross-origin" if is_public == "true" else "same-origin"
    for address in ("file_url", "thumbnail_url"):
        first = gallery.get(image[address])
        assert first.status_code == 200
        assert first.headers["Cross-Origin-Resource-Policy"] == told
        again = gallery.get(image[address], {"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.headers["Cross-Origin-Resource-Policy"]) == (304, told)
    stored = gallery.get(f"/static/{image['id']}.png")
    assert stored.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/openapi.json", "/api/v1/images", "/api/v1/images/99/file", "/livez", "/no"],
)
def test_nothing_else_is_shown_by_other_sites(client: FlaskClient, path: str) -> None:
    with client.get(path, buffered=True) as response:
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"

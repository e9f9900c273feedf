"""People of the host product over HTTP: by a key that acts for them, or by a token of the product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from mirada.people import keys, users
from mirada.people.access import checked_scopes
from mirada.runtime import Runtime
from testing.application import create_app
from testing.gallery import Gallery, as_upload, assert_problem
from testing.pictures import picture
from testing.tokens import SECRET, bearing, token

ME = "/api/v1/users/me"
USER = "X-Mirada-User"
Headers = dict[str, str]


def key(gallery: Gallery, name: str, *scopes: str, is_administrator: bool = False) -> Headers:
    """Return the headers of a new user's key; without scopes it may do all that they may."""
    with gallery.runtime.transaction() as session:
        owner = users.create_user(session, name, is_administrator=is_administrator)
        chosen = checked_scopes(scopes) if scopes else None
        return bearing(str(keys.issue(session, owner, scopes=chosen).key))


@pytest.fixture
def served(make_runtime: Callable[..., Runtime]) -> Gallery:
    """A product's Mirada: keys are asked for, and its tokens count."""
    runtime = make_runtime(auth_mode="keys", jwt_secret=SECRET)
    return Gallery(runtime, create_app(runtime).test_client())


@pytest.fixture
def product(served: Gallery) -> Headers:
    """The product's own key."""
    return key(served, "product", "read", "write", "act_for")


def me(gallery: Gallery, headers: Headers) -> Any:
    reply = gallery.get(ME, headers)
    assert reply.status_code == 200, reply.get_json()
    return reply.get_json()


def test_a_key_acts_for_whom_each_call_names(served: Gallery, product: Headers) -> None:
    ana, ben = (product | {USER: each} for each in ("ana@product", "ben@product"))
    image = served.upload(headers=ana)
    assert image["owner"]["username"] == me(served, ana)["username"]
    assert me(served, ana)["external_id"] == "ana@product"
    assert me(served, ana)["role"] == "user"
    assert me(served, ana)["id"] != me(served, ben)["id"]
    assert served.get(image["url"], ana).status_code == 200
    # Neither another of the product's people nor the key's own owner sees it.
    assert_problem(served.get(image["url"], ben), 404, "not_found")
    assert_problem(served.get(image["url"], product), 404, "not_found")
    assert me(served, product)["external_id"] is None
    assert me(served, product)["username"] == "product"
    assert_problem(served.client.delete(image["url"], headers=ben), 404, "not_found")
    assert served.client.delete(image["url"], headers=ana).status_code == 204


def test_a_token_of_the_product_names_the_same_person(served: Gallery, product: Headers) -> None:
    by_key = me(served, product | {USER: "ana@product"})
    assert me(served, bearing(token())) == by_key
    assert me(served, {"X-API-Key": token()}) == by_key
    assert me(served, bearing(token("ben")))["id"] != by_key["id"]
    image = served.upload(headers=bearing(token()))
    assert served.get(image["url"], product | {USER: "ana@product"}).status_code == 200


def test_what_they_do_is_theirs_everywhere(served: Gallery, product: Headers) -> None:
    ana = product | {USER: "ana"}
    image = served.upload(headers=ana, is_public="true", degrees=0)
    ana_id = me(served, ana)["id"]
    ben = bearing(token("ben"))
    liked = served.client.put(f"{image['url']}/like", headers=ben)
    assert liked.status_code in (200, 201, 204), liked.get_json()
    comment = served.client.post(f"{image['url']}/comments", json={"text": "Nice"}, headers=ben)
    assert comment.get_json()["author"]["id"] == me(served, ben)["id"]
    once = {"Idempotency-Key": "k-1"}
    for who in (ana, ben):
        # A key of a request is its sender's, not the API key's.
        reply = served.client.post(
            "/api/v1/images", data={"file": as_upload(picture(5))}, headers=who | once
        )
        assert reply.status_code == 201
        assert reply.get_json()["owner"]["id"] == me(served, who)["id"]
    usage = served.get("/api/v1/usage", ana)
    assert usage.status_code == 200
    jobs = served.get("/api/v1/jobs", ana).get_json()["results"]
    assert jobs
    assert served.get("/api/v1/jobs", product).get_json()["results"] == []
    mine = served.get("/api/v1/images?mine=true", ana).get_json()["results"]
    assert {each["owner"]["id"] for each in mine} == {ana_id}


@pytest.mark.parametrize(
    ("scopes", "status_of_upload", "status_of_list"),
    [
        (("read", "act_for"), 403, 200),
        (("write", "act_for"), 201, 403),
        (("read", "write", "act_for", "admin", "metrics"), 201, 200),
    ],
    ids=str,
)
def test_the_key_s_other_scopes_bound_what_is_done(
    served: Gallery, scopes: tuple[str, ...], status_of_upload: int, status_of_list: int
) -> None:
    ana = key(served, "product", *scopes, is_administrator=True) | {USER: "ana"}
    upload = {"file": as_upload(picture(1))}
    reply = served.client.post("/api/v1/images", data=upload, headers=ana)
    assert reply.status_code == status_of_upload
    assert served.get("/api/v1/images", ana).status_code == status_of_list
    # Whatever the key may do beside it, an administrator's part is nobody's of the product.
    for address in ("/api/v1/users", "/metrics"):
        assert served.get(address, ana).status_code == 403
    grouped = served.client.post("/api/v1/indexes/image/rebuild", headers=ana)
    assert grouped.status_code == 403


@pytest.mark.parametrize(
    "scopes", [(), ("read", "write"), ("read", "admin"), ("metrics",)], ids=str
)
@pytest.mark.parametrize("path", [ME, "/api/v1/labels", "/docs", "/static/1.png", "/nowhere"])
def test_a_key_without_the_scope_acts_for_nobody(
    served: Gallery, scopes: tuple[str, ...], path: str
) -> None:
    sent = key(served, "boss", *scopes, is_administrator=True) | {USER: "ana"}
    reply = served.get(path, sent)
    assert "act_for" in assert_problem(reply, 403, "scope_missing")["detail"]
    assert 'scope="act_for"' in reply.headers["WWW-Authenticate"]
    assert people_of(served) == []


def people_of(gallery: Gallery) -> list[str]:
    with gallery.runtime.reading() as session:
        found = users.list_users(session)
    return sorted(person.external_id for person in found if person.external_id is not None)


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "a" * 192,
        "a,b",
        "a\u200b".encode().decode("latin-1"),
        "\xff\xfe",
        "a\x7f",
        "x" * 60_000,
    ],
    ids=lambda given: repr(given)[:20],
)
def test_a_header_that_is_no_id_is_refused_and_never_ignored(
    served: Gallery, product: Headers, given: str
) -> None:
    for path in (ME, "/api/v1/images", "/docs"):
        body = assert_problem(served.get(path, product | {USER: given}), 422, "invalid_input")
        assert USER in body["detail"]
    upload = {"file": as_upload(picture(1))}
    reply = served.client.post("/api/v1/images", data=upload, headers=product | {USER: given})
    assert reply.status_code == 422
    assert people_of(served) == []


def test_two_headers_name_nobody(served: Gallery, product: Headers) -> None:
    both = [*product.items(), (USER, "ana"), (USER, "ben")]
    assert served.client.get(ME, headers=both).status_code == 422


def test_ids_are_utf_8(served: Gallery, product: Headers) -> None:
    sent = product | {USER: "josé 😀".encode().decode("latin-1")}
    assert me(served, sent)["external_id"] == "josé 😀"
    assert me(served, bearing(token("josé 😀"))) == me(served, sent)


@pytest.mark.parametrize("auth_mode", ["open", "keys"])
def test_without_a_key_nobody_is_acted_for(
    make_runtime: Callable[..., Runtime], auth_mode: str
) -> None:
    client = create_app(make_runtime(auth_mode=auth_mode)).test_client()
    for path in (ME, "/api/v1/images", "/api/v1/labels", "/docs", "/metrics"):
        reply = client.get(path, headers={USER: "ana"})
        assert "act_for" in assert_problem(reply, 401, "not_authenticated")["detail"]


def test_a_cookie_acts_for_nobody(served: Gallery, product: Headers) -> None:
    browser = served.client
    sent = product["Authorization"].removeprefix("Bearer ")
    assert browser.post("/api/v1/session", json={"key": sent}).status_code == 200
    assert browser.get(ME).get_json()["username"] == "product"
    assert_problem(browser.get(ME, headers={USER: "ana"}), 401, "not_authenticated")


def test_nobody_is_signed_in_as_a_person_of_the_product(
    make_runtime: Callable[..., Runtime], served: Gallery, product: Headers
) -> None:
    sent = product["Authorization"].removeprefix("Bearer ")
    tries: list[tuple[Any, Headers, tuple[int, str]]] = [
        ({}, product | {USER: "ana"}, (403, "not_allowed")),
        ({"key": sent}, product | {USER: "ana"}, (403, "not_allowed")),
        ({"key": sent}, {USER: "ana"}, (401, "not_authenticated")),
        ({}, bearing(token()), (403, "not_allowed")),
    ]
    for body, headers, refusal in tries:
        reply = served.client.post("/api/v1/session", json=body, headers=headers)
        assert_problem(reply, *refusal)
        assert "Set-Cookie" not in reply.headers
    in_body = served.client.post("/api/v1/session", json={"key": token()})
    assert_problem(in_body, 401, "not_authenticated")
    # In open mode a session without a key would be the local user's.
    client = create_app(make_runtime(jwt_secret=SECRET)).test_client()
    assert client.post("/api/v1/session", json={}, headers=bearing(token())).status_code == 403


def test_a_token_beside_the_header_is_refused(served: Gallery) -> None:
    for named in ("ana@product", "ben"):
        reply = served.get(ME, bearing(token()) | {USER: named})
        assert_problem(reply, 403, "not_allowed")


@pytest.mark.parametrize("path", [ME, "/api/v1/images", "/api/v1/labels", "/docs"])
def test_a_token_that_does_not_count_is_401_and_says_why(served: Gallery, path: str) -> None:
    for sent, said in (
        (token(lasts_s=-100), "expired"),
        (token(secret="x" * 32), "not valid"),
        (token(header={"alg": "none"}), "No key"),
        (token(pad="x" * 9000), "longer than"),
        ("a.b.c", "not valid"),
    ):
        reply = served.get(path, bearing(sent))
        assert said in assert_problem(reply, 401, "not_authenticated")["detail"]
        assert reply.headers["WWW-Authenticate"].endswith('error="invalid_token"')
    assert people_of(served) == []


def test_tokens_count_nowhere_unless_the_operator_says_so(
    make_runtime: Callable[..., Runtime],
) -> None:
    client = create_app(make_runtime()).test_client()
    reply = client.get(ME, headers=bearing(token()))
    assert_problem(reply, 401, "not_authenticated")


def test_a_token_and_a_key_together_are_refused(served: Gallery, product: Headers) -> None:
    sent = product["Authorization"].removeprefix("Bearer ")
    reply = served.get(ME, bearing(token()) | {"X-API-Key": sent})
    assert "Two different" in assert_problem(reply, 401, "not_authenticated")["detail"]


def test_their_id_is_theirs_and_administrators_to_know(served: Gallery, product: Headers) -> None:
    ana = product | {USER: "ana@secret.example"}
    image = served.upload(headers=ana, is_public="true")
    who = me(served, ana)
    boss = key(served, "boss", is_administrator=True)
    listed = served.get("/api/v1/users", boss).get_json()["results"]
    assert [each["external_id"] for each in listed if each["id"] == who["id"]] == [
        "ana@secret.example"
    ]
    assert served.get(who["url"], boss).get_json()["external_id"] == "ana@secret.example"
    for headers in ({}, product, product | {USER: "ben"}, key(served, "eve")):
        shown = served.get(image["url"], headers)
        assert shown.status_code == 200
        assert "secret.example" not in shown.get_data(as_text=True)
        assert who["username"] in shown.get_data(as_text=True)
        assert served.get(who["url"], headers).status_code in (401, 404)


def test_they_can_be_given_no_key_and_no_rank(served: Gallery, product: Headers) -> None:
    ana = product | {USER: "ana"}
    boss = key(served, "boss", is_administrator=True)
    who = me(served, ana)
    for address, headers in (("/api/v1/users/me/keys", ana), (f"{who['url']}/keys", boss)):
        reply = served.client.post(address, json={"scopes": ["read"]}, headers=headers)
        assert_problem(reply, 409, "conflict")
    reply = served.client.post("/api/v1/users", json={"username": who["username"]}, headers=boss)
    assert_problem(reply, 422, "invalid_input")
    assert served.get("/api/v1/users/me/keys", ana).get_json()["results"] == []


def test_only_an_administrator_gives_the_scope(served: Gallery, product: Headers) -> None:
    ana = key(served, "ana")
    wanted = {"scopes": ["read", "act_for"]}
    reply = served.client.post("/api/v1/users/me/keys", json=wanted, headers=ana)
    assert_problem(reply, 403, "not_allowed")
    limited = key(served, "ben", "read", "write")
    reply = served.client.post("/api/v1/users/me/keys", json=wanted, headers=limited)
    assert_problem(reply, 403, "scope_missing")
    boss = key(served, "boss", is_administrator=True)
    made = served.client.post("/api/v1/users/me/keys", json=wanted, headers=boss)
    assert made.status_code == 201
    assert me(served, bearing(made.get_json()["key"]) | {USER: "cleo"})["external_id"] == "cleo"
    alone = served.client.post("/api/v1/users/me/keys", json={"scopes": ["act_for"]}, headers=boss)
    assert_problem(alone, 422, "invalid_input")


def test_a_page_of_the_product_may_send_the_header(client: FlaskClient) -> None:
    asked = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,x-mirada-user",
    }
    reply = client.options("/api/v1/images", headers=asked)
    allowed = reply.headers["Access-Control-Allow-Headers"].lower()
    assert "x-mirada-user" in allowed
    assert "authorization" in allowed
    assert USER in client.get("/api/v1/images").vary


def test_probes_ask_for_nobody(served: Gallery) -> None:
    for path in ("/livez", "/health/live"):
        assert served.get(path, {USER: "ana"}).status_code == 200


def test_the_document_tells_of_the_header(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    scheme = document["components"]["securitySchemes"]["actFor"]
    assert (scheme["in"], scheme["name"]) == ("header", USER)
    # Never alone: it says nothing without the key.
    assert {"bearer": [], "actFor": []} in document["security"]
    assert {"actFor": []} not in document["security"]

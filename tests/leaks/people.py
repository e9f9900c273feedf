"""Who there is in the world, with which keys they call, and how often they do."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from sqlalchemy import update

from mirada.db.models import ApiKey, utc_now
from mirada.people import keys, users
from mirada.people.access import Scope
from mirada.people.product import person_of_product
from mirada.runtime import Runtime
from testing import tokens
from testing.tokens import bearing
from tests.leaks.secrets import Vault, marked
from webapp.callers.acting import HEADER
from webapp.callers.sessions import CSRF_HEADER

Headers = dict[str, str]

PEOPLE = ("admin", "owner", "stranger", "newcomer", "twin")
"""The owner's pictures are private, the stranger's public but for one; the twin has the bytes of one
of the owner's, a newcomer has nothing."""
PRODUCT_S = ("guest", "resident")
"""The host product's own people, whose id there is theirs and administrators' to know. A guest has
nothing, a resident a comment that everybody may read."""
RANK = "administrator"
"""Holder of what an administrator may see for being one: everybody's jobs, and who there is."""
SEES_AS = {
    "admin": ("admin", RANK),
    "clerk": ("admin",),
    "reader": ("stranger",),
    "writer": ("stranger",),
    "gauge": ("stranger",),
    "browser": ("stranger",),
    "acted for": ("guest",),
    "by token": ("guest",),
}
"""As whom a caller sees; whoever is not here sees as themselves."""
CALLERS = {
    "stranger": 22,
    "anonymous": 21,
    "newcomer": 11,
    "twin": 12,
    "admin": 8,
    "clerk": 4,
    "reader": 3,
    "writer": 3,
    "gauge": 1,
    "browser": 3,
    "acted for": 6,
    "by token": 5,
    "revoked": 4,
    "signed out": 1,
    "expired": 3,
    "truncated": 2,
    "unknown": 2,
    "forged token": 1,
    "old token": 1,
}
"""Who calls, and how often of a hundred."""
VOID_SESSION = "signed out"
"""A browser whose session was opened with a key that is revoked by now."""
VOID_KEYS = frozenset({"revoked", "expired", "truncated", "unknown", "forged token", "old token"})
SCOPED = frozenset({"clerk", "reader", "writer", "gauge", "agent"})
"""Keys that may do a part of what their owner may."""


def sees_as(caller: str) -> tuple[str, ...]:
    """Return the holders of secrets that a caller is."""
    return SEES_AS.get(caller, (caller,))


def invite(app: Flask, runtime: Runtime, vault: Vault) -> tuple[dict[str, int], dict[str, Headers]]:
    """Make the people and their keys; return ids by person and headers by caller."""
    ids: dict[str, int] = {}
    tokens: dict[str, str] = {}
    for name in PEOPLE:
        username = marked("owner") if name == "owner" else name
        with runtime.transaction() as session:
            user = users.create_user(session, username, is_administrator=name == "admin")
            ids[name] = user.id
            key_name = vault.text("name", f"key {name}", [name, RANK])
            tokens[name] = str(keys.issue(session, user, name=key_name).key)
    for caller, person, scopes in (
        ("clerk", "admin", {Scope.READ, Scope.WRITE}),
        ("reader", "stranger", {Scope.READ}),
        ("writer", "stranger", {Scope.WRITE}),
        ("gauge", "stranger", {Scope.METRICS}),
        ("revoked", "owner", None),
        ("expired", "owner", None),
        # Whose key it is must not matter to whom it acts for: this one is the owner's.
        ("agent", "owner", {Scope.READ, Scope.WRITE, Scope.ACT_FOR}),
    ):
        with runtime.transaction() as session:
            owner = users.get_user(session, ids[person])
            chosen = None if scopes is None else frozenset(scopes)
            tokens[caller] = str(keys.issue(session, owner, scopes=chosen).key)
    headers = {name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()}
    for browser, token in (("browser", tokens["stranger"]), (VOID_SESSION, tokens["revoked"])):
        headers[browser] = signed_in(app, token)
    now = utc_now()
    for caller, ended in (
        ("revoked", {"revoked_at": now}),
        ("expired", {"expires_at": now - timedelta(seconds=1)}),
    ):
        with runtime.transaction() as session:
            which = ApiKey.prefix == tokens[caller].rpartition("_")[0][:12]
            session.execute(update(ApiKey).where(which).values(ended))
    for void, token in (
        ("truncated", tokens["owner"][:-1]),
        ("unknown", f"mrd_00000000_{'x' * 43}"),
    ):
        headers[void] = {"Authorization": f"Bearer {token}"}
    headers |= _of_the_product(runtime, vault, ids, headers.pop("agent"))
    return ids, headers | {"anonymous": {}}


def _of_the_product(
    runtime: Runtime, vault: Vault, ids: dict[str, int], agent: Headers
) -> dict[str, Headers]:
    """Return the headers of the product's people, and of tokens that do not count."""
    named: dict[str, str] = {}
    for name in PRODUCT_S:
        named[name] = vault.text("id", f"the product's {name}", [name, RANK])
        ids[name] = person_of_product(runtime.database, named[name]).id
    acting = {name: agent | {HEADER: external_id} for name, external_id in named.items()}
    guest, resident = (named[name] for name in PRODUCT_S)
    return {
        "acted for": acting["guest"],
        "resident": acting["resident"],
        "by token": bearing(tokens.token(guest, lasts_s=86_400)),
        "forged token": bearing(tokens.token(resident, secret="x" * 40)),
        "old token": bearing(tokens.token(resident, lasts_s=-3600)),
    }


def signed_in(app: Flask, token: str) -> Headers:
    """Return what a browser sends that was signed in with a key: the cookie, and the page's token."""
    reply = app.test_client(use_cookies=False).post("/api/v1/session", json={"key": token})
    assert reply.status_code == 200, reply.text
    cookie = reply.headers["Set-Cookie"].partition(";")[0]
    return {"Cookie": cookie, CSRF_HEADER: reply.json["csrf_token"]}


def newcomers(runtime: Runtime, count: int, letter: str = "u") -> list[Headers]:
    """Return the keys of some more people, "u1", "u2" and so on, who have nothing."""
    made = []
    for number in range(1, count + 1):
        with runtime.transaction() as session:
            user = users.create_user(session, f"{letter}{number}")
            made.append({"Authorization": f"Bearer {keys.issue(session, user).key}"})
    return made

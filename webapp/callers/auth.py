"""Authentication: a call acts for the owner of a key, of a session, for the local user, or for nobody."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog
from flask import Flask, Response, abort, g, request
from flask_httpauth import HTTPTokenAuth, MultiAuth

from mirada.config import AuthMode, OpenAs, Settings
from mirada.kernel import audit
from mirada.kernel.errors import NotAllowed, NotAuthenticated
from mirada.people import users
from mirada.people.access import NEEDS_KEY, OF_EVERYBODY, Scope, scopes_from_text
from mirada.people.identity import Bearer, Person, recognise_by_id, recognise_key
from mirada.people.tokens import TOKEN_PATTERN, Tokens
from webapp.callers import acting, sessions
from webapp.callers.caller import ANONYMOUS, Caller
from webapp.callers.open_mode import refuse_other_names, refuse_other_sites
from webapp.callers.scopes import SAFE_METHODS, require_scope, scope_needed
from webapp.http.current import current_runtime
from webapp.http.errors import REALM, challenge, problem

KEYLESS_ENDPOINTS = frozenset(
    {
        "static",
        "health.get_health",
        "health.get_ready",
        "health.get_live",
        "health.get_livez",
        "metrics.get_metrics",
        "picture_addresses.get_picture",
    }
)
"""Endpoints that look up no key first. Metrics do it later, and so does a picture that is private."""

_bearer_header = HTTPTokenAuth("Bearer", realm=REALM)
_key_header = HTTPTokenAuth("Bearer", realm=REALM, header="X-API-Key")
_keys = MultiAuth(_bearer_header, _key_header)


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the host product that counts, and the person it names."""

    external_id: str


def register(app: Flask) -> None:
    """Check keys before any view runs; a wrong one is refused even where none is needed."""
    sessions.register(app)
    app.before_request(_check_caller)


def current_caller() -> Caller:
    """Return the caller; an anonymous one where AUTH_MODE asks for keys and none was sent.

    Raises:
        NotAuthenticated: nobody may be told by what was sent.
        HTTPException: with the 401 reply to a key that counts for nobody.
        NotAllowed: a page of another site acts as the local user, or the call came in under a
            name that is not this machine's own.
    """
    caller: Caller | None = g.get("caller")
    if caller is None:
        caller = g.caller = _identify()
        audit.begin(caller.actor)
        structlog.contextvars.bind_contextvars(user_id=caller.user_id)
    return caller


def require_user() -> Person:
    """Return the calling user. Raises NotAuthenticated for an anonymous caller."""
    user = current_caller().user
    if user is None:
        raise NotAuthenticated(NEEDS_KEY)
    return user


def require_administrator() -> Person:
    """Return the calling user.

    Raises:
        NotAuthenticated: nobody is calling.
        NotAllowed: the caller is no administrator.
        ScopeMissing: an administrator is, with a key that lacks the scope admin.
    """
    user, caller = require_user(), current_caller()
    if caller.is_limited_administrator:
        require_scope(caller.scopes, Scope.ADMIN)
    if not caller.is_administrator:
        raise NotAllowed("Only an administrator may do this.")
    return user


def require_metrics_reader() -> Person:
    """Return the calling user, an administrator or the owner of a key with the scope metrics.

    Raises:
        NotAuthenticated, NotAllowed: as `require_administrator` does.
        ScopeMissing: the key is an administrator's, and lacks both scopes.
    """
    user, caller = require_user(), current_caller()
    if caller.is_administrator or Scope.METRICS in (caller.scopes or ()):
        return user
    if caller.is_limited_administrator:
        require_scope(caller.scopes, Scope.METRICS)
    raise NotAllowed("Only an administrator, or a key with the scope metrics, may read these.")


def _check_caller() -> None:
    # Flask answers OPTIONS by itself, and browsers ask it without credentials before they send any.
    if request.endpoint in KEYLESS_ENDPOINTS or request.method == "OPTIONS":
        return
    needed = scope_needed(request.endpoint, request.method)
    is_told_who = _is_key_sent() or acting.is_named()
    if needed is not None and not is_told_who:
        # Also where the view would ask for nobody: the next one might.
        _refuse_strangers(current_runtime().settings)
    # Browsers send the cookie with everything: what is the same for everybody does not look at it.
    if is_told_who or (needed is not None and sessions.is_sent()):
        require_scope(current_caller().scopes, needed)


def _is_key_sent() -> bool:
    """Return whether a header for a key was sent, with any content."""
    headers = request.headers
    return "X-API-Key" in headers or bool(headers.get("Authorization", "").strip())


def _identify() -> Caller:
    if _is_key_sent():
        # Flask-HTTPAuth decorates views; here it decorates nothing but the question.
        refusal = _keys.login_required(lambda: None)()
        if refusal is not None:
            abort(refusal)
        return _caller_of_sent(_keys.current_user())
    acting.refuse_name()
    opened = sessions.opened()
    return _caller_without_key() if opened is None else _caller_of_session(opened)


def _caller_of_sent(sent: Bearer | Token) -> Caller:
    """Return the caller of a key, whom a person of the product may stand in for, or of a token."""
    if isinstance(sent, Token):
        if acting.is_named():
            raise NotAllowed(f"This token says who is calling. {acting.NEEDS_ACTING_KEY}")
        return Caller(acting.person(sent.external_id), bounds=OF_EVERYBODY)
    if not acting.is_named():
        return _caller_of(sent)
    scopes = scopes_from_text(sent.key.scopes)
    person = acting.named_person(scopes)
    return Caller(person, bounds=OF_EVERYBODY & (scopes or frozenset()), acting=sent.key)


def _caller_without_key() -> Caller:
    settings = current_runtime().settings
    if settings.effective_auth_mode is AuthMode.KEYS:
        return ANONYMOUS
    _refuse_strangers(settings)
    return _local_caller()


def _refuse_strangers(settings: Settings) -> None:
    if settings.effective_auth_mode is AuthMode.OPEN:
        refuse_other_names(settings)
        refuse_other_sites(settings)


def _caller_of_session(opened: sessions.Opened) -> Caller:
    """Return the caller of a cookie; end the session when its key counts no more."""
    try:
        if opened.key_id is None:
            caller = _caller_without_key()
            if caller.user is None:
                raise NotAuthenticated("This server asks for keys now.")
        else:
            with current_runtime().reading() as session:
                bearer = recognise_by_id(session, opened.key_id, opened.key_prefix or "")
            _note_use(bearer)
            caller = _caller_of(bearer)
    except NotAuthenticated as error:
        sessions.end()
        raise NotAuthenticated(f"The session is over: sign in again. {error.detail}") from error
    if request.method not in SAFE_METHODS:
        sessions.require_csrf_token()
    return replace(caller, opened=opened)


def sign_in(key: str | None) -> Caller:
    """Return the caller who signs in, by a key alone; the request goes on as theirs.

    Args:
        key: None for the one in the headers, or for the local user where calls need none.

    Raises:
        NotAuthenticated: there is neither.
        HTTPException: with the 401 reply to a key that counts for nobody.
        NotAllowed: as `current_caller` says.
    """
    if acting.is_named():
        raise NotAllowed(
            f"A session acts for the owner of its key alone. {acting.NEEDS_ACTING_KEY}"
        )
    if key is not None:
        bearer = _bearer_of(key)
        if bearer is None:
            abort(_refuse_key(401))
        caller = _caller_of(bearer)
    else:
        caller = current_caller() if _is_key_sent() else _caller_without_key()
    if caller.user is not None and caller.user.external_id is not None:
        raise NotAllowed("A session is opened with a key: send the token itself with every call.")
    if caller.user is None:
        raise NotAuthenticated('Send the API key to sign in with, as JSON: {"key": "mrd_..."}.')
    g.caller = caller
    audit.begin(caller.actor)
    return caller


@_bearer_header.verify_token
@_key_header.verify_token
def _verified(sent: str) -> Bearer | Token | None:
    try:
        _refuse_two_keys()
        if TOKEN_PATTERN.fullmatch(sent) and (tokens := _tokens()) is not None:
            return Token(tokens.external_id(sent))
    except NotAuthenticated as error:
        g.key_refusal = error.detail
        return None
    return _bearer_of(sent)


def bearer_of(key: str) -> Bearer:
    """Return the owner of a key that was typed into a form. Raises NotAuthenticated for none."""
    with current_runtime().reading() as session:
        bearer = recognise_key(session, key)
    _note_use(bearer)
    return bearer


def _bearer_of(key: str) -> Bearer | None:
    try:
        return bearer_of(key)
    except NotAuthenticated as error:
        g.key_refusal = f"{error.detail} A key is sent as 'Authorization: Bearer KEY'."
        return None


def _tokens() -> Tokens | None:
    runtime = current_runtime()
    return runtime.remembered("tokens", lambda: (Tokens.of(runtime.settings),))[0]


@_bearer_header.error_handler
@_key_header.error_handler
def _refuse_key(_status: int) -> Response:
    detail = g.get(
        "key_refusal",
        "No API key was found in what was sent. A key is sent as 'Authorization: Bearer KEY'.",
    )
    headers = [challenge("invalid_token")]
    return problem(401, NotAuthenticated.code, detail, headers=headers)


def _refuse_two_keys() -> None:
    sent = request.authorization
    other = request.headers.get("X-API-Key")
    if sent is not None and sent.type == "bearer" and other not in (None, sent.token):
        raise NotAuthenticated("Two different API keys were sent.")


def _caller_of(bearer: Bearer) -> Caller:
    """Return the caller of a key, with the rights of its scopes at most."""
    user, scopes = bearer.user, scopes_from_text(bearer.key.scopes)
    is_limited = user.role == "administrator" and scopes is not None and Scope.ADMIN not in scopes
    return Caller(users.without_rank(user) if is_limited else user, bearer.key, is_limited)


def _note_use(bearer: Bearer) -> None:
    # The request neither waits for that to be written nor fails with it.
    current_runtime().key_usage.note(bearer.key.id, bearer.key.last_used_at)


def _local_caller() -> Caller:
    # The local user never changes, so it is read once per process.
    runtime = current_runtime()

    def build() -> Caller:
        with runtime.transaction() as session:
            user = users.local_user(session)
        if runtime.settings.effective_open_as is OpenAs.ADMINISTRATOR:
            return Caller(user)
        # The user's own rank stays in the database, and a key without scopes would bring it back.
        return Caller(users.without_rank(user), bounds=OF_EVERYBODY)

    return runtime.remembered("local_caller", build)

"""What keys may do: scopes, names, times, and that none gives more than it has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import chain, combinations

import pytest

from mirada.kernel.errors import InvalidInput, NotAllowed, ScopeMissing
from mirada.people.access import (
    LONGEST_LIFE,
    Authority,
    KeyState,
    Scope,
    checked_expiry,
    checked_key_name,
    checked_scopes,
    key_state,
    scopes_from_text,
    scopes_to_text,
)

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
DAY = timedelta(days=1)
ALL = frozenset(Scope)
EVERYBODYS = frozenset({Scope.READ, Scope.WRITE})
SUBSETS = [
    frozenset(chosen) for chosen in chain.from_iterable(combinations(Scope, n) for n in range(5))
]


def named(scopes: frozenset[Scope] | None) -> str:
    """Return an id that is the same in every process; a set's own text is not."""
    return "no limits" if scopes is None else "+".join(sorted(scopes)) or "nothing"


@pytest.mark.parametrize("scopes", [*SUBSETS, None], ids=named)
def test_scopes_come_back_from_their_text(scopes: frozenset[Scope] | None) -> None:
    text = scopes_to_text(scopes)
    assert scopes_from_text(text) == scopes
    assert text is None or len(text) <= 100


def test_a_word_that_is_no_scope_allows_nothing() -> None:
    assert scopes_from_text("read everything writes") == {Scope.READ}
    assert scopes_from_text("") == frozenset()


def test_named_scopes_are_known_ones() -> None:
    assert checked_scopes(None) is None
    assert checked_scopes(["write", "read", "read"]) == EVERYBODYS
    for wrong in (["READ"], ["read", ""], ["read", "delete"], ["x" * 10_000], ["\ud800"]):
        with pytest.raises(InvalidInput, match="no scope") as caught:
            checked_scopes(wrong)
        assert len(caught.value.detail) < 200
        assert list(caught.value.fields) == ["scopes"]
    with pytest.raises(InvalidInput, match="at least one"):
        checked_scopes([])


def test_admin_alone_would_do_nothing_and_is_refused() -> None:
    for wrong in (["admin"], ["admin", "metrics"]):
        with pytest.raises(InvalidInput, match="read or write beside it"):
            checked_scopes(wrong)
    assert checked_scopes(["admin", "read"]) == {Scope.ADMIN, Scope.READ}


@pytest.mark.parametrize(
    "name", ["", "  ", "a\nb", "a\x00", "\x1b[31mred", "a\u202eb", "x" * 101, "\ud800", 7]
)
def test_a_key_s_name_is_one_short_line(name: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_key_name(name)
    assert list(caught.value.fields) == ["name"]


def test_a_key_may_have_a_name_in_any_script() -> None:
    assert checked_key_name("  câmera   da loja 🎥 ") == "câmera da loja 🎥"
    assert checked_key_name("名" * 100) == "名" * 100
    assert checked_key_name(None) is None


@pytest.mark.parametrize(
    "wrong",
    [
        NOW,
        NOW - DAY,
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-14))),
        NOW + LONGEST_LIFE + timedelta(seconds=1),
        datetime(2027, 1, 1),  # noqa: DTZ001 - that is the point
    ],
    ids=str,
)
def test_a_key_expires_in_the_future_that_people_plan_for(wrong: datetime) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_expiry(wrong, NOW)
    assert list(caught.value.fields) == ["expires_at"]


def test_a_key_may_live_ten_years_or_for_ever() -> None:
    assert checked_expiry(NOW + LONGEST_LIFE, NOW) == NOW + LONGEST_LIFE
    assert checked_expiry(None, NOW) is None


@pytest.mark.parametrize(
    ("expires_in", "revoked_in", "state"),
    [
        (None, None, KeyState.IN_FORCE),
        (DAY, DAY, KeyState.IN_FORCE),
        (timedelta(0), None, KeyState.EXPIRED),
        (-DAY, DAY, KeyState.EXPIRED),
        (None, timedelta(0), KeyState.REVOKED),
        (-DAY, -DAY, KeyState.REVOKED),
    ],
)
def test_a_key_counts_until_it_ends(
    expires_in: timedelta | None, revoked_in: timedelta | None, state: KeyState
) -> None:
    expires_at = None if expires_in is None else NOW + expires_in
    revoked_at = None if revoked_in is None else NOW + revoked_in
    assert key_state(expires_at, revoked_at, NOW) is state


@pytest.mark.parametrize("own", SUBSETS, ids=named)
@pytest.mark.parametrize("asked", [*SUBSETS, None], ids=named)
@pytest.mark.parametrize("is_administrator", [True, False])
def test_a_limited_key_makes_only_keys_within_its_limits(
    own: frozenset[Scope], asked: frozenset[Scope] | None, is_administrator: bool
) -> None:
    authority = Authority(is_administrator, own)
    if (ALL if asked is None else asked) <= own:
        authority.refuse_more(asked, None)
        return
    with pytest.raises(ScopeMissing) as caught:
        authority.refuse_more(asked, None)
    assert set(caught.value.scopes) == (ALL if asked is None else asked) - own


@pytest.mark.parametrize("asked", SUBSETS, ids=named)
def test_an_unlimited_key_makes_what_its_owner_may_hand_out(asked: frozenset[Scope]) -> None:
    Authority(is_administrator=True).refuse_more(asked, None)
    user = Authority(is_administrator=False)
    if asked <= EVERYBODYS:
        user.refuse_more(asked, None)
    else:
        with pytest.raises(NotAllowed, match="Only an administrator"):
            user.refuse_more(asked, None)
    user.refuse_more(None, None)


def test_a_key_makes_none_that_outlives_it() -> None:
    authority = Authority(is_administrator=True, until=NOW)
    authority.refuse_more(None, NOW)
    authority.refuse_more(EVERYBODYS, NOW - DAY)
    for later in (NOW + timedelta(microseconds=1), None):
        with pytest.raises(NotAllowed, match="may not outlive it"):
            authority.refuse_more(None, later)

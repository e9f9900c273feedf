"""The caller of a request as a value: who it is, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass

from mirada.kernel.audience import Audience
from mirada.kernel.audit import SERVER, Actor, Via
from mirada.people.access import Authority, Scopes, ends_at, scopes_from_text
from mirada.people.identity import Key, Person
from mirada.people.in_force import Credential
from webapp.callers.sessions import Opened


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request.

    Attributes:
        user: None for an anonymous caller, who sees public images only. Their role is "user" where
            the key lacks the scope admin.
        key: what they called with; None without one, and for a person of the host product.
        is_limited_administrator: whether only the key keeps the user from acting as one.
        opened: the browser session that the call came with; None without one.
        bounds: what a person of the host product, or an open caller without rank, may do at most and
            so may a key that they make; None for anybody else.
        acting: the key that acts for the user, a person of the host product; None for anybody else.
    """

    user: Person | None
    key: Key | None = None
    is_limited_administrator: bool = False
    opened: Opened | None = None
    bounds: Scopes | None = None
    acting: Key | None = None

    @property
    def user_id(self) -> int | None:
        """The user's id; None for an anonymous caller."""
        return None if self.user is None else self.user.id

    @property
    def audience(self) -> Audience:
        """The caller as somebody to whom images are shown."""
        return Audience(self.user_id)

    @property
    def is_administrator(self) -> bool:
        """Whether the caller may rebuild indexes and see everybody's jobs."""
        return self.user is not None and self.user.role == "administrator"

    @property
    def scopes(self) -> Scopes | None:
        """The scopes of the call; None for no limit."""
        return self.bounds if self.key is None else scopes_from_text(self.key.scopes)

    @property
    def credential(self) -> Credential | None:
        """The ground on which the call is answered, to be checked again; None for an anonymous caller."""
        if self.user is None:
            return None
        keys = {key.id for key in (self.key, self.acting) if key is not None}
        until = None if self.opened is None else self.opened.expires_at
        return Credential(self.user.id, self.is_administrator, frozenset(keys), until)

    @property
    def actor(self) -> Actor:
        """The caller as somebody who acts, for what is written down of it."""
        if self.user is None:
            return SERVER
        key = self.acting or self.key
        return Actor(self._via, self.user.id, self.user.role, None if key is None else key.id)

    @property
    def _via(self) -> Via:
        if self.acting is not None:
            return Via.PRODUCT
        if self.opened is not None:
            return Via.SESSION
        if self.key is not None:
            return Via.KEY
        is_of_product = self.user is not None and self.user.external_id is not None
        return Via.TOKEN if is_of_product else Via.OPEN

    @property
    def authority(self) -> Authority:
        """The most that a key made by this caller may do."""
        until = None if self.key is None else ends_at(self.key.expires_at, self.key.revoked_at)
        return Authority(self.is_administrator, self.scopes, until)


ANONYMOUS = Caller(None)

"""Leases: named rights that one process holds for a while, such as to sweep or to build an index.

Each new holder gets a higher fencing token, so that what a late one still writes can be refused.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from mirada.db.inserts import insert_unless_there
from mirada.db.models import Lease
from mirada.db.session import count_changed, now_ms

SWEEPER = "sweeper"
SWEEPER_LEASE_S = 25
"""Two missed sweeps and a little; then the sweeper of another process takes over."""


def acquire(
    session: Session, name: str, holder: str, lease_s: int, *, take_over: bool = False
) -> int | None:
    """Take a lease that is free and return its fencing token; None while another process holds it.

    Args:
        session: a transaction.
        name: of the lease, <= 100 characters.
        holder: the process that asks; asking again prolongs its lease under the same token.
        lease_s: how long it is held without being renewed.
        take_over: take it from its holder: the caller knows that the holder is gone.
    """
    _make_sure_of_row(session, name)
    still_mine = update(Lease).where(
        Lease.name == name, Lease.holder == holder, Lease.lease_until_ms >= now_ms()
    )
    until = now_ms() + lease_s * 1000
    if take_over or not count_changed(session, still_mine.values(lease_until_ms=until)):
        free = update(Lease).where(Lease.name == name)
        if not take_over:
            free = free.where(or_(Lease.holder.is_(None), Lease.lease_until_ms < now_ms()))
        taken = free.values(
            fencing_token=Lease.fencing_token + 1, holder=holder, lease_until_ms=until
        )
        if not count_changed(session, taken):
            return None
    return session.execute(select(Lease.fencing_token).where(Lease.name == name)).scalar_one()


def is_held(session: Session, name: str) -> bool:
    """Return whether a process holds this lease now."""
    held = select(Lease.name).where(
        Lease.name == name, Lease.holder.is_not(None), Lease.lease_until_ms >= now_ms()
    )
    return session.execute(held).first() is not None


def last_renewed_ms(session: Session, name: str, lease_s: int) -> int | None:
    """Return when a lease was taken or renewed last, Unix milliseconds; None for never.

    Args:
        session: reads only.
        name: of the lease.
        lease_s: for how long its holders take it.
    """
    until = session.execute(
        select(Lease.lease_until_ms).where(Lease.name == name, Lease.lease_until_ms > 0)
    ).scalar_one_or_none()
    return None if until is None else until - lease_s * 1000


def release(session: Session, name: str, fencing_token: int) -> None:
    """Give a lease back; harmless when it has been taken since."""
    mine = update(Lease).where(Lease.name == name, Lease.fencing_token == fencing_token)
    count_changed(session, mine.values(holder=None, lease_until_ms=0))


def free_holders(session: Session, name: str, dead: Collection[str]) -> None:
    """Free a lease whose holder is one of these, which are known to be dead."""
    theirs = update(Lease).where(Lease.name == name, Lease.holder.in_(dead))
    # Its end stays: it tells when the holder was heard of last.
    count_changed(session, theirs.values(holder=None))


def _make_sure_of_row(session: Session, name: str) -> None:
    if session.execute(select(Lease.name).where(Lease.name == name)).first() is None:
        row = {"name": name, "fencing_token": 0, "holder": None, "lease_until_ms": 0}
        session.execute(insert_unless_there(session, Lease, row))

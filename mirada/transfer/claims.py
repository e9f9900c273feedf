"""One import of a source at a time: a lease in the database, whose holder is told to whoever comes second."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.models import Lease
from mirada.jobs import leases
from mirada.kernel.errors import Conflict, LeaseLost
from mirada.runtime import Runtime

LEASE_S = 120
"""Twice as long as a batch waits for a database that is away."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of this process to import from a source."""

    name: str
    holder: str
    token: int

    def renew(self, session: Session) -> None:
        """Prolong it in a transaction, which then counts only while it is ours. Raises LeaseLost."""
        if leases.acquire(session, self.name, self.holder, LEASE_S) != self.token:
            raise LeaseLost(
                "Another process imports from this source now. Nothing more is taken here."
            )


def this_host() -> str:
    """Return the name of this machine, cut where it is very long."""
    return socket.gethostname()[:60]


def this_place() -> str:
    """Return what tells this process from others, as HOST:PROCESS."""
    return f"{this_host()}:{os.getpid()}"


@contextmanager
def claimed(runtime: Runtime, source: str) -> Iterator[Claim]:
    """Hold the right to import from a source while the block runs.

    Raises:
        Conflict: another process has it. One that was killed on this machine has it no longer.
    """
    name = f"import:{source}"
    holder = f"{this_place()}:{os.urandom(4).hex()}"
    with runtime.transaction() as session:
        token = leases.acquire(session, name, holder, LEASE_S)
        other = None if token is not None else _holder(session, name)
        if token is None and (other is None or is_dead(other)):
            token = leases.acquire(session, name, holder, LEASE_S, take_over=True)
    if token is None:
        host, process = (other or "").split(":")[:2]
        raise Conflict(
            f"An import from '{source}' is running: process {process} on {host}. Wait until it is done; "
            f"where that machine is gone, try again in {LEASE_S // 60} minutes."
        )
    try:
        yield Claim(name, holder, token)
    finally:
        with runtime.transaction() as session:
            leases.release(session, name, token)


def _holder(session: Session, name: str) -> str | None:
    return session.execute(select(Lease.holder).where(Lease.name == name)).scalar_one_or_none()


def is_dead(place: str) -> bool:
    """Return whether a process of this machine, told as HOST:PROCESS, is gone; false of other machines."""
    host, process = place.split(":")[:2]
    if host != this_host():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False

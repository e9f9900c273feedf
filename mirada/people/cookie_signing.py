"""What this installation signs cookies with: the same in every process, and in no other database."""

from __future__ import annotations

import hashlib
import hmac

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.models import Installation


def signing_key(session: Session, configured: str | None) -> str:
    """Return 64 hex digits made of the database's own secret and, where there is one, of ours.

    With both, whoever reads the database alone cannot sign, a configured secret that can be guessed
    still does no harm, and two databases with one `.env` do not accept each other's cookies.

    Args:
        session: any.
        configured: SECRET_KEY; None leaves the database's secret alone.
    """
    secret = session.execute(select(Installation.secret_key)).scalar_one()
    return hmac.new((configured or "").encode(), secret.encode(), hashlib.sha256).hexdigest()

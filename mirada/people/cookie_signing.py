"""The key that signs cookies: the same in every process, different for every database."""

from __future__ import annotations

import hashlib
import hmac

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.models import Installation


def signing_key(session: Session, configured: str | None) -> str:
    """Return the signing key, 64 hex digits, from the database's secret and the configured one.

    Two secrets protect in three ways. A reader of the database alone cannot sign. A configured
    secret that can be guessed does no harm. Two databases with one `.env` do not accept each
    other's cookies.

    Args:
        session: for reading.
        configured: the setting SECRET_KEY; None uses the database's secret alone.
    """
    secret = session.execute(select(Installation.secret_key)).scalar_one()
    return hmac.new((configured or "").encode(), secret.encode(), hashlib.sha256).hexdigest()

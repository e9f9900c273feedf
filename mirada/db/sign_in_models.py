"""The table of one-time sign-in links; see `mirada.people.sign_in_links`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base, Dated, Numbered, UtcDateTime
from mirada.db.names import PREFIX


class SignInLink(Numbered, Dated, Base):
    """A link that signs a browser in once, as the SHA-256 of its token. The row goes with its use."""

    __tablename__ = f"{PREFIX}sign_in_links"
    __table_args__ = (Index(None, "expires_at"),)

    user_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}users.id", ondelete="CASCADE"), index=True
    )
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)

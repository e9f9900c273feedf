"""The tables of changes of the image model: the change, what it could not embed, and who follows it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ForeignKey,
    Integer,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base, Dated, Numbered, UtcDateTime
from mirada.db.names import PREFIX

SPACES = f"{PREFIX}embedding_spaces.id"


class SwitchState(StrEnum):
    """The state of a change of the image model."""

    BUILDING = "building"
    READY = "ready"
    FLIPPING = "flipping"
    FLIPPED = "flipped"
    RETURNING = "returning"
    DISCARDING = "discarding"
    ENDED = "ended"


class Outcome(StrEnum):
    """How a change of the image model ended."""

    SWITCHED = "switched"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ModelSwitch(Numbered, Dated, Base):
    """A change of the image model. `active` is 1 until it has ended, then NULL: so there is one at a time.

    `source` and `source_tag` name the new model as CLIP_MODEL and CLIP_PRETRAINED would. `to_space_id` is
    known once the model is loaded. `step` is what the build is at. `spare_id` is the space that is not in
    use, as long as pictures that come in get vectors in it.
    """

    __tablename__ = f"{PREFIX}model_switches"

    active: Mapped[int | None] = mapped_column(Integer, unique=True)
    state: Mapped[str] = mapped_column(String(12), default=SwitchState.BUILDING)
    step: Mapped[str | None] = mapped_column(String(20))
    outcome: Mapped[str | None] = mapped_column(String(12))
    error: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str] = mapped_column(String(500))
    source_tag: Mapped[str | None] = mapped_column(String(500))
    flips_by_itself: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    from_space_id: Mapped[int] = mapped_column(ForeignKey(SPACES))
    to_space_id: Mapped[int | None] = mapped_column(ForeignKey(SPACES))
    spare_id: Mapped[int | None] = mapped_column(BigInteger)
    job_id: Mapped[int | None] = mapped_column(BigInteger)
    owner_id: Mapped[int | None] = mapped_column(BigInteger)
    comparison: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    flipped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SwitchGap(Numbered, Base):
    """A content that a change of the model could not embed, and why; it has a vector of the old model."""

    __tablename__ = f"{PREFIX}model_switch_gaps"
    __table_args__ = (UniqueConstraint("switch_id", "content_id"),)

    switch_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}model_switches.id", ondelete="CASCADE")
    )
    content_id: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(Text)


class ModelProcess(Base):
    """A process that serves or works while a change is on: which space it uses, and which it could use.

    `seen_at_ms` is of the database's clock. Rows of processes that are gone stay until the next change.
    """

    __tablename__ = f"{PREFIX}model_processes"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    space_id: Mapped[int | None] = mapped_column(BigInteger)
    ready_for_id: Mapped[int | None] = mapped_column(BigInteger)
    seen_at_ms: Mapped[int] = mapped_column(BigInteger)
    trouble: Mapped[str | None] = mapped_column(Text)

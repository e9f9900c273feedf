"""The table of what was measured of each space, by which a score's relevance is told."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKey,
    Integer,
    String,
    UniqueConstraint,
    delete,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from mirada.db.models import Base, Blob, Dated, Numbered, Space
from mirada.db.names import PREFIX
from mirada.kernel.calibration import Calibration
from mirada.kernel.embeddings import Matrix
from mirada.kernel.similarity import QueryForm

RIVALS_DTYPE = np.dtype("<f2")


class StoredCalibration(Numbered, Dated, Base):
    """One form of query in one space, as a worker measured it; see `kernel.calibration.Calibration`.

    `version` is of the way of measuring, `vectors` the number of live ones at that time. `rivals` are
    float16 rows; see `Measured`.
    """

    __tablename__ = f"{PREFIX}relevance_calibrations"
    __table_args__ = (UniqueConstraint("space_id", "form"),)

    space_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}embedding_spaces.id"))
    form: Mapped[str] = mapped_column(String(10))
    version: Mapped[int] = mapped_column(Integer)
    vectors: Mapped[int] = mapped_column(BigInteger)
    near_miss: Mapped[float] = mapped_column(Double)
    near_miss_high: Mapped[float] = mapped_column(Double)
    find_low: Mapped[float] = mapped_column(Double)
    find: Mapped[float] = mapped_column(Double)
    finds: Mapped[int] = mapped_column(Integer)
    near_misses: Mapped[int] = mapped_column(Integer)
    rivals: Mapped[bytes | None] = mapped_column(Blob)


@dataclass(frozen=True, slots=True)
class Measured:
    """One form of query in one space.

    Attributes:
        calibration: its numbers.
        rivals: (r, d) float32, unit rows to float16 rounding; None where none are compared. For texts
            among pictures they are texts, and are compared with the best picture. For pictures they
            are pictures that show nothing, and are compared with the query.
    """

    calibration: Calibration
    rivals: Matrix | None = None


def stamp_of(session: Session, version: int) -> Hashable:
    """Return what is another value as soon as anything was measured again."""
    table = StoredCalibration
    rows = session.execute(
        select(table.id, table.created_at).where(table.version == version).order_by(table.id)
    )
    return tuple(tuple(row) for row in rows)


def measured_of(session: Session, version: int) -> dict[tuple[int, QueryForm], Measured]:
    """Return all that was measured in this way, by space and form."""
    rows = session.execute(
        select(StoredCalibration, Space.dimension)
        .join(Space, Space.id == StoredCalibration.space_id)
        .where(StoredCalibration.version == version)
    ).all()
    return {
        (row.space_id, QueryForm(row.form)): _measured(row, dimension) for row, dimension in rows
    }


def vectors_then(session: Session, space_id: int, version: int) -> int | None:
    """Return how many vectors a space had when it was last measured in this way; None for never."""
    return session.execute(
        select(StoredCalibration.vectors)
        .where(StoredCalibration.space_id == space_id, StoredCalibration.version == version)
        .limit(1)
    ).scalar_one_or_none()


def replace_measured(
    session: Session,
    space_id: int,
    forms: Mapping[QueryForm, Measured],
    *,
    version: int,
    vectors: int,
) -> None:
    """Keep what was measured of a space in place of what was kept before."""
    session.execute(delete(StoredCalibration).where(StoredCalibration.space_id == space_id))
    for form, measured in forms.items():
        rivals = measured.rivals
        session.add(
            StoredCalibration(
                space_id=space_id,
                form=form.value,
                version=version,
                vectors=vectors,
                rivals=None if rivals is None else rivals.astype(RIVALS_DTYPE).tobytes(),
                **asdict(measured.calibration),
            )
        )


def _measured(row: StoredCalibration, dimension: int) -> Measured:
    calibration = Calibration(
        row.near_miss,
        row.near_miss_high,
        row.find_low,
        row.find,
        row.finds,
        row.near_misses,
    )
    if row.rivals is None:
        return Measured(calibration)
    rivals = np.frombuffer(row.rivals, RIVALS_DTYPE).reshape(-1, dimension)
    return Measured(calibration, rivals.astype(np.float32))

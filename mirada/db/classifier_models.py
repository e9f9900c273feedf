"""The classifier's tables: labels, classified pictures, feedback, and groups.

They are apart from `mirada.db.models` because of its length; nothing there refers to them. A content's
row is locked before any row here.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from mirada.db.models import (
    Base,
    Blob,
    CaseSensitive,
    Content,
    Dated,
    Edited,
    Numbered,
    StoredVector,
    UtcDateTime,
)
from mirada.db.names import PREFIX


class Label(Numbered, Edited, Base):
    """A label of the default set. While the table is empty, the built-in set is used."""

    __tablename__ = f"{PREFIX}labels"

    name: Mapped[str] = mapped_column(CaseSensitive, unique=True)
    description: Mapped[str | None] = mapped_column(Text)
    templates: Mapped[list[str] | None] = mapped_column(JSON)
    threshold: Mapped[float | None] = mapped_column(Double)
    position: Mapped[int] = mapped_column(Integer, default=0)


class LabelVector(StoredVector, Dated, Base):
    """The ensemble vector of a label in a space; `key` is a digest of its texts."""

    __tablename__ = f"{PREFIX}label_vectors"
    __table_args__ = (UniqueConstraint("space_id", "key"),)

    key: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(CaseSensitive)


class LabelExpansion(Numbered, Dated, Base):
    """A language model's expansion of a label, kept for ever so that it is paid only once."""

    __tablename__ = f"{PREFIX}label_expansions"
    __table_args__ = (UniqueConstraint("label", "model", "prompt_version"),)

    label: Mapped[str] = mapped_column(CaseSensitive)
    model: Mapped[str] = mapped_column(String(100))
    prompt_version: Mapped[int] = mapped_column(Integer)
    expansion: Mapped[dict[str, Any]] = mapped_column(JSON)


class ImageLabels(Base):
    """The labels of an image as the model alone sees them, by the default label set, in one space.

    `judged_by` is the digest of everything that it was judged by (`classify.criteria`): what was judged
    by other criteria is judged again. `logits` has one float32 for each label in their order, empty where
    the picture's vector is damaged. `label` is the best one; None where no label applies.
    """

    __tablename__ = f"{PREFIX}image_labels"
    __table_args__ = (Index(None, "label", "space_id"),)

    image_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}images.id", ondelete="CASCADE"), primary_key=True
    )
    space_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}embedding_spaces.id"), primary_key=True, index=True
    )
    judged_by: Mapped[str] = mapped_column(String(32))
    label: Mapped[str | None] = mapped_column(CaseSensitive)
    score: Mapped[float] = mapped_column(Double)
    logits: Mapped[bytes] = mapped_column(Blob)
    is_far: Mapped[bool] = mapped_column(Boolean)
    nsfw_score: Mapped[float | None] = mapped_column(Double)
    computed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ClassifiedPicture(Numbered, Edited, Base):
    """A picture that one person classified: its content, theme and asset id, without its bytes.

    If `sent_bytes`, the person had the picture themselves, and this row keeps the content alive. A
    picture that was classified by its image id is deleted with that image. `label` is the result's
    category; None where no label fits.
    """

    __tablename__ = f"{PREFIX}classified_pictures"
    __table_args__ = (
        UniqueConstraint("owner_id", "content_id"),
        Index(None, "content_id"),
        Index(None, "job_id"),
        Index(None, "owner_id", "label"),
    )

    owner_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}users.id"))
    content_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}contents.id", ondelete="CASCADE"))
    sent_bytes: Mapped[bool] = mapped_column(Boolean)
    asset_id: Mapped[str | None] = mapped_column(String(191))
    theme: Mapped[str | None] = mapped_column(String(191))
    job_id: Mapped[int | None] = mapped_column(BigInteger)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    label: Mapped[str | None] = mapped_column(CaseSensitive)

    content: Mapped[Content] = relationship()


class Feedback(Numbered, Edited, Base):
    """One person's verdict on one picture for one theme; a new verdict replaces the old one."""

    __tablename__ = f"{PREFIX}feedback"
    __table_args__ = (
        UniqueConstraint("user_id", "content_id", "theme"),
        Index(None, "theme"),
        Index(None, "content_id"),
        # Ids are not used again: an Idempotency-Key or a client may still name a withdrawn verdict.
        {"sqlite_autoincrement": True},
    )

    user_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}users.id", ondelete="CASCADE"))
    content_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}contents.id", ondelete="CASCADE"))
    theme: Mapped[str] = mapped_column(CaseSensitive)
    accepted: Mapped[bool] = mapped_column(Boolean)
    asset_id: Mapped[str | None] = mapped_column(String(191))

    content: Mapped[Content] = relationship()


class ClusterKind(StrEnum):
    """The kind of a grouping: by k-means, by near-duplicates, or the groups of the map by k-means."""

    THEMES = "themes"
    NEAR_DUPLICATES = "near_duplicates"
    MAP = "map"


class ClusterRun(Numbered, Dated, Base):
    """One grouping of a space's pictures. The newest finished run of a kind and an owner is shown.

    `owner_id` is None where everybody is shown it, as each kind but the map is. Else it is of that owner's
    private pictures, and nobody else is shown it. `base_id` is the run whose places and groups
    it goes on from, and is shown with; None where it stands alone.
    """

    __tablename__ = f"{PREFIX}cluster_runs"
    __table_args__ = (Index(None, "kind", "finished_at"),)

    kind: Mapped[str] = mapped_column(String(20))
    space_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}embedding_spaces.id"))
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    change_seq: Mapped[int] = mapped_column(BigInteger)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    owner_id: Mapped[int | None] = mapped_column(BigInteger)
    base_id: Mapped[int | None] = mapped_column(BigInteger)


class Cluster(Numbered, Base):
    """One group of a run; `of_id` is the group of another run whose members stand with its own."""

    __tablename__ = f"{PREFIX}clusters"
    __table_args__ = (Index(None, "run_id"), Index(None, "of_id"))

    run_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}cluster_runs.id", ondelete="CASCADE"))
    size: Mapped[int] = mapped_column(Integer)
    of_id: Mapped[int | None] = mapped_column(BigInteger)


class ClusterMember(Base):
    """A content in a group, with its cosine to the group's centre in [-1, 1]; higher is nearer.

    Of a map it has its place as well, `x` and `y` in 0 to 65,535; elsewhere both are None.
    """

    __tablename__ = f"{PREFIX}cluster_members"
    __table_args__ = (Index(None, "content_id"),)

    cluster_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}clusters.id", ondelete="CASCADE"), primary_key=True
    )
    content_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}contents.id", ondelete="CASCADE"), primary_key=True
    )
    similarity: Mapped[float] = mapped_column(Double)
    x: Mapped[int | None] = mapped_column(Integer)
    y: Mapped[int | None] = mapped_column(Integer)

"""Consistency checks of the database and the file store. They only read; a finding says what to do."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from mirada.db.models import Content, Embedding, Image, Installation, Job, JobState
from mirada.db.session import now_ms
from mirada.kernel.errors import MiradaError, NotFound
from mirada.kernel.images import ImageStatus
from mirada.ports import ImageStore

OVERDUE_S = 600
"""The sweeper rings every minute for a due job; after ten minutes unclaimed, no worker runs."""
PAGE_ROWS = 1_000
"""Contents checked in one call of `files_page`; chosen here, so that no transaction lasts long."""
SHOWN = 10
"""Ids listed in a finding; chosen here, so that a finding stays readable."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An inconsistency: its subject, and a sentence that says what to do."""

    about: str
    sentence: str


@dataclass(frozen=True, slots=True)
class FilesPage:
    """The findings of one page of contents; `last_content_id` is None after the last page."""

    last_content_id: int | None
    findings: list[Finding]


def files_page(session: Session, store: ImageStore, after_content_id: int) -> FilesPage:
    """Check a page of contents, by ascending id: each stored one has a file of the size received."""
    rows = session.execute(
        select(Content.id, Content.storage_key, Content.byte_size)
        .where(Content.id > after_content_id, Content.storage_key != "")
        .order_by(Content.id)
        .limit(PAGE_ROWS)
    ).all()
    findings = []
    for row in rows:
        try:
            byte_size = store.path(row.storage_key).stat().st_size
        except (NotFound, OSError):
            findings.append(
                Finding("files", f"content {row.id} has no file {row.storage_key}; restore it.")
            )
            continue
        except MiradaError as error:
            findings.append(Finding("files", f"content {row.id}: {error.detail}"))
            continue
        if byte_size != row.byte_size:
            findings.append(
                Finding(
                    "files",
                    f"the file of content {row.id} has {byte_size} bytes instead of "
                    f"{row.byte_size}; restore {row.storage_key}.",
                )
            )
    return FilesPage(rows[-1].id if len(rows) == PAGE_ROWS else None, findings)


def stuck_jobs(session: Session) -> list[Finding]:
    """Return findings on jobs that were given up, and on due jobs that no worker claims."""
    findings = []
    given_up = _ids(
        session, select(Job.id).where(Job.state.in_((JobState.FAILED, JobState.QUARANTINED)))
    )
    if given_up:
        findings.append(Finding("jobs", f"{given_up} given up; see: flask --app wsgi jobs failed"))
    long_ago = now_ms() - OVERDUE_S * 1000
    overdue = _ids(
        session,
        select(Job.id).where(
            or_(
                and_(Job.state == JobState.QUEUED, Job.next_run_at_ms < long_ago),
                and_(Job.state == JobState.RUNNING, Job.lease_until_ms < long_ago),
            )
        ),
    )
    if overdue:
        findings.append(
            Finding("jobs", f"{overdue} due for ten minutes and not begun; is a worker running?")
        )
    return findings


def contents_without_vector(session: Session, *, is_embedding: bool) -> list[Finding]:
    """Return findings on contents without a vector and without an unfinished or failed job for it.

    Args:
        session: for reading.
        is_embedding: whether embeddings are switched on; if not, there are no findings.
    """
    space_id = session.execute(select(Installation.image_space_id)).scalar_one_or_none()
    if space_id is None or not is_embedding:
        return []
    has_vector = (
        select(Embedding.id)
        .where(
            Embedding.content_id == Content.id,
            Embedding.space_id == space_id,
            Embedding.is_deleted.is_(False),
        )
        .exists()
    )
    has_job = (
        select(Job.id)
        .where(
            Job.kind == "create_embeddings_task",
            Job.subject_id == Content.id,
            Job.state != JobState.DONE,
        )
        .exists()
    )
    missing = _ids(
        session, select(Content.id).where(Content.storage_key != "", ~has_vector, ~has_job)
    )
    if not missing:
        return []
    return [
        Finding(
            "vectors", f"{missing} have none and no job; run: flask --app wsgi embeddings backfill"
        )
    ]


def images_out_of_step(session: Session) -> list[Finding]:
    """Return findings on READY images that have no vector in the pinned space."""
    space_id = session.execute(select(Installation.image_space_id)).scalar_one_or_none()
    has_vector = (
        select(Embedding.id)
        .where(
            Embedding.content_id == Image.content_id,
            Embedding.space_id == space_id,
            Embedding.is_deleted.is_(False),
        )
        .exists()
    )
    ready = _ids(session, select(Image.id).where(Image.status == ImageStatus.READY, ~has_vector))
    if not ready:
        return []
    return [
        Finding(
            "images",
            f"{ready} are READY without a vector; run: flask --app wsgi embeddings backfill",
        )
    ]


def _ids(session: Session, query: object) -> str:
    """Return the count and the first ids of a query's rows, such as "12 (3, 5, ...)"; "" for no rows."""
    selected = query.subquery()  # type: ignore[attr-defined]
    count = session.execute(select(func.count()).select_from(selected)).scalar_one()
    if count == 0:
        return ""
    ids = session.execute(query.order_by("id").limit(SHOWN)).scalars()  # type: ignore[attr-defined]
    listed = ", ".join(str(value) for value in ids)
    return f"{count} ({listed}{', ...' if count > SHOWN else ''})"

"""Consistency checks of the database and the file store. They only read; a finding says what to do."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from mirada.db.models import Content, Embedding, Image, Installation, Job, JobState
from mirada.db.session import now_ms
from mirada.kernel.commands import command_line
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
    long_ago = now_ms() - OVERDUE_S * 1000
    given_up = select(Job.id).where(Job.state.in_((JobState.FAILED, JobState.QUARANTINED)))
    overdue = select(Job.id).where(
        or_(
            and_(Job.state == JobState.QUEUED, Job.next_run_at_ms < long_ago),
            and_(Job.state == JobState.RUNNING, Job.lease_until_ms < long_ago),
        )
    )
    return [
        *_found(session, given_up, "jobs", f"given up; see: {command_line('jobs failed')}"),
        *_found(
            session, overdue, "jobs", "due for ten minutes and not begun; is a worker running?"
        ),
    ]


def contents_without_vector(session: Session, *, is_embedding: bool) -> list[Finding]:
    """Return findings on contents without a vector and without an unfinished or failed job for it.

    Args:
        session: for reading.
        is_embedding: whether embeddings are switched on; if not, there are no findings.
    """
    space_id = session.execute(select(Installation.image_space_id)).scalar_one_or_none()
    if space_id is None or not is_embedding:
        return []
    job = select(Job.id).where(
        Job.kind == "create_embeddings_task",
        Job.subject_id == Content.id,
        Job.state != JobState.DONE,
    )
    missing = select(Content.id).where(
        Content.storage_key != "", ~_has_vector(Content.id, space_id), ~job.exists()
    )
    return _found(
        session,
        missing,
        "vectors",
        f"have none and no job; run: {command_line('embeddings backfill')}",
    )


def images_out_of_step(session: Session) -> list[Finding]:
    """Return findings on READY images that have no vector in the pinned space."""
    space_id = session.execute(select(Installation.image_space_id)).scalar_one_or_none()
    ready = select(Image.id).where(
        Image.status == ImageStatus.READY, ~_has_vector(Image.content_id, space_id)
    )
    return _found(
        session,
        ready,
        "images",
        f"are READY without a vector; run: {command_line('embeddings backfill')}",
    )


def _has_vector(
    content_id: InstrumentedAttribute[int], space_id: int | None
) -> ColumnElement[bool]:
    vector = select(Embedding.id).where(
        Embedding.content_id == content_id,
        Embedding.space_id == space_id,
        Embedding.is_deleted.is_(False),
    )
    return vector.exists()


def _found(session: Session, query: Select[int], about: str, predicate: str) -> list[Finding]:
    """Return one finding on all ids that a query selects, such as "12 (3, 5, ...) given up"."""
    selected = query.subquery()
    count = session.execute(select(func.count()).select_from(selected)).scalar_one()
    if count == 0:
        return []
    ids = session.execute(query.order_by("id").limit(SHOWN)).scalars()
    listed = ", ".join(str(value) for value in ids)
    more = ", ..." if count > SHOWN else ""
    return [Finding(about, f"{count} ({listed}{more}) {predicate}")]

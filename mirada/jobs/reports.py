"""Jobs as people see them: progress, title, image and error. Only reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mirada.db.models import Image, Job, JobState, Role
from mirada.db.visibility import may_see
from mirada.jobs.hints import JobError, error_of
from mirada.jobs.kinds import Kinds, kind_of
from mirada.kernel.audience import Audience
from mirada.people.identity import Person


@dataclass(frozen=True, slots=True)
class JobImage:
    """The image that a job is about, or that it made."""

    id: int
    filename: str | None


@dataclass(frozen=True, slots=True)
class JobReport:
    """A job as people see it.

    Attributes:
        job: the row.
        title: what it does, in a few words.
        image: what it is about, or what it made; for its owner alone, and None where there is none.
        image_id: the image that it made, for its owner; None for other kinds, and until it is done.
        has_file: whether it made an export; for its owner, False for all else.
        subject_id: what the work is about. None for whoever is no administrator: the number of a
            content would tell its uploader that somebody had the same bytes before.
        error: the last error; None where there was none.
        rate_per_s: progress per second of this attempt; None before there is any.
        eta_s: seconds to go at that rate; None while it cannot be told, or once nothing is to go.
        waits_s: seconds until the next attempt may begin; None unless the job is queued.
    """

    job: Job
    title: str
    image: JobImage | None
    image_id: int | None
    subject_id: int | None
    error: JobError | None
    rate_per_s: float | None
    eta_s: float | None
    waits_s: float | None
    has_file: bool = False


def title_of(kinds: Kinds, name: str) -> str:
    """Return what a kind of job does, in a few words; its name for a kind without a title."""
    return kind_of(kinds, name).title or name


def reports_of(
    session: Session, jobs: Iterable[Job], now: int, viewer: Person | None, kinds: Kinds
) -> list[JobReport]:
    """Return jobs that the viewer may see, in the order given, with what they are told of each.

    Args:
        session: reads only; one statement for the images of all.
        jobs: rows that the viewer may see.
        now: the database's clock, Unix milliseconds.
        viewer: who is told.
        kinds: say what is told of the jobs' subjects.
    """
    listed = list(jobs)
    images = _images(session, listed, viewer, kinds)
    return [_report(job, now, viewer, kinds, images.get(job.id)) for job in listed]


def _images(
    session: Session, jobs: Iterable[Job], viewer: Person | None, kinds: Kinds
) -> Mapping[int, JobImage]:
    """Return the viewer's own images by the ids of their own jobs that are about them."""
    if viewer is None:
        return {}
    own = [job for job in jobs if job.owner_id == viewer.id and job.subject_id is not None]
    by_content = {
        job.id: job.subject_id for job in own if kind_of(kinds, job.kind).is_about_content
    }
    by_image = {job.id: job.subject_id for job in own if kind_of(kinds, job.kind).makes_image}
    theirs = may_see(Audience(viewer.id).own_alone())
    newest: dict[int | None, int] = {}
    if by_content:
        found = session.execute(
            select(Image.content_id, func.max(Image.id))
            .where(Image.content_id.in_(set(by_content.values())), theirs)
            .group_by(Image.content_id)
        )
        newest = {row[0]: int(row[1]) for row in found}
    wanted = by_image | {job_id: newest.get(each) for job_id, each in by_content.items()}
    ids = set(wanted.values()) - {None}
    if not ids:
        return {}
    rows = session.execute(select(Image.id, Image.filename).where(Image.id.in_(ids), theirs))
    images: dict[int | None, JobImage] = {row.id: JobImage(row.id, row.filename) for row in rows}
    return {job_id: images[each] for job_id, each in wanted.items() if each in images}


def _report(
    job: Job, now: int, viewer: Person | None, kinds: Kinds, image: JobImage | None
) -> JobReport:
    rate = eta = waits = None
    if job.started_at_ms is not None and job.progress_done > 0:
        elapsed_ms = max((job.finished_at_ms or now) - job.started_at_ms, 1)
        rate = job.progress_done * 1000 / elapsed_ms
        if job.state == JobState.RUNNING and job.progress_total is not None:
            eta = max(job.progress_total - job.progress_done, 0) / rate
    if job.state == JobState.QUEUED:
        waits = max(job.next_run_at_ms - now, 0) / 1000
    is_told = viewer is not None and viewer.role == Role.ADMINISTRATOR
    image_id, subject_id = None, job.subject_id if is_told else None
    kind, is_owner = kind_of(kinds, job.kind), viewer is not None and viewer.id == job.owner_id
    if kind.makes_image:
        # An administrator sees everybody's jobs, and nobody's private images.
        image_id, subject_id = job.subject_id if is_owner else None, None
    return JobReport(
        job=job,
        title=title_of(kinds, job.kind),
        image=image,
        image_id=image_id,
        subject_id=subject_id,
        error=error_of(job, now),
        rate_per_s=rate,
        eta_s=eta,
        waits_s=waits,
        has_file=kind.makes_file and is_owner and job.state == JobState.DONE,
    )

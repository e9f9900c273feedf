"""Grouping the library as a job: progress, an attempt that dies, one that is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from mirada.config import PROJECT_ROOT
from mirada.db.classifier_models import Cluster, ClusterMember, ClusterRun
from mirada.db.models import Job, JobState
from mirada.groups import runs as cluster
from mirada.groups.as_seen import list_clusters
from mirada.groups.runs import ClusterKind
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import Matrix, l2_normalise
from testing.vector_library import Library
from testing.worksite import Site
from workers.attempt import LeasedAttempt
from workers.runner import JobRunner, run_job

THEMES, NEAR = ClusterKind.THEMES, ClusterKind.NEAR_DUPLICATES


def planted(groups: int, per_group: int) -> Matrix:
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(12)[:groups], per_group, axis=0)
    return l2_normalise(centres + rng.standard_normal(centres.shape) * 0.05)


@pytest.fixture
def library(site: Site) -> Library:
    """Five planted groups of 500 pictures in the site's space."""
    library = Library(site.runtime.database, site.space_id, 12, [site.owner_id])
    library.add(planted(5, 500), owners=[site.owner_id] * 2_500, public=False)
    return library


def asked_for(site: Site, kind: ClusterKind, **options: Any) -> int:
    with site.runtime.transaction() as session:
        return cluster.request(session, kind, owner_id=site.owner_id, **options).id


def sizes(site: Site, kind: ClusterKind) -> list[int]:
    with site.runtime.reading() as session:
        page = list_clusters(session, kind, Scope(Audience(site.owner_id)), limit=100)
    return [shown.size for shown in page.clusters]


def counts(site: Site) -> tuple[int, int, int]:
    """Return how many runs, clusters and members there are."""
    with site.runtime.reading() as session:
        runs, clusters, members = (
            session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (ClusterRun, Cluster, ClusterMember)
        )
    return runs, clusters, members


@pytest.mark.usefixtures("library")
def test_a_job_groups_the_library_and_says_how_far_it_is(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int | None]] = []
    reported = LeasedAttempt.report

    def report(attempt: LeasedAttempt, done: int, total: int | None) -> None:
        seen.append((done, total))
        reported(attempt, done, total)

    monkeypatch.setattr(LeasedAttempt, "report", report)
    for kind, steps in ((THEMES, 5_000), (NEAR, 7_500)):
        seen.clear()
        job_id = asked_for(site, kind, **({"k": 5} if kind is THEMES else {"threshold": 0.8}))
        assert run_job(site.runtime, job_id)
        job = site.job(job_id)
        assert (job.state, job.progress_done, job.progress_total) == (JobState.DONE, steps, steps)
        assert sizes(site, kind) == [500] * 5
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert len(seen) >= 3
        assert {total for _, total in seen} == {steps}


@pytest.mark.usefixtures("library")
def test_a_new_run_replaces_the_old_one(site: Site) -> None:
    for k in (5, 2):
        assert run_job(site.runtime, asked_for(site, THEMES, k=k))
    assert len(sizes(site, THEMES)) == 2
    assert counts(site) == (1, 2, 2_500)


@pytest.mark.usefixtures("library")
def test_a_killed_worker_s_half_run_is_never_seen_and_the_next_attempt_removes_it(
    site: Site,
) -> None:
    assert run_job(site.runtime, asked_for(site, THEMES, k=3))
    before = sizes(site, THEMES)
    job_id = asked_for(site, THEMES, k=5)
    settings = site.runtime.settings
    killed = subprocess.run(
        [sys.executable, "-m", "testing.grouping_process", str(job_id)],
        cwd=PROJECT_ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT_ROOT),
            "MIRADA_ENV_FILE": os.devnull,
            "DATABASE_URL": settings.url.render_as_string(hide_password=False),
            "DATA_DIR": str(settings.data_dir),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert site.job(job_id).state == JobState.RUNNING
    runs, _, members = counts(site)
    assert (runs, members) == (2, 2_500 + 1_000)
    assert sizes(site, THEMES) == before

    with site.runtime.transaction() as session:
        session.execute(update(Job).values(lease_until_ms=1))
    assert run_job(site.runtime, job_id)

    assert (site.job(job_id).state, site.job(job_id).crashes) == (JobState.DONE, 1)
    assert sizes(site, THEMES) == [500] * 5
    assert counts(site) == (1, 5, 2_500)


@pytest.mark.usefixtures("library")
def test_an_attempt_that_lost_its_lease_shows_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = asked_for(site, NEAR, threshold=0.8)
    finish = cluster.finish

    def too_late(session: Session, run_id: int) -> None:
        session.execute(update(Job).values(lease_token="somebody else's"))
        finish(session, run_id)

    monkeypatch.setattr(cluster, "finish", too_late)
    run_job(site.runtime, job_id)
    assert sizes(site, NEAR) == []
    assert site.job(job_id).state == JobState.RUNNING


@pytest.mark.usefixtures("library")
def test_a_worker_told_to_stop_gives_the_job_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = asked_for(site, THEMES, k=5)
    runner = JobRunner(site.runtime)
    store = cluster.store

    def stop_meanwhile(*arguments: Any) -> dict[int, int]:
        runner._stopping.set()
        return store(*arguments)

    monkeypatch.setattr(cluster, "store", stop_meanwhile)
    runner.run(job_id)
    runner.stop(0)
    job = site.job(job_id)
    assert (job.state, job.attempts, job.crashes) == (JobState.QUEUED, 0, 0)
    assert sizes(site, THEMES) == []

    monkeypatch.setattr(cluster, "store", store)
    assert run_job(site.runtime, job_id)
    assert sizes(site, THEMES) == [500] * 5


def test_an_empty_library_is_grouped_into_nothing(site: Site) -> None:
    for kind in (THEMES, NEAR):
        job_id = asked_for(site, kind)
        assert run_job(site.runtime, job_id)
        assert site.job(job_id).state == JobState.DONE
        assert sizes(site, kind) == []

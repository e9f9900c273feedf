"""The same ledger on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirada.db.models import JobState
from mirada.drawing import request
from mirada.drawing.request import WantedDrawing
from mirada.kernel.audience import Audience
from mirada.kernel.errors import LeaseLost
from mirada.pictures import images
from testing.openai_server import DRAWINGS, openai_serving
from testing.worksite import Site
from workers import in_process
from workers.runner import run_job


@pytest.mark.postgresql
def test_pictures_become_ready_on_postgresql(
    make_site: Callable[..., Site], postgresql_url: str
) -> None:
    site = make_site(database_url=postgresql_url)
    for seed in range(10):
        site.upload(seed)
    stop = in_process.start(site.runtime)
    site.wait_for({"READY": 10})
    stop()

    assert site.vectors() == 10


@pytest.mark.postgresql
def test_a_picture_is_made_from_words_on_postgresql(
    make_site: Callable[..., Site], postgresql_url: str
) -> None:
    with openai_serving() as server:
        site = make_site(database_url=postgresql_url, **server.settings)
        wanted = WantedDrawing(site.owner_id, "a cat on the moon")
        with site.runtime.transaction() as session:
            first = request.request_drawing(session, wanted, idempotency_key="k-1")
        with site.runtime.transaction() as session:
            again = request.request_drawing(session, wanted, idempotency_key="k-1")
        assert (again.job_id, again.was_replayed) == (first.job_id, True)

        assert run_job(site.runtime, first.job_id)

        job = site.job(first.job_id)
        assert (job.state, job.arguments, server.paid[DRAWINGS]) == (JobState.DONE, {}, 1)
        with site.runtime.reading() as session:
            image = images.get_image(session, job.subject_id or 0, Audience(site.owner_id))
        assert image.prompt == wanted.prompt
        # Whoever lost the lease writes neither the job's end nor its image's number.
        with pytest.raises(LeaseLost), site.runtime.transaction() as session:
            request.finish(session, job.id, "another", 7)
        assert site.job(job.id).subject_id == image.id

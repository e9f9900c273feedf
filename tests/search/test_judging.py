"""Pictures are judged when a filter asks for it, and a score counts for images that were there."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select, update

from mirada.db.models import Content, Embedding, Image, Job
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.kernel.audience import Audience
from mirada.kernel.nsfw import UNSAFE_PROMPTS
from mirada.search.judging import DAMAGED, JUDGE_PICTURES, queue_judging
from testing.application import create_app
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import as_upload
from testing.pictures import picture
from tests.conftest import MakeRuntime
from workers.runner import run_job

ME = Audience(1)


class Site:
    """A runtime whose encoder shows what it is told, and a client of it."""

    def __init__(self, make_runtime: MakeRuntime, **settings: Any) -> None:
        self.encoder = CountingEncoder(logit_scale=100.0)
        self.runtime = with_encoder(make_runtime(auth_mode="open", **settings), self.encoder)
        self.client = create_app(self.runtime).test_client()

    def upload(self, seed: int, *shown: str) -> int:
        if shown:
            self.encoder.show(*shown)
        data = {"file": as_upload(picture(seed))}
        image_id = int(self.client.post("/api/v1/images", data=data).get_json()["id"])
        self.work(CREATE_EMBEDDINGS)
        return image_id

    def jobs(self, kind: str) -> list[int]:
        with self.runtime.reading() as session:
            due = select(Job.id).where(Job.kind == kind, Job.state == "queued")
            return list(session.execute(due).scalars())

    def work(self, kind: str) -> None:
        for job_id in self.jobs(kind):
            assert run_job(self.runtime, job_id)

    def listed(self, query: str) -> list[int]:
        reply = self.client.get(f"/api/v1/images?{query}")
        assert reply.status_code == 200, reply.get_json()
        return [image["id"] for image in reply.get_json()["results"]]


@pytest.fixture
def site(make_runtime: MakeRuntime, site_settings: dict[str, Any]) -> Site:
    return Site(make_runtime, **site_settings)


def test_who_asks_first_has_the_library_judged_once(site: Site) -> None:
    unsafe = site.upload(1, *UNSAFE_PROMPTS)
    safe = site.upload(2, "a lighthouse")
    assert site.listed("kind=still") == [safe, unsafe]
    assert site.jobs(JUDGE_PICTURES) == []
    assert site.listed("nsfw=true") == site.listed("nsfw=false") == []
    assert len(site.jobs(JUDGE_PICTURES)) == 1
    site.work(JUDGE_PICTURES)
    assert site.listed("nsfw=true") == [unsafe]
    assert site.listed("nsfw=false") == [safe]
    assert site.jobs(JUDGE_PICTURES) == []


def test_a_copy_of_what_was_judged_waits_like_a_new_picture(site: Site) -> None:
    """Otherwise it would tell that somebody had the same bytes judged before."""
    first = site.upload(1, *UNSAFE_PROMPTS)
    queue_judging(site.runtime, ME)
    site.work(JUDGE_PICTURES)
    copy, fresh = site.upload(1), site.upload(2, *UNSAFE_PROMPTS)
    assert site.listed("nsfw=true") == [first]
    site.work(JUDGE_PICTURES)
    assert site.listed("nsfw=true") == [fresh, copy, first]


def test_a_damaged_vector_is_not_called_safe(site: Site) -> None:
    image_id = site.upload(1, "a lighthouse")
    with site.runtime.transaction() as session:
        session.execute(update(Embedding).values(crc32=0))
    queue_judging(site.runtime, ME)
    site.work(JUDGE_PICTURES)
    with site.runtime.reading() as session:
        assert session.execute(select(Content.nsfw_score)).scalar_one() == DAMAGED
    assert site.listed("nsfw=true") == [image_id]


def test_nothing_is_queued_where_nothing_is_judged_or_nothing_is_lacking(
    make_runtime: MakeRuntime,
) -> None:
    off = Site(make_runtime, nsfw_policy="off")
    off.upload(1, "a lighthouse")
    assert queue_judging(off.runtime, ME) is None
    site = Site(make_runtime)
    assert queue_judging(site.runtime, ME) is None
    site.upload(1, "a lighthouse")
    # What others keep private is no reason: when one's own is judged would tell of it.
    assert queue_judging(site.runtime, Audience(None)) is None
    assert queue_judging(site.runtime, ME) == queue_judging(site.runtime, ME) is not None
    site.work(JUDGE_PICTURES)
    assert queue_judging(site.runtime, ME) is None
    with site.runtime.reading() as session:
        judged = select(func.count()).select_from(Content).where(Content.judged_at.is_not(None))
        assert session.execute(judged).scalar_one() == 1
        assert session.execute(select(func.count(Image.id))).scalar_one() == 1

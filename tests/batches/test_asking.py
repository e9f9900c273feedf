"""Many images classified or captioned again: jobs are queued, and nothing can be undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from mirada.captions.writing import CAPTION_IMAGE
from mirada.classify.batch import CLASSIFY_IMAGES
from mirada.db.models import Image, Job
from testing.gallery import assert_problem
from tests.batches.town import Town
from workers.runner import run_job


def queued(town: Town, kind: str) -> list[Job]:
    with town.runtime.reading() as session:
        query = select(Job).where(Job.kind == kind, Job.state == "queued").order_by(Job.id)
        return list(session.execute(query).scalars())


def test_what_one_sees_is_classified_again(town: Town) -> None:
    mine, public = town.hang("ana", 2), town.hang("ben", 1, is_public="true")
    private = town.hang("ben", 1)
    batch = town.done("ana", "reclassify", ids=[*mine, *public, *private])
    assert (batch["done"], batch["undo"], batch["state"]) == (3, None, "done")
    assert [(each["id"], each["code"]) for each in batch["failed"]] == [(private[0], "not_found")]
    (job,) = queued(town, CLASSIFY_IMAGES)
    assert job.arguments["image_ids"] == [*mine, *public]
    with town.runtime.reading() as session:
        assert job.owner_id == session.get_one(Image, mine[0]).owner_id
    assert_problem(town.send("ana", "reclassify", ["cat"], ids=mine), 422, "invalid_input")


def test_a_filter_is_classified_again_in_steps(town: Town, small_steps: None) -> None:
    mine = town.hang("ana", 4)
    batch = town.done("ana", "reclassify", filter={})
    assert queued(town, CLASSIFY_IMAGES) == []
    run_job(town.runtime, batch["job_id"])
    asked = [job.arguments["image_ids"] for job in queued(town, CLASSIFY_IMAGES)]
    assert asked == [mine[:2], mine[2:]]
    assert town.told("ana", batch)["done"] == 4


def test_only_ones_own_are_described_again(make_runtime: Callable[..., Any]) -> None:
    settings = {"openai_api_key": "sk-test", "openai_base_url": "http://127.0.0.1:9/v1"}
    town = Town(make_runtime(auth_mode="keys", **settings))
    mine, public = town.hang("ana", 2), town.hang("ben", 1, is_public="true")
    with town.runtime.transaction() as session:
        session.query(Job).filter(Job.kind == CAPTION_IMAGE).delete()
    batch = town.done("root", "recaption", ids=public)
    assert [(each["id"], each["code"]) for each in batch["failed"]] == [(public[0], "not_found")]
    batch = town.done("ana", "recaption", ids=[*mine, *public])
    assert (batch["done"], batch["undo"]) == (2, None)
    jobs = queued(town, CAPTION_IMAGE)
    assert [job.arguments for job in jobs] == [{"redo": True}] * 2


def test_what_nobody_does_here_is_refused(make_runtime: Callable[..., Any]) -> None:
    town = Town(make_runtime(auth_mode="keys", embeddings_enabled=False))
    mine = town.hang("ana", 1)
    problem = assert_problem(town.send("ana", "recaption", ids=mine), 409, "conflict")
    assert "OPENAI_API_KEY" in problem["detail"]
    problem = assert_problem(town.send("ana", "reclassify", ids=mine), 409, "conflict")
    assert "EMBEDDINGS_ENABLED" in problem["detail"]

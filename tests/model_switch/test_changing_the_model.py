"""A change of the image model from beginning to end, with two quick models."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, inspect, select

from mirada.config import VectorBackend
from mirada.db.memory_models import TextEmbedding
from mirada.db.model_switch_models import Outcome, SwitchState
from mirada.db.models import Content, Image, IndexSnapshot, Installation, Job, Space
from mirada.db.pgvector.tables import name_of
from mirada.db.pgvector_models import PgvectorSpace
from mirada.db.session import Database
from mirada.db.spaces import pinned_space
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import Conflict, EncoderUnavailable, InvalidInput, LeaseLost, StorageFull
from mirada.model_switch import building, changing, filling, flipping
from mirada.model_switch.changing import Asked
from mirada.model_switch.comparing import TIMED
from mirada.model_switch.evening import queue_due_evening
from mirada.model_switch.following import ModelFollower
from mirada.model_switch.reporting import missing_of
from mirada.runtime import Runtime
from mirada.search.calibrating import strangers
from mirada.search.queries import vector_of_image
from testing.patience import wait_until
from testing.two_models import DIMENSIONS, House, is_ready, with_two_models
from workers.runner import JobRunner, run_job

SAMPLED_COPIES = 4
"""A picture and its three altered copies, which set the threshold of near-duplicates."""


def test_a_model_is_built_beside_flipped_and_taken_back(house: House) -> None:
    images = [house.upload(seed, prompt=f"picture {seed}") for seed in range(5)]
    assert house.vectors("first") == 5
    house.follow()
    assert house.web.view.image_space_id is not None

    house.build()

    assert house.pinned() == "first"
    assert house.vectors("second") == 5
    compared = house.switch().comparison
    assert compared is not None
    assert compared["then"]["dimension"] == DIMENSIONS["second"]
    assert compared["overlap_at_10"]["queries"] > 5
    before = house.web.process_view

    house.flip()

    assert house.pinned() == "second"
    assert house.web.process_view.image_space_id != before.image_space_id
    assert house.web.space()[1].encoder == "second"
    assert house.web.encoder.space.encoder == "second"
    assert house.web.text_encoder.space.encoder == "second"
    assert house.switch().state == SwitchState.FLIPPED
    later = house.upload(77)
    assert (house.vectors("first"), house.vectors("second")) == (6, 6)

    changing.go_back(house.web, Asked())
    house.work()
    house.follow()
    assert house.pinned() == "first"
    assert house.web.process_view == before
    assert house.switch().state == SwitchState.READY
    with house.worker.reading() as session:
        ready = session.execute(select(Image.status).where(Image.id.in_([*images, later])))
        assert set(ready.scalars()) == {"READY"}


def test_a_picture_without_its_file_is_listed_and_the_rest_goes_on(house: House) -> None:
    gone, *_ = [house.upload(seed) for seed in range(3)]
    with house.worker.reading() as session:
        content = session.get_one(Content, session.get_one(Image, gone).content_id)
    house.worker.image_store.path(content.storage_key).unlink()

    house.build()
    house.flip()

    assert house.vectors("second") == 2
    with house.worker.reading() as session:
        (missing,) = missing_of(session)
    assert (missing.content_id, missing.image_ids) == (content.id, [gone])
    assert missing.reason == "Its file is gone."
    space_id, space = house.web.space()
    with (
        house.web.reading() as session,
        pytest.raises(Conflict, match="no vector of the image model"),
    ):
        vector_of_image(session, gone, Audience(house.owner_id), space_id=space_id, space=space)


def test_a_build_that_was_killed_goes_on_and_embeds_nothing_twice(house: House) -> None:
    for seed in range(20):
        house.upload(seed)
    changing.begin(house.worker, "second", None, Asked())
    second = house.models["second"]
    encode = second.encode_images
    calls: list[int] = []

    def dies(images: Any) -> Any:
        calls.append(len(images))
        if len(calls) > 1:
            raise LeaseLost("Another attempt has begun.")
        return encode(images)

    second.encode_images = dies  # type: ignore[method-assign]
    with house.worker.reading() as session:
        job = session.execute(select(Job).where(Job.kind == changing.BUILD)).scalar_one()
    assert run_job(house.worker, job.id)
    assert house.vectors("second") == filling.AT_ONCE
    assert house.switch().state == SwitchState.BUILDING
    second.encode_images = encode  # type: ignore[method-assign]
    before = second.images
    with house.worker.transaction() as session:
        session.get_one(Job, job.id).lease_until_ms = 0

    assert run_job(house.worker, job.id)

    assert house.vectors("second") == 20
    probes = SAMPLED_COPIES * 20 + TIMED + len(strangers())
    assert second.images - before <= 4 + probes
    assert house.switch().state == SwitchState.READY


def test_a_cancelled_change_leaves_nothing(house: House) -> None:
    house.upload(1, prompt="a cat")
    house.build()
    changing.cancel(house.web, Asked())
    house.work()
    switch = house.switch()
    assert (switch.state, switch.outcome, switch.active) == ("ended", Outcome.CANCELLED, None)
    assert (house.vectors("first"), house.vectors("second")) == (1, 0)
    with house.worker.reading() as session:
        in_use = pinned_space(session)
    assert in_use is not None
    assert in_use.source is None
    house.build()
    assert house.vectors("second") == 1


def test_discarded_vectors_are_gone_and_the_change_is_final(house: House) -> None:
    house.upload(1, prompt="a cat")
    house.build()
    house.flip()
    changing.discard(house.web, Asked())
    house.work()
    assert (house.vectors("first"), house.vectors("second")) == (0, 1)
    assert house.switch().outcome == Outcome.SWITCHED
    with pytest.raises(Conflict, match="No change of the image model is on"):
        changing.go_back(house.web, Asked())
    house.follow()
    house.upload(2)
    assert (house.vectors("first"), house.vectors("second")) == (0, 2)


def test_the_index_files_of_a_discarded_model_go_with_its_vectors(house: House) -> None:
    house.upload(1)
    house.build()
    house.flip()
    with house.web.transaction() as session:
        epoch = session.execute(select(Installation.db_epoch)).scalar_one()
        for name, space_id in (
            ("snap-old", house.switch().from_space_id),
            ("snap-new", house.switch().to_space_id),
        ):
            session.add(
                IndexSnapshot(
                    name=name,
                    space_id=space_id,
                    change_seq=1,
                    db_epoch=epoch,
                    sha256="0" * 64,
                    row_count=1,
                    manifest={},
                    fencing_token=1,
                )
            )
    folder = house.worker.settings.faiss_index_dir / epoch
    for name in ("snap-old", "snap-new"):
        (folder / name).mkdir(parents=True)

    changing.discard(house.web, Asked())
    house.work()

    assert [each.name for each in folder.iterdir()] == ["snap-new"]


def test_what_cannot_be_begun_is_refused_and_nothing_is_half_done(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Conflict, match="No picture has been embedded"):
        changing.begin(house.web, "second", None, Asked())
    house.upload(1)
    with pytest.raises(Conflict, match="in use already"):
        changing.begin(house.web, "first", None, Asked())
    with pytest.raises(InvalidInput, match="There is no model"):
        changing.begin(house.web, "third", None, Asked())
    for step in (changing.flip, changing.go_back, changing.discard, changing.cancel):
        with pytest.raises(Conflict, match="No change of the image model is on"):
            step(house.web, Asked())
    usage = shutil.disk_usage(house.web.settings.data_dir)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        with pytest.raises(StorageFull, match="nothing was changed"):
            changing.begin(house.web, "second", None, Asked())
    assert house.switch() is None

    changing.begin(house.web, "second", None, Asked())
    again = changing.begin(house.web, "second", None, Asked())
    assert again.id == house.switch().id
    house.work()
    with pytest.raises(Conflict, match="it is ready"):
        changing.begin(house.web, "second", None, Asked())
    with pytest.raises(Conflict, match="it is ready"):
        changing.go_back(house.web, Asked())


def test_a_model_that_cannot_be_loaded_ends_the_change_with_the_reason(house: House) -> None:
    house.upload(1)

    def broken(*_: Any) -> Any:
        raise InvalidInput("These weights are of another model.")

    house.worker.load_model = broken  # type: ignore[method-assign]
    changing.begin(house.web, "second", None, Asked())
    house.work()
    switch = house.switch()
    assert (switch.state, switch.outcome) == ("ended", Outcome.FAILED)
    assert switch.error is not None
    assert "another model" in switch.error


def test_a_process_that_cannot_load_the_model_keeps_everybody_on_the_old_one(house: House) -> None:
    house.upload(1)
    house.build()

    def broken(*_: Any) -> Any:
        raise EncoderUnavailable("There is no memory for it.")

    house.web.load_model = broken  # type: ignore[method-assign]
    changing.flip(house.web, Asked())
    wait_until(lambda: _is_in_trouble(house.followers[1]), what="the trouble said")
    house.work()
    switch = house.switch()
    assert (switch.state, house.pinned()) == (SwitchState.READY, "first")
    assert switch.error is not None
    assert "no memory" in switch.error


def _is_in_trouble(follower: ModelFollower) -> bool:
    follower.look()
    return bool(follower._said and follower._said[2])


def test_work_that_began_before_the_flip_ends_in_the_space_it_began_in(house: House) -> None:
    house.upload(1)
    house.build()
    house.follow()
    house.web.begin_request()
    try:
        before = house.web.space()
        finished = threading.Thread(target=house.flip)
        finished.start()
        finished.join()
        assert house.pinned_in(house.web) == before[0]
        assert house.web.space() == before
        assert house.web.encoder.space == before[1]
    finally:
        house.web.end_request()
    assert house.pinned() == "second"
    assert house.web.space()[1].encoder == "second"


def test_processes_that_start_after_the_flip_serve_the_new_model_and_go_back_too(
    house: House, make_runtime: Callable[..., Runtime], site_settings: dict[str, Any]
) -> None:
    house.upload(1)
    house.build()
    house.flip()
    for follower in house.followers:
        follower.stop()
    shared = {"data_dir": house.worker.settings.data_dir} | site_settings
    house.worker, house.web = make_runtime(**shared), make_runtime(**shared)
    for runtime in (house.worker, house.web):
        with_two_models(runtime)
    house.followers = [
        ModelFollower(house.worker, works=True),
        ModelFollower(house.web, works=False),
    ]
    for follower in house.followers:
        follower.look()
    assert house.web.encoder.space.encoder == "second"
    assert house.web.process_view.suffix == ""
    wait_until(lambda: is_ready(house.followers[0]), what="the worker has both")
    house.upload(2)
    assert (house.vectors("first"), house.vectors("second")) == (2, 2)

    changing.go_back(house.web, Asked())
    for process in house.followers:
        wait_until(lambda process=process: is_ready(process), what="both ready")  # type: ignore[misc]
    house.work()
    house.follow()
    assert house.pinned() == "first"
    assert house.web.encoder.space.encoder == "first"


def test_a_flip_that_was_killed_is_done_by_the_next_attempt(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.upload(1)
    house.build()
    changing.flip(house.web, Asked())
    for process in house.followers:
        wait_until(lambda process=process: is_ready(process), what="both ready")  # type: ignore[misc]
    job_id = house.switch().job_id
    assert job_id is not None

    def dies(*_: Any) -> Any:
        raise LeaseLost("Another attempt has begun.")

    with monkeypatch.context() as patch:
        patch.setattr(flipping, "_write", dies)
        assert run_job(house.worker, job_id)
    assert (house.switch().state, house.pinned()) == (SwitchState.FLIPPING, "first")
    with house.worker.transaction() as session:
        session.get_one(Job, job_id).lease_until_ms = 0
    assert run_job(house.worker, job_id)
    assert (house.switch().state, house.pinned()) == (SwitchState.FLIPPED, "second")


def test_several_new_pictures_at_once_get_vectors_of_both_models(house: House) -> None:
    house.upload(1)
    house.build()
    wait_until(lambda: is_ready(house.followers[0]), what="the worker has both")
    for seed in range(10, 16):
        house.upload(seed, work=False)
    runner = JobRunner(house.worker)
    try:
        assert runner.run_batches(CREATE_EMBEDDINGS)
    finally:
        runner.stop(0)
    house.work(CREATE_EMBEDDINGS)
    assert (house.vectors("first"), house.vectors("second")) == (7, 7)


def test_the_only_thread_of_a_worker_does_not_keep_new_pictures_waiting(
    make_runtime: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(make_runtime, {"worker_threads": 1})
    house.upload(1)
    monkeypatch.setattr(building, "WORKS_ALONE_S", -1.0)
    changing.begin(house.worker, "second", None, Asked())
    job_id = house.switch().job_id
    assert job_id is not None
    house.upload(2, work=False)
    assert run_job(house.worker, job_id)
    with house.worker.reading() as session:
        job = session.get_one(Job, job_id)
    assert (job.state, job.attempts) == ("queued", 0)
    assert house.switch().error is None
    house.work(CREATE_EMBEDDINGS)
    with house.worker.transaction() as session:
        session.get_one(Job, job_id).next_run_at_ms = 0
    assert run_job(house.worker, job_id)
    assert (house.switch().state, house.vectors("second")) == (SwitchState.READY, 2)


def test_a_build_that_is_cancelled_stops_and_leaves_nothing(house: House) -> None:
    for seed in range(20):
        house.upload(seed)
    changing.begin(house.worker, "second", None, Asked())
    build_id = house.switch().job_id
    assert build_id is not None
    second = house.models["second"]
    encode = second.encode_images

    def cancels(images: Any) -> Any:
        if house.switch().state == SwitchState.BUILDING:
            changing.cancel(house.web, Asked())
        return encode(images)

    second.encode_images = cancels  # type: ignore[method-assign]
    assert run_job(house.worker, build_id)
    assert 0 < house.vectors("second") <= filling.AT_ONCE
    house.work()
    assert (house.switch().outcome, house.vectors("second")) == (Outcome.CANCELLED, 0)
    with house.worker.reading() as session:
        assert session.get_one(Job, build_id).state == "done"


def test_a_picture_that_the_other_model_refuses_is_listed(house: House) -> None:
    images = [house.upload(seed) for seed in range(3)]
    second = house.models["second"]
    encode = second.encode_images
    refused = house.pixels(images[1])

    def picky(pictures: Any) -> Any:
        if any(np.array_equal(picture, refused) for picture in pictures):
            raise InvalidInput("It shows what this model cannot take.")
        return encode(pictures)

    second.encode_images = picky  # type: ignore[method-assign]
    changing.begin(house.worker, "second", None, Asked())
    house.work(changing.BUILD)
    assert house.vectors("second") == 2
    with house.worker.reading() as session:
        (missing,) = missing_of(session)
    assert (missing.image_ids, missing.reason) == (
        [images[1]],
        "It shows what this model cannot take.",
    )


def test_texts_that_came_since_get_vectors_of_both_models(house: House) -> None:
    house.upload(1, prompt="a cat")
    house.build()
    house.flip()
    house.upload(2, prompt="a dog")

    def texts() -> dict[str, int]:
        with house.worker.reading() as session:
            rows = (
                select(Space.encoder, func.count())
                .join(TextEmbedding, TextEmbedding.space_id == Space.id)
                .where(Space.kind == SpaceKind.PROMPT)
                .group_by(Space.encoder)
            )
            return dict(session.execute(rows).all())

    assert texts() == {"first": 1, "second": 2}
    queue_due_evening(house.worker)
    house.work()
    assert texts() == {"first": 2, "second": 2}
    queue_due_evening(house.worker)
    with house.worker.reading() as session:
        due = select(Job.id).where(Job.kind == changing.EVEN, Job.state == "queued")
        assert session.execute(due).first() is None


def test_pgvector_searches_the_second_space_and_forgets_the_first(
    make_runtime: Callable[..., Runtime],
    pgvector_database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flipping, "HEARD_AFTER_S", 0.0)
    url = pgvector_database.engine.url.render_as_string(hide_password=False)
    house = House(make_runtime, {"database_url": url})
    for seed in range(3):
        house.upload(seed, prompt=f"picture {seed}")
    first = house.worker.space()[0]
    house.build()
    house.flip()
    space_id, space = house.web.space()
    assert house.web.backend(space_id) is VectorBackend.PGVECTOR
    query = house.web.encoder.encode_texts(["a cat"])
    (answer,) = house.web.index(space_id).search(query, 3, Scope(Audience(house.owner_id)))
    assert (len(answer.matches), space.encoder) == (3, "second")
    changing.discard(house.web, Asked())
    house.work()
    with house.worker.reading() as session:
        copied = set(session.execute(select(PgvectorSpace.space_id)).scalars())
        tables = inspect(session.connection()).get_table_names()
    assert first not in copied
    assert space_id in copied
    assert name_of(first) not in tables
    for follower in house.followers:
        follower.stop()

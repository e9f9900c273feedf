"""Thumbnails are made by workers: with the vector, in the background, and for a request that asks."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image as Pillow
from sqlalchemy import select, update

from mirada.db.models import Content, Job, JobState, User
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.jobs import sweep
from mirada.jobs.batches import BATCH
from mirada.kernel.copies import ALL_MADE, MOVING, STILL, fitting, sides_for, tail_of
from mirada.kernel.errors import CorruptImage, NotFound, Unavailable
from mirada.pictures import thumbnails
from mirada.pictures.thumbnails import MAKE_THUMBNAILS, queue_backlog
from testing.pictures import picture
from testing.registering import take_in
from testing.worksite import Site
from workers.runner import JobRunner, run_job


def contents(site: Site) -> list[Content]:
    with site.runtime.reading() as session:
        return list(session.execute(select(Content).order_by(Content.id)).scalars())


def sizes(site: Site, content: Content) -> list[tuple[int, int]]:
    found = []
    for side in (320, 640, 1280):
        kept = site.runtime.copies.read(content.storage_key, tail_of(side))
        if kept is not None:
            with Pillow.open(io.BytesIO(kept)) as webp:
                assert webp.format == "WEBP"
                found.append(webp.size)
    return found


def embed(site: Site) -> None:
    runner = JobRunner(site.runtime)
    runner.run_batches(CREATE_EMBEDDINGS)
    runner.stop(0)


def work_off_backlog(site: Site) -> bool:
    queue_backlog(site.runtime)
    with site.runtime.reading() as session:
        due = [job.id for job in sweep.due_jobs(session) if job.kind == MAKE_THUMBNAILS]
    return bool(due) and all(run_job(site.runtime, job_id) for job_id in due)


def test_no_thumbnail_is_larger_than_its_picture() -> None:
    assert sides_for(3_000, 2_000) == [320, 640, 1280]
    assert sides_for(500, 375) == [320, 640]
    assert sides_for(320, 200) == [320]
    assert [fitting(side, 90, 500) for side in (320, 640, 1280)] == [320, 640, 640]
    assert [fitting(side, 9_000, 10) for side in (320, 640, 1280)] == [320, 640, 1280]


def test_the_first_is_made_with_the_vector_and_the_others_behind(site: Site) -> None:
    site.upload(1, size=(1_600, 1_200))
    embed(site)
    (content,) = contents(site)
    assert site.statuses() == {"READY": 1}
    assert sizes(site, content) == [(320, 240)]

    assert work_off_backlog(site)

    assert sizes(site, content) == [(320, 240), (640, 480), (1280, 960)]
    assert contents(site)[0].thumbnails_edition == ALL_MADE
    assert not work_off_backlog(site)


def test_one_decoding_gives_pixels_and_thumbnail(site: Site, monkeypatch: Any) -> None:
    decoder = site.runtime.decoder
    asked: list[str] = []

    def noted(verb: str) -> Any:
        work = getattr(decoder, verb)

        def noting(*arguments: Any) -> Any:
            asked.append(verb)
            return work(*arguments)

        return noting

    for verb in ("decode", "see", "thumbnails"):
        monkeypatch.setattr(decoder, verb, noted(verb))
    site.upload(1, size=(300, 200))
    embed(site)
    assert work_off_backlog(site)

    assert asked == ["see"]
    assert sizes(site, contents(site)[0]) == [(300, 200)]


def test_in_a_rush_vectors_come_first(site: Site, monkeypatch: Any) -> None:
    for seed in range(BATCH + 3):
        site.upload(seed, size=(500, 400))
    embed(site)
    assert site.statuses() == {"READY": BATCH + 3}
    with_one = [bool(sizes(site, content)) for content in contents(site)]
    assert with_one == [False] * BATCH + [True] * 3
    asked: list[int] = []
    make = site.runtime.decoder.thumbnails

    def noting(path: Any, sides: Any) -> Any:
        asked.append(len(sides))
        return make(path, sides)

    monkeypatch.setattr(site.runtime.decoder, "thumbnails", noting)

    assert work_off_backlog(site)

    assert asked == [2] * BATCH + [1] * 3
    assert {tuple(sizes(site, content)) for content in contents(site)} == {((320, 256), (500, 400))}


def test_who_waits_for_a_vector_goes_first(site: Site) -> None:
    site.upload(1, size=(700, 500))
    queue_backlog(site.runtime)
    with site.runtime.reading() as session:
        assert {job.kind for job in sweep.due_jobs(session)} == {CREATE_EMBEDDINGS}
    embed(site)
    queue_backlog(site.runtime)
    site.upload(2, size=(700, 500))

    assert work_off_backlog(site)

    assert all(content.thumbnails_edition == 0 for content in contents(site))
    embed(site)
    assert work_off_backlog(site)
    assert [len(sizes(site, content)) for content in contents(site)] == [3, 3]


def test_pictures_of_before_and_broken_ones_are_worked_off(site: Site) -> None:
    for seed in range(20):
        site.upload(seed)
    embed(site)
    keys = [content.storage_key for content in contents(site)]
    for key in keys:
        site.runtime.copies.drop(key, [tail_of(320)])
    path = site.runtime.image_store.path(keys[3])
    path.write_bytes(path.read_bytes()[:60])
    site.runtime.image_store.delete(keys[5])

    assert work_off_backlog(site)

    made = [site.runtime.copies.has(key, tail_of(320)) for key in keys]
    assert [at for at, is_made in enumerate(made) if not is_made] == [3, 5]
    assert all(content.thumbnails_edition == ALL_MADE for content in contents(site))
    broken, lost = contents(site)[3], contents(site)[5]
    with pytest.raises(CorruptImage, match="cut off"):
        thumbnails.thumbnail(site.runtime, broken, 320)
    with pytest.raises(NotFound):
        thumbnails.thumbnail(site.runtime, lost, 320)


def test_a_full_disk_is_an_error_of_the_job(site: Site, monkeypatch: Any) -> None:
    site.upload(1, size=(700, 500))
    embed(site)
    monkeypatch.setattr(site.runtime.copies, "write", lambda *_: False)

    assert work_off_backlog(site)

    with site.runtime.reading() as session:
        job = session.execute(select(Job).where(Job.kind == MAKE_THUMBNAILS)).scalar_one()
    assert (job.state, "could not be kept" in str(job.last_error)) == (JobState.QUEUED, True)
    assert contents(site)[0].thumbnails_edition == 0


def test_a_picture_that_ends_its_decoder_holds_up_no_other(site: Site, monkeypatch: Any) -> None:
    """Its page was begun anew for ever, and no picture after it got its thumbnails."""
    for seed in range(20):
        site.upload(seed, size=(700, 500))
    embed(site)
    poison = site.runtime.image_store.path(contents(site)[1].storage_key)
    real = site.runtime.decoder.thumbnails

    def short_of_memory(path: Any, sides: Any) -> Any:
        if path == poison:
            raise Unavailable("The decoder was ended from outside.")
        return real(path, sides)

    monkeypatch.setattr(site.runtime.decoder, "thumbnails", short_of_memory)
    assert work_off_backlog(site)

    made = [content.thumbnails_edition == ALL_MADE for content in contents(site)]
    assert [at for at, is_made in enumerate(made) if not is_made] == [1]
    with site.runtime.reading() as session:
        job = session.execute(select(Job).where(Job.kind == MAKE_THUMBNAILS)).scalar_one()
    assert (job.state, job.last_error) == (JobState.QUEUED, "The decoder was ended from outside.")


def test_a_store_that_is_away_is_not_asked_for_every_picture(site: Site, monkeypatch: Any) -> None:
    for seed in range(2 * thumbnails.PAGE):
        site.upload(seed, size=(700, 500))
    embed(site)
    asked = []

    def away(path: Any, sides: Any) -> Any:
        asked.append(path)
        raise Unavailable("The store is away.")

    monkeypatch.setattr(site.runtime.decoder, "thumbnails", away)
    assert work_off_backlog(site)
    assert len(asked) == thumbnails.PAGE


def test_a_request_waits_for_a_worker_and_says_when_there_is_none(
    site: Site, monkeypatch: Any
) -> None:
    monkeypatch.setattr(thumbnails, "WAIT_S", 0.1)
    monkeypatch.setattr(site.runtime.decoder, "thumbnails", None)
    site.upload(1)
    (content,) = contents(site)

    with pytest.raises(Unavailable, match="A worker makes this thumbnail") as refused:
        thumbnails.thumbnail(site.runtime, content, 320)

    assert refused.value.retry_after_s > 0
    monkeypatch.undo()
    with site.runtime.reading() as session:
        (due,) = [job.id for job in sweep.due_jobs(session) if job.kind == MAKE_THUMBNAILS]
    assert run_job(site.runtime, due)
    assert Pillow.open(io.BytesIO(thumbnails.thumbnail(site.runtime, content, 320))).size == (
        64,
        48,
    )


def test_an_animation_gets_its_moving_copy_in_the_background(site: Site) -> None:
    staged = site.runtime.image_store.stage()
    staged.stream.write(picture(1, "GIF", (64, 48), frames=4))
    take_in(site.runtime, staged, owner_id=site.owner_id, declared_media_type="image/gif")
    embed(site)
    (content,) = contents(site)
    assert not site.runtime.copies.has(content.storage_key, MOVING)

    assert work_off_backlog(site)

    assert site.runtime.copies.has(content.storage_key, MOVING)
    assert not site.runtime.copies.has(content.storage_key, STILL)
    with site.runtime.transaction() as session:
        session.execute(update(Content).values(thumbnails_edition=0))
    assert work_off_backlog(site)


def looks(site: Site) -> list[tuple[Any, ...]]:
    return [(c.has_alpha, c.placeholder, c.colour, c.lightness) for c in contents(site)]


def test_pictures_that_were_there_before_get_their_look_in_the_background(site: Site) -> None:
    for seed in range(3):
        site.upload(seed, size=(300, 200))
    embed(site)
    assert work_off_backlog(site)
    at_intake = looks(site)
    assert all(None not in look for look in at_intake)
    lost = {"has_alpha": None, "placeholder": None, "colour": None, "lightness": None}
    with site.runtime.transaction() as session:
        # As the version before leaves them: with all thumbnails.
        session.execute(update(Content).values(**lost, thumbnails_edition=2))

    assert work_off_backlog(site)

    for now, before in zip(looks(site), at_intake, strict=True):
        assert now[0] is before[0] is False
        assert now[3] == pytest.approx(before[3], abs=0.02)
    assert {content.thumbnails_edition for content in contents(site)} == {ALL_MADE}
    assert not work_off_backlog(site)


def test_the_same_bytes_again_get_a_look_like_new_ones(site: Site) -> None:
    site.upload(1, size=(300, 200))
    embed(site)
    expected = looks(site)
    lost = {"has_alpha": None, "placeholder": None, "colour": None, "lightness": None}
    with site.runtime.transaction() as session:
        session.execute(update(Content).values(**lost))
        other = User(username="other")
        session.add(other)
        session.flush()
        site.owner_id = other.id

    site.upload(1, size=(300, 200))
    embed(site)

    # READY without one would tell that somebody had the same bytes before there were looks.
    assert site.statuses() == {"READY": 2}
    assert looks(site) == expected

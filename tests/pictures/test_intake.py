"""Taking one picture in: the order of effects, and what is left when something fails between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mirada.db.models import Content, Image, Job
from mirada.kernel.audience import Audience
from mirada.kernel.errors import (
    CorruptImage,
    Deadlock,
    InvalidInput,
    MiradaError,
    Unavailable,
    UnsupportedImage,
)
from mirada.people import users
from mirada.pictures import images, intake
from mirada.pictures.intake import TakenIn
from mirada.runtime import Runtime
from testing.pictures import picture
from testing.registering import take_in


@pytest.fixture
def owner_id(runtime: Runtime) -> int:
    with runtime.transaction() as session:
        return users.local_user(session).id


def upload(runtime: Runtime, owner_id: int, data: bytes | None = None, **options: Any) -> TakenIn:
    staged = runtime.image_store.stage()
    staged.stream.write(picture(1) if data is None else data)
    fields = {"declared_media_type": "image/png", "filename": "a.png", "is_public": False}
    return take_in(runtime, staged, owner_id=owner_id, **{**fields, **options})


def files(runtime: Runtime) -> list[Path]:
    return [path for path in runtime.settings.image_dir.rglob("*") if path.is_file()]


def counts(runtime: Runtime) -> tuple[int, int, int]:
    with runtime.reading() as session:
        one, two, three = (
            session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (Content, Image, Job)
        )
    return one, two, three


def test_a_picture_is_stored_registered_and_its_job_queued(runtime: Runtime, owner_id: int) -> None:
    taken = upload(runtime, owner_id)
    assert taken == TakenIn(taken.image_id, taken.job_id, True, False, 1)
    with runtime.reading() as session:
        image = images.get_image(session, taken.image_id, Audience(owner_id))
    assert runtime.image_store.path(image.content.storage_key).read_bytes() == picture(1)
    assert counts(runtime) == (1, 1, 1)


def test_the_same_bytes_again_leave_no_second_file(runtime: Runtime, owner_id: int) -> None:
    first = upload(runtime, owner_id)
    second = upload(runtime, owner_id)
    assert not second.is_new_content
    assert second.image_id != first.image_id
    assert second.job_id == first.job_id
    assert len(files(runtime)) == 1


def test_a_request_sent_again_with_its_key_is_answered_with_the_first_image(
    runtime: Runtime, owner_id: int
) -> None:
    first = upload(runtime, owner_id, idempotency_key="k")
    again = upload(runtime, owner_id, idempotency_key="k")
    assert again.was_replayed
    assert again.image_id == first.image_id
    for other in ({"filename": "b.png"}, {"data": picture(2)}, {"prompt": "p"}):
        with pytest.raises(InvalidInput, match="another request"):
            upload(runtime, owner_id, idempotency_key="k", **other)
    assert counts(runtime) == (1, 1, 1)
    assert len(files(runtime)) == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"data": b""}, CorruptImage),
        ({"data": picture(1)[:-20]}, CorruptImage),
        ({"data": b"<svg/>"}, UnsupportedImage),
        ({"declared_media_type": "image/gif"}, UnsupportedImage),
        ({"prompt": "x" * 100_000}, InvalidInput),
        ({"caption": "a\0"}, InvalidInput),
        ({"idempotency_key": "a b"}, InvalidInput),
    ],
    ids=["empty", "cut", "svg", "type", "prompt", "caption", "key"],
)
def test_what_is_refused_leaves_nothing_behind(
    runtime: Runtime, owner_id: int, options: dict[str, Any], error: type[MiradaError]
) -> None:
    with pytest.raises(error):
        upload(runtime, owner_id, **options)
    assert files(runtime) == []
    assert counts(runtime) == (0, 0, 0)


def losing(runtime: Runtime, *, before: bool, times: int) -> Any:
    """Return `runtime.transaction` as it is when the database goes away around the COMMIT."""
    real = runtime.transaction
    left = times

    @contextmanager
    def transaction() -> Iterator[Session]:
        nonlocal left
        left -= 1
        if left < 0:
            with real() as session:
                yield session
            return
        lost = Unavailable("The database connection was lost; try again shortly.")
        if before:
            with real() as session:
                yield session
                raise lost
        with real() as session:
            yield session
        raise lost

    def begin() -> AbstractContextManager[Session]:
        return transaction()

    return begin


def test_a_commit_whose_answer_was_lost_is_recognised(
    runtime: Runtime, owner_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "transaction", losing(runtime, before=False, times=1))
    taken = upload(runtime, owner_id)
    assert taken.is_new_content
    assert counts(runtime) == (1, 1, 1)
    assert len(files(runtime)) == 1


def test_a_commit_that_may_still_happen_keeps_its_file_and_is_not_repeated(
    runtime: Runtime, owner_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "transaction", losing(runtime, before=True, times=1))
    with pytest.raises(Unavailable):
        upload(runtime, owner_id, idempotency_key="k")
    assert counts(runtime) == (0, 0, 0)
    assert len(files(runtime)) == 1
    assert upload(runtime, owner_id, idempotency_key="k").is_new_content
    assert counts(runtime) == (1, 1, 1)


def test_what_a_deadlock_undid_is_done_again(
    runtime: Runtime, owner_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = intake.register_image
    calls: list[int] = []
    lucky_at = 3

    def unlucky(session: Session, *args: Any, **options: Any) -> Any:
        registered = register(session, *args, **options)
        calls.append(1)
        if len(calls) < lucky_at:
            raise Deadlock("The database asked us to try again.")
        return registered

    monkeypatch.setattr(intake, "register_image", unlucky)
    upload(runtime, owner_id)
    assert counts(runtime) == (1, 1, 1)
    assert len(files(runtime)) == 1
    calls.clear()
    lucky_at = 99
    with pytest.raises(Unavailable):
        upload(runtime, owner_id, picture(2))
    # No COMMIT was ever sent, so the file of the second picture is gone.
    assert len(files(runtime)) == 1

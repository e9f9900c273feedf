"""The list of styles is encoded before anybody asks, once for all processes, and never in anybody's way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import func, select

from mirada.db.classifier_models import LabelVector
from mirada.jobs import sweep
from mirada.kernel.embeddings import Matrix
from mirada.memory import taste as warm_up
from mirada.memory.style_matcher import texts_of
from mirada.memory.styles import BUILT_IN_STYLES
from mirada.memory.summary import Taste
from mirada.memory.taste import StyleWarmUp, taste, vector_key
from mirada.people import users
from mirada.runtime import Runtime
from testing.deployment import free_port, wait_until
from testing.encoders import CountingEncoder, with_encoder
from testing.patience import PATIENCE_S
from testing.pictures import picture
from testing.registering import take_in
from webapp.serving import Serving
from workers.runner import run_job

TEXTS = texts_of(BUILT_IN_STYLES)
Make = Callable[..., tuple[Runtime, CountingEncoder]]


@pytest.fixture
def installed(make_runtime: Callable[..., Runtime], site_settings: dict[str, Any]) -> Make:
    """Return a function that makes one more process of one installation."""
    data_dir: list[Any] = []

    def make(encoder: CountingEncoder | None = None, **settings: Any) -> Any:
        if data_dir:
            settings["data_dir"] = data_dir[0]
        runtime = make_runtime(**site_settings, **settings)
        data_dir[:] = [runtime.settings.data_dir]
        encoder = encoder or CountingEncoder()
        return with_encoder(runtime, encoder), encoder

    return make


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., StyleWarmUp]]:
    """Return a function that starts a thread for a runtime; it is ended before the runtime is."""
    monkeypatch.setattr(warm_up, "LOOK_EVERY_S", 0.02)
    all_of_them: list[StyleWarmUp] = []

    def start(runtime: Runtime, *, may_encode: bool = True) -> StyleWarmUp:
        ahead = StyleWarmUp(runtime, may_encode=may_encode)
        all_of_them.append(ahead)
        ahead.start()
        return ahead

    yield start
    ended = [ahead.stop() for ahead in all_of_them]
    assert all(ended)


def upload(runtime: Runtime, count: int = 6) -> int:
    """Upload pictures of one style, and return whose they are."""
    with runtime.transaction() as session:
        owner_id = users.local_user(session).id
    for seed in range(count):
        staged = runtime.image_store.stage()
        staged.stream.write(picture(seed))
        staged.stream.flush()
        take_in(
            runtime,
            staged,
            declared_media_type="image/png",
            filename="p.png",
            owner_id=owner_id,
            is_public=False,
            prompt=f"subject number {seed}, cinematic, film still",
        )
    return owner_id


def work(runtime: Runtime) -> None:
    with runtime.reading() as session:
        due = sweep.due_jobs(session)
    for job in due:
        run_job(runtime, job.id)


def stored(runtime: Runtime) -> int:
    """Count the list's texts that are stored; labels that pictures are judged by are in that table too."""
    keys = [vector_key(text) for text in TEXTS]
    query = select(func.count()).select_from(LabelVector).where(LabelVector.key.in_(keys))
    with runtime.reading() as session:
        return session.scalar(query) or 0


def is_ready(runtime: Runtime) -> bool:
    """Whether every text is stored and this process has read them."""
    memory = runtime.built().get("tastes")
    return stored(runtime) == len(TEXTS) and memory is not None and memory.matcher is not None


def listed_texts(encoder: CountingEncoder) -> list[str]:
    return [text for text in encoder.texts if text in set(TEXTS)]


def test_the_list_is_encoded_once_for_every_process_and_before_anybody_asks(
    installed: Make, started: Callable[..., StyleWarmUp]
) -> None:
    first, encoder = installed()
    started(first)
    owner_id = upload(first)
    time.sleep(0.1)
    # Nobody knows yet by which model prompts will be embedded.
    assert stored(first) == 0
    work(first)
    wait_until(lambda: is_ready(first), timeout_s=30, what="the texts of the list")
    assert sorted(listed_texts(encoder)) == sorted(TEXTS)
    assert [style.label for style in taste(first, owner_id).styles] == ["Cinematic"]
    assert len(listed_texts(encoder)) == len(TEXTS)

    second, other = installed()
    started(second)
    wait_until(lambda: is_ready(second), timeout_s=30, what="the list in another process")
    assert taste(second, owner_id) == taste(first, owner_id)
    assert other.texts == []


def test_a_web_process_beside_workers_waits_for_what_they_encode(
    installed: Make, started: Callable[..., StyleWarmUp]
) -> None:
    web, encoder = installed()
    worker, _ = installed()
    upload(worker)
    work(worker)
    started(web, may_encode=False)
    time.sleep(0.2)
    assert (stored(web), encoder.texts) == (0, [])
    started(worker)
    wait_until(lambda: is_ready(web), timeout_s=30, what="the list in the web process")
    assert encoder.texts == []


class Held(CountingEncoder):
    """Stops at the first texts of the list until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reached, self.go_on = threading.Event(), threading.Event()

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        if set(texts) & set(TEXTS):
            self.is_reached.set()
            assert self.go_on.wait(PATIENCE_S)
        return super().encode_texts(texts)


def test_a_call_meanwhile_is_answered_in_full_and_passes_the_bulk_work(
    installed: Make, started: Callable[..., StyleWarmUp]
) -> None:
    runtime, encoder = installed(Held())
    assert isinstance(encoder, Held)
    owner_id = upload(runtime)
    work(runtime)
    started(runtime)
    assert encoder.is_reached.wait(PATIENCE_S)
    answers: list[Taste] = []
    asking = threading.Thread(target=lambda: answers.append(taste(runtime, owner_id)))
    asking.start()
    # 64 of the bulk work are under way or wait; more than that are the asker's.
    wait_until(
        lambda: runtime.encoder.waiting_count > 64,
        timeout_s=30,
        what="the asker's texts in the queue",
    )
    encoder.go_on.set()
    asking.join(60)
    (answer,) = answers
    assert [style.label for style in answer.styles] == ["Cinematic"]
    wait_until(lambda: is_ready(runtime), timeout_s=30, what="the list")
    # Nothing was encoded twice but what both had begun at the same time.
    assert len(listed_texts(encoder)) <= len(TEXTS) + 2 * 64
    later, _ = installed()
    assert taste(later, owner_id) == answer


def test_a_web_process_makes_the_list_ready_by_itself(
    installed: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_up, "LOOK_EVERY_S", 0.02)
    runtime, _ = installed(port=free_port())
    serving = Serving(runtime, is_migrated=True, is_first=False)
    serving.start()
    upload(runtime, count=1)
    wait_until(lambda: is_ready(runtime), timeout_s=60, what="the texts of the list")
    serving.stop()

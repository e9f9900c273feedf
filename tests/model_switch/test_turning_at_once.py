"""A flip, and the way back, when every process has both models loaded: one row, in the request itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from mirada.db.memory_models import TextEmbedding
from mirada.db.model_switch_models import SwitchState
from mirada.db.models import Job, Space
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import Conflict, EncoderUnavailable
from mirada.model_switch import changing, even, filling, following, memory, turning
from mirada.model_switch.building import views_of
from mirada.model_switch.changing import Asked
from mirada.model_switch.reporting import SwitchReport, report_of
from mirada.people import users
from testing.patience import wait_until
from testing.two_models import House
from workers.kinds import KINDS


@pytest.fixture
def running(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house whose processes follow by themselves, with two pictures and a space that is ready."""
    monkeypatch.setattr(following, "FOLLOW_A_CHANGE_EVERY_S", 0.02)
    monkeypatch.setattr(following, "look_whether_even", lambda _runtime: False)
    for seed in range(2):
        house.upload(seed, prompt=f"picture {seed}")
    house.build()
    for follower in house.followers:
        follower.start()
    return house


def report(house: House) -> SwitchReport:
    with house.worker.transaction() as session:
        return report_of(session, users.local_user(session), KINDS)


def wait_until_prepared(house: House) -> None:
    wait_until(lambda: report(house).is_prepared, what="all are prepared")


def jobs(house: House, kind: str) -> int:
    with house.worker.reading() as session:
        query = select(func.count()).select_from(Job).where(Job.kind == kind)
        return int(session.execute(query).scalar_one())


def in_use(house: House) -> list[str]:
    """Return the model that the database names, and those of both processes."""
    processes = (house.web, house.worker)
    return [house.pinned(), *(process.space()[1].encoder for process in processes)]


def test_every_process_has_followed_when_a_flip_and_the_way_back_are_answered(
    running: House,
) -> None:
    wait_until_prepared(running)
    assert "Every process (2)" in report(running).next_step
    turning.flip(running.web, Asked())
    # No worker has done a job meanwhile.
    assert in_use(running) == ["second"] * 3
    assert running.switch().state == SwitchState.FLIPPED
    wait_until_prepared(running)
    turning.go_back(running.web, Asked())
    assert in_use(running) == ["first"] * 3
    assert running.switch().state == SwitchState.READY
    assert jobs(running, changing.FLIP) == 0


def test_the_way_back_is_prepared_when_a_flip_is_answered(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no prompt was ever embedded, so that the spaces of prompts are new to the processes."""
    monkeypatch.setattr(following, "FOLLOW_A_CHANGE_EVERY_S", 0.02)
    house.upload(1)
    house.build()
    for follower in house.followers:
        follower.start()
    wait_until_prepared(house)
    for _ in range(2):
        turning.flip(house.web, Asked())
        turning.go_back(house.web, Asked())
    assert in_use(house) == ["first"] * 3
    assert jobs(house, changing.FLIP) == 0


def test_what_came_in_since_is_embedded_by_the_request(running: House) -> None:
    wait_until_prepared(running)
    running.upload(7, prompt="a prompt of later")

    def texts(encoder: str) -> int:
        with running.worker.reading() as session:
            of_model = select(Space.id).where(
                Space.encoder == encoder, Space.kind == SpaceKind.PROMPT
            )
            query = select(func.count()).where(TextEmbedding.space_id.in_(of_model))
            return int(session.execute(query).scalar_one())

    assert (texts("first"), texts("second")) == (3, 2)
    turning.flip(running.web, Asked())
    assert (texts("first"), texts("second")) == (3, 3)
    assert in_use(running) == ["second"] * 3


def test_a_flip_looks_only_at_what_came_in_since_a_process_looked_last(
    running: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until_prepared(running)
    assert even.look_whether_even(running.web)
    running.upload(7, prompt="a prompt of later")
    # The text lacks its second vector, so what is known stays what it was.
    assert not even.look_whether_even(running.web)
    asked: list[int | None] = []
    lacking = filling.lacking

    def noting(*arguments: Any, after_seq: int | None = None) -> Any:
        asked.append(after_seq)
        return lacking(*arguments, after_seq=after_seq)

    monkeypatch.setattr(filling, "lacking", noting)
    turning.flip(running.web, Asked())
    assert in_use(running) == ["second"] * 3
    assert asked
    assert None not in asked
    # Of the way back nothing is known yet.
    with running.web.reading() as session:
        switch = running.switch()
        assert (
            even.even_through(running.web, switch, views_of(running.web, session, switch)) is None
        )
    assert even.look_whether_even(running.web)


def test_much_that_is_missing_is_left_to_the_job(
    running: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until_prepared(running)
    running.upload(7, prompt="a prompt of later")
    monkeypatch.setattr(turning, "MOST_FILLED", 0)
    turning.flip(running.web, Asked())
    assert (running.switch().state, running.pinned()) == (SwitchState.FLIPPING, "first")
    running.work()
    assert (running.switch().state, running.pinned()) == (SwitchState.FLIPPED, "second")


def test_a_process_without_room_loads_the_model_when_it_is_asked_for(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 1)
    house.upload(1)
    house.build()
    worker, web = house.followers
    web.look()
    wait_until(lambda: _looks_ready(worker), what="the worker has both")
    web.look()
    assert web._loading is None
    assert "is loaded only when it is asked for" in caplog.text
    told = report(house)
    assert (told.ready_processes, told.processes, told.is_prepared) == (1, 2, False)
    assert "Of 2 processes 1" in told.next_step
    turning.flip(house.web, Asked())
    assert (house.switch().state, house.pinned()) == (SwitchState.FLIPPING, "first")
    wait_until(lambda: _looks_ready(web), what="the web process has both")
    house.work()
    house.follow()
    assert in_use(house) == ["second"] * 3


def _looks_ready(follower: following.ModelFollower) -> bool:
    follower.look()
    return follower._said[1] is not None


def test_a_model_that_could_not_be_loaded_is_not_tried_at_every_look(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.upload(1)
    house.build()
    tried: list[str] = []

    def broken(name: str, *_: object) -> None:
        tried.append(name)
        raise EncoderUnavailable("There is no memory for it.")

    load = house.web.load_model
    house.web.load_model = broken  # type: ignore[method-assign,assignment]
    web = house.followers[1]

    def looks_in_trouble() -> bool:
        web.look()
        return bool(web._said and web._said[2])

    wait_until(looks_in_trouble, what="the trouble said")
    for _ in range(5):
        web.look()
    assert tried == ["second"]
    house.web.load_model = load  # type: ignore[method-assign]
    monkeypatch.setattr(following, "LOAD_AGAIN_S", 0.0)
    wait_until(lambda: _looks_ready(web), what="it is ready after all")


def test_only_one_of_two_that_ask_at_once_is_obeyed(running: House) -> None:
    wait_until_prepared(running)
    turning.flip(running.web, Asked())
    with pytest.raises(Conflict, match="it is in use, and the model of before is kept"):
        turning.flip(running.worker, Asked())
    wait_until_prepared(running)
    turning.go_back(running.worker, Asked())
    with pytest.raises(Conflict, match="it is ready"):
        turning.go_back(running.web, Asked())
    assert in_use(running) == ["first"] * 3


def test_room_for_a_model_is_asked_of_the_container_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = memory._free_on_the_machine()
    assert free is None or free > 0
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory._free_in_the_container() is None
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 600\ninactive_file 250\n")
    assert memory._free_in_the_container() == 350
    assert memory.free_bytes() == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._free_in_the_container() is None

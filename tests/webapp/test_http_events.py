"""One stream of events for a page: what it tells, to whom, from where, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, select, update

from mirada.db.models import ApiKey, Image, Job, JobState, Role, User, utc_now
from mirada.db.session import now_ms
from mirada.events import feed, listening
from mirada.events.feed import Topic, feed_of
from mirada.events.listening import Listener, Listening
from mirada.jobs import attempts
from mirada.people import users
from mirada.people.in_force import Credential
from mirada.people.keys import issue as issue_key
from testing.application import create_app
from testing.gallery import Gallery, assert_problem
from webapp.http import streams
from workers.kinds import KINDS
from workers.sweeper import Sweeper

EVENTS = "/api/v1/events"
KeyOf = Callable[..., dict[str, str]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look reads, and looks come at once."""
    monkeypatch.setattr(feed, "READ_EVERY_S", 0.0)
    monkeypatch.setattr(streams, "PERIOD_S", 0.01)


class Stream:
    """An open stream of events."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.last_id: int | None = None

    def read(self) -> list[tuple[str, dict[str, Any]]] | None:
        """Return the events of what is sent next, [] for a beat or an id alone, None at the end."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return None
        found = []
        for block in chunk.decode().split("\n\n"):
            fields = dict(line.partition(": ")[::2] for line in block.splitlines())
            self.last_id = int(fields["id"]) if "id" in fields else self.last_id
            if "event" in fields:
                found.append((fields["event"], json.loads(fields["data"])))
        return found


@contextmanager
def listening_to(
    gallery: Gallery, query: str = "", headers: dict[str, str] | None = None
) -> Iterator[Stream]:
    with gallery.client.get(EVENTS + query, headers=headers) as response:
        assert response.status_code == 200, response.get_json()
        assert response.mimetype == "text/event-stream"
        stream = Stream(iter(response.response))
        yield stream


def change(gallery: Gallery, entity: Any, id_: int, **values: Any) -> None:
    with gallery.runtime.transaction() as session:
        session.execute(update(entity).where(entity.id == id_).values(**values))


def job_of(gallery: Gallery, headers: dict[str, str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = gallery.get("/api/v1/jobs", headers).get_json()["results"][0]
    return found


def now(gallery: Gallery) -> int:
    with gallery.runtime.reading() as session:
        return int(session.execute(select(now_ms())).scalar_one())


def test_a_job_is_told_whole_and_then_by_what_has_changed(gallery: Gallery) -> None:
    gallery.upload()
    job = job_of(gallery)
    with listening_to(gallery, f"?topics=jobs&since={now(gallery)}") as stream:
        (first,) = stream.read() or []
        assert first == ("job", {**job, "next_attempt_in_s": first[1]["next_attempt_in_s"]})
        with gallery.runtime.transaction() as session:
            claimed = attempts.claim(session, job["id"])
        assert claimed is not None
        (begun,) = stream.read() or []
        assert begun[0] == "job"
        assert begun[1]["id"] == job["id"]
        assert (begun[1]["state"], begun[1]["attempts"]) == ("running", 1)
        assert begun[1].keys() <= {"id", "state", "attempts", "started_at", "next_attempt_in_s"}


def test_an_image_is_told_when_its_status_changes(gallery: Gallery) -> None:
    image = gallery.upload()
    with listening_to(gallery, "?topics=images") as stream:
        assert stream.read() == []
        change(gallery, Image, image["id"], status="READY")
        told = stream.read()
    expected = {
        "id": image["id"],
        "status": "READY",
        "version": image["version"],
        "gone": False,
        "url": image["url"],
    }
    assert told is not None
    assert told[-1] == ("image", expected)


def test_the_index_tells_that_something_new_is_found(gallery: Gallery) -> None:
    with listening_to(gallery, "?topics=index") as stream:
        stream.read()
        gallery.upload(degrees=0)
        ((name, data),) = stream.read() or []
        assert name == "index"
        assert data["change_seq"] > 0


def test_a_worker_that_comes_or_goes_is_a_notice(gallery: Gallery) -> None:
    sweeper = Sweeper(gallery.runtime)
    with listening_to(gallery, "?topics=jobs") as stream:
        stream.read()
        sweeper.sweep()
        assert [data["code"] for _, data in stream.read() or []] == ["worker_back"]
        sweeper.stop()
        assert [data["code"] for _, data in stream.read() or []] == ["worker_away"]


def test_without_an_id_it_begins_with_now_and_says_where_that_is(gallery: Gallery) -> None:
    gallery.upload()
    with listening_to(gallery) as stream:
        assert stream.read() == []
        assert stream.last_id is not None
        assert abs(stream.last_id - now(gallery)) < 60_000


def test_who_comes_back_is_told_what_happened_meanwhile(gallery: Gallery) -> None:
    with listening_to(gallery, "?topics=jobs") as stream:
        stream.read()
        last_id = stream.last_id
    gallery.upload()
    for given in (f"&since={last_id}", ""):
        headers = {} if given else {"Last-Event-ID": str(last_id)}
        with listening_to(gallery, f"?topics=jobs{given}", headers) as stream:
            assert [name for name, _ in stream.read() or []] == ["job"]
    # The header is newer than the address that the page was made with.
    with listening_to(gallery, "?topics=jobs&since=1", {"Last-Event-ID": str(last_id)}) as stream:
        assert [name for name, _ in stream.read() or []] == ["job"]


@pytest.mark.parametrize("since", [0, 1, 10**15])
def test_who_was_away_too_long_is_told_to_read_the_lists(gallery: Gallery, since: int) -> None:
    gallery.upload()
    with listening_to(gallery, f"?since={since}") as stream:
        assert [data["code"] for _, data in stream.read() or []] == ["events_lost"]


@pytest.mark.parametrize("given", ["", "x", "-1", "١٢", "9" * 400])
def test_an_id_that_is_none_is_ignored(gallery: Gallery, given: str) -> None:
    with listening_to(gallery, "", {"Last-Event-ID": given.encode().decode("latin-1")}) as stream:
        assert stream.read() == []


def test_more_than_can_be_told_is_a_notice(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MOST_TOLD", 2)
    with listening_to(gallery, "?topics=jobs") as stream:
        stream.read()
        for degrees in (0, 20, 40):
            gallery.upload(degrees=degrees)
        for job in gallery.get("/api/v1/jobs").get_json()["results"]:
            change(gallery, Job, job["id"], attempts=1)
        assert [data.get("code") for _, data in stream.read() or []] == ["events_lost"]
        # It goes on like that, and the page must not read its lists every second.
        for attempts_made in (2, 3):
            for job in gallery.get("/api/v1/jobs").get_json()["results"]:
                change(gallery, Job, job["id"], attempts=attempts_made)
            if attempts_made == 3:
                monkeypatch.setattr(listening, "LOST_EVERY_MS", 0)
            monkeypatch.setattr(streams, "BEAT_EVERY_S", 0.0)
            codes = [data.get("code") for _, data in stream.read() or []]
            assert codes == ([] if attempts_made == 2 else ["events_lost"])


@pytest.mark.parametrize("query", ["topics=odd", "topics=jobs,", "topics=", "since=x", "since=-1"])
def test_what_is_not_known_is_refused(gallery: Gallery, query: str) -> None:
    assert_problem(gallery.get(f"{EVENTS}?{query}"), 422, "invalid_input")


def test_nobody_hears_of_what_they_may_not_see(guarded: Gallery, key_of: KeyOf) -> None:
    ana, ben, root = key_of("ana"), key_of("ben"), key_of("root", is_administrator=True)
    with listening_to(guarded, "?topics=jobs,images", ben) as of_ben:
        of_ben.read()
        with listening_to(guarded, "?topics=jobs,images", root) as of_root:
            of_root.read()
            private = guarded.upload(headers=ana, is_public=False, degrees=0)
            public = guarded.upload(headers=ana, is_public=True, degrees=40)
            told = of_ben.read() or []
            assert [(name, data["id"]) for name, data in told] == [("image", public["id"])]
            told = of_root.read() or []
            assert [name for name, _ in told] == ["job", "job", "image"]
            assert [data["id"] for name, data in told if name == "image"] == [public["id"]]
            assert private["id"] not in [data["image"] for name, data in told if name == "job"]
    assert guarded.get(EVENTS).status_code == 401


def test_an_image_that_is_made_private_is_told_once_as_gone_and_no_more(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    image = guarded.upload(headers=ana, is_public=True)
    unknown = guarded.upload(headers=ana, is_public=True, degrees=90)
    with listening_to(guarded, "?topics=images", ben) as stream:
        stream.read()
        change(guarded, Image, image["id"], status="READY")
        stream.read()
        for each in (image, unknown):
            response = guarded.client.patch(each["url"], json={"is_public": False}, headers=ana)
            assert response.status_code == 200
        told = stream.read() or []
        # Of the other one this stream never spoke.
        assert [(data["id"], data["gone"]) for _, data in told] == [(image["id"], True)]
        change(guarded, Image, image["id"], status="FAILED")
        assert_silent(stream, guarded, ben)


def assert_silent(stream: Stream, guarded: Gallery, headers: dict[str, str]) -> None:
    """Check that the next event is one that is made here."""
    marker = guarded.upload(headers=headers, degrees=120)
    told = stream.read() or []
    assert [data["id"] for _, data in told] == [marker["id"]]


@pytest.mark.parametrize("how", ["revoked", "expired", "ended", "demoted"])
def test_a_stream_ends_with_what_it_rests_on(guarded: Gallery, how: str) -> None:
    with guarded.runtime.transaction() as session:
        root = users.create_user(session, "root", is_administrator=True)
        users.create_user(session, "other", is_administrator=True)
        issued = issue_key(session, root)
    with listening_to(guarded, "", {"Authorization": f"Bearer {issued.key}"}) as stream:
        assert stream.read() == []
        match how:
            case "revoked":
                change(guarded, ApiKey, issued.row.id, revoked_at=utc_now())
            case "expired":
                change(guarded, ApiKey, issued.row.id, expires_at=utc_now())
            case "ended":
                change(guarded, User, root.id, ended_at=utc_now())
            case _:
                change(guarded, User, root.id, role=Role.USER)
        assert stream.read() is None


def test_another_process_tells_of_it_too(
    guarded: Gallery, key_of: KeyOf, make_runtime: Callable[..., Any]
) -> None:
    ana = key_of("ana")
    second = make_runtime(auth_mode="keys", data_dir=guarded.runtime.settings.data_dir)
    other = Gallery(second, create_app(second).test_client())
    with listening_to(other, "?topics=jobs", ana) as stream:
        stream.read()
        guarded.upload(headers=ana)
        assert [name for name, _ in stream.read() or []] == ["job"]


def test_all_listeners_of_a_process_share_one_reading(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "READ_EVERY_S", 600.0)
    runtime = gallery.runtime
    gallery.upload()
    with runtime.transaction() as session:
        person = users.local_user(session)
    asked = Listening(person, Credential(person.id, True), frozenset(Topic), KINDS)
    statements: list[str] = []

    def note(*told: Any) -> None:
        statements.append(told[2])

    event.listen(runtime.database.engine, "before_cursor_execute", note)
    listeners = [Listener(runtime, feed_of(runtime), asked) for _ in range(20)]
    for _ in range(50):
        for listener in listeners:
            assert listener.next() == []
    event.remove(runtime.database.engine, "before_cursor_execute", note)
    assert 0 < len(statements) <= 6, statements


def test_streams_have_a_limit_that_says_when_to_come_back(gallery: Gallery) -> None:
    with listening_to(gallery), listening_to(gallery):
        response = gallery.get(EVENTS)
        assert "You follow 2" in assert_problem(response, 503, "unavailable")["detail"]
        assert int(response.headers["Retry-After"]) > 0
    with listening_to(gallery) as stream:
        assert stream.read() == []


def test_nothing_is_read_for_those_who_have_gone(gallery: Gallery) -> None:
    with listening_to(gallery) as stream:
        stream.read()
        assert feed_of(gallery.runtime)._listeners
    assert not feed_of(gallery.runtime)._listeners


def test_a_beat_carries_the_id_to_come_back_with(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BEAT_EVERY_S", 0.0)
    with listening_to(gallery) as stream:
        stream.read()
        first = stream.last_id
        assert stream.read() == []
        assert stream.last_id is not None
        assert first is not None
        assert stream.last_id >= first


def test_a_job_is_not_followed_with_a_key_that_was_revoked(guarded: Gallery) -> None:
    with guarded.runtime.transaction() as session:
        ana = users.create_user(session, "ana")
        issued = issue_key(session, ana)
    headers = {"Authorization": f"Bearer {issued.key}"}
    guarded.upload(headers=headers)
    job = job_of(guarded, headers)
    with guarded.client.get(f"{job['url']}/events", headers=headers) as response:
        events = iter(response.response)
        assert next(events).startswith(b"event: job")
        change(guarded, ApiKey, issued.row.id, revoked_at=utc_now())
        change(guarded, Job, job["id"], attempts=2)
        assert next(events) == b": not_authenticated\n\n"
        assert next(events, None) is None


def test_a_cancelled_job_ends_its_own_stream(gallery: Gallery) -> None:
    gallery.upload()
    job = job_of(gallery)
    change(gallery, Job, job["id"], state=JobState.CANCELLED, last_error="Enough.")
    text = gallery.get(f"{job['url']}/events").get_data(as_text=True)
    assert text.count("event: job") == 1

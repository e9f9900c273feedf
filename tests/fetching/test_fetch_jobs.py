"""A picture that is sent as its address is fetched by a worker, once, and every refusal says why."""

from __future__ import annotations

import gzip
import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select, update

from mirada.db.models import Content, Image, Job, JobState, User
from mirada.fetching import request
from mirada.fetching.job import fetcher_of
from mirada.fetching.request import WantedPicture
from mirada.jobs import ledger
from mirada.kernel.errors import Conflict, InvalidInput
from mirada.kernel.reach import Named
from mirada.outgoing.calling import Caller, Limits
from mirada.outgoing.connecting import NOT_PUBLIC, Rules
from testing.odd_servers import OddServer, answering, dripping, odd_server, without_end
from testing.pictures import picture
from testing.worksite import Site
from workers.kinds import KINDS
from workers.runner import run_job

HOST = "pictures.test"
PNG = picture(1)


@pytest.fixture(scope="module")
def _server() -> Iterator[OddServer]:
    with odd_server() as server:
        yield server


@pytest.fixture
def server(_server: OddServer) -> OddServer:
    _server.heard.clear()
    _server.paths.clear()
    _server.paths["/cat.png"] = answering(PNG, Content_Type="image/png")
    return _server


@pytest.fixture
def site(make_site: Callable[..., Site], server: OddServer) -> Site:
    """A site that may call one name on loopback, and nothing else there."""
    site = make_site(fetch_urls=True, fetch_waiting=5)
    site.runtime.remember(
        "fetcher",
        Caller(
            Rules(frozenset({server.port}), Named.read([HOST])),
            Limits(total_s=0.5, max_bytes=1_000_000),
            lambda host, port: [ipaddress.ip_address("127.0.0.1")],
        ),
    )
    return site


def ask(site: Site, server: OddServer, path: str, host: str = HOST, **wanted: Any) -> int:
    with site.runtime.transaction() as session:
        return request.request_picture(
            session,
            site.runtime.settings,
            site.owner_id,
            WantedPicture(server.url(path, host), **wanted),
        ).job_id


def run_now(site: Site, job_id: int) -> Job:
    """Run one attempt of a job whether it is due or not, and return the job afterwards."""
    with site.runtime.transaction() as session:
        session.execute(
            update(Job).where(Job.id == job_id).values(next_run_at_ms=1, lease_until_ms=None)
        )
    assert run_job(site.runtime, job_id)
    return site.job(job_id)


def count(site: Site, table: Any) -> int:
    with site.runtime.reading() as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()


def told(site: Site, job_id: int) -> tuple[str, str, str]:
    """Return the code, the reason and the hint that a job's owner is told."""
    with site.runtime.reading() as session:
        owner = session.get_one(User, site.owner_id)
        error = ledger.get_job(session, job_id, owner, KINDS).error
    assert error is not None
    return error.code, error.detail, error.hint


def kept_files(site: Site) -> list[str]:
    return [path.name for path in site.runtime.settings.image_dir.rglob("*") if path.is_file()]


def test_a_picture_is_fetched_and_is_an_image_as_any_upload(site: Site, server: OddServer) -> None:
    job_id = ask(
        site,
        server,
        "/cat.png?size=1",
        caption="A cat",
        asset_id="a-7",
        is_public=True,
        tags=("cat",),
    )

    job = run_now(site, job_id)

    with site.runtime.reading() as session:
        image = session.execute(select(Image)).scalar_one()
        assert (image.filename, image.caption, image.asset_id) == ("cat.png", "A cat", "a-7")
        assert (image.status, image.is_public, image.owner_id) == ("PENDING", True, site.owner_id)
        assert image.tags == ["cat"]
    assert (job.state, job.subject_id, job.arguments) == (JobState.DONE, image.id, {})
    assert len(kept_files(site)) == 1


def test_an_attempt_that_is_repeated_makes_no_second_image(site: Site, server: OddServer) -> None:
    job_id = ask(site, server, "/cat.png")
    run_now(site, job_id)

    assert not run_job(site.runtime, job_id)
    assert count(site, Image) == 1


def test_the_image_one_has_of_the_same_bytes_is_meant_where_one_says_so(
    site: Site, server: OddServer
) -> None:
    first = run_now(site, ask(site, server, "/cat.png"))
    again = run_now(site, ask(site, server, "/cat.png", is_once_per_owner=True))
    assert (again.state, again.subject_id) == (JobState.DONE, first.subject_id)
    assert count(site, Image) == 1


REFUSED = {
    "a page": (answering(b"<html>", Content_Type="text/html"), "sends 'text/html'"),
    "a page as a picture": (answering(b"<html>", Content_Type="image/png"), "no picture"),
    "another type": (answering(PNG, Content_Type="image/jpeg"), "not of the type that it said"),
    "half a picture": (answering(PNG[:200], Content_Type="image/png"), "no whole picture"),
    "nothing": (answering(b"", Content_Type="image/png"), "no whole picture"),
    "without end": (without_end, "more than 1,000,000 bytes"),
    "a bomb": (
        answering(gzip.compress(b"\0" * 9_000_000), Content_Encoding="gzip"),
        "packed its answer",
    ),
    "absence": (answering(b"", 404), "status 404"),
    "a redirect that says nothing": (answering(b"", 302), "status 302"),
    "a part": (answering(PNG, 206, Content_Type="image/png"), "status 206"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_is_refused_once_with_the_reason(
    site: Site, server: OddServer, name: str
) -> None:
    server.paths["/odd"], reason = REFUSED[name]

    job = run_now(site, job_id := ask(site, server, "/odd"))

    code, detail, hint = told(site, job_id)
    assert (job.state, code) == (JobState.FAILED, "unfit_answer")
    assert reason in detail
    assert hint.startswith("The server at the address did not send the picture")
    assert (count(site, Image), count(site, Content), kept_files(site)) == (0, 0, [])


def test_every_way_inside_is_told_alike_and_nothing_is_called(
    site: Site, server: OddServer
) -> None:
    server.paths["/secret"] = answering(PNG, Content_Type="image/png")
    inside = f"http://127.0.0.1:{server.port}/secret"
    server.paths["/away"] = answering(status=302, Location=inside)
    tellings = set()
    for host, path in (
        (HOST, "/away"),
        ("127.0.0.1", "/secret"),
        ("[::ffff:127.0.0.1]", "/secret"),
        ("inner.test", "/secret"),
    ):
        job = run_now(site, job_id := ask(site, server, path, host))
        assert job.state == JobState.FAILED
        tellings.add(told(site, job_id)[:2])
    assert tellings == {("address_refused", NOT_PUBLIC)}
    assert [heard.path for heard in server.heard] == ["/away"]
    assert count(site, Image) == 0


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (answering(b"", 503), "status 503"),
        (answering(b"", 429), "status 429"),
        (dripping, "too slow"),
    ],
)
def test_what_may_work_another_time_is_tried_again(
    site: Site, server: OddServer, behaviour: Any, reason: str
) -> None:
    server.paths["/later.png"] = behaviour
    job_id = ask(site, server, "/later.png")

    assert run_now(site, job_id).state == JobState.QUEUED
    assert reason in told(site, job_id)[1]

    server.paths["/later.png"] = answering(PNG)
    assert run_now(site, job_id).state == JobState.DONE
    assert count(site, Image) == 1


def test_a_server_that_never_works_is_given_up(site: Site, server: OddServer) -> None:
    server.paths["/broken"] = answering(b"", 500)
    job_id = ask(site, server, "/broken")
    states = [run_now(site, job_id).state for _ in range(5)]
    assert states == [JobState.QUEUED] * 4 + [JobState.FAILED]
    assert told(site, job_id)[0] == "call_failed"


def test_nothing_is_fetched_where_it_is_not_switched_on(
    make_site: Callable[..., Site], server: OddServer
) -> None:
    site = make_site()
    with pytest.raises(Conflict, match="FETCH_URLS=true"):
        ask(site, server, "/cat.png")
    assert count(site, Job) == 0


def test_what_waited_while_it_was_switched_off_is_not_fetched(
    make_site: Callable[..., Site], site: Site, server: OddServer
) -> None:
    job_id = ask(site, server, "/cat.png")
    site.runtime.settings = site.runtime.settings.model_copy(update={"fetch_urls": False})
    assert run_now(site, job_id).state == JobState.FAILED
    assert server.heard == []


def test_only_so_many_wait_for_one_user(site: Site, server: OddServer) -> None:
    for _ in range(5):
        ask(site, server, "/cat.png")
    with pytest.raises(Conflict, match=r"5 addresses of yours wait.*FETCH_WAITING"):
        ask(site, server, "/cat.png")
    with site.runtime.transaction() as session:
        session.execute(update(Job).values(state=JobState.DONE))
    ask(site, server, "/cat.png")


def test_what_an_ended_user_wanted_is_not_fetched(site: Site, server: OddServer) -> None:
    job_id = ask(site, server, "/cat.png")
    with site.runtime.transaction() as session:
        session.execute(update(User).values(ended_at=func.now()))
    assert run_now(site, job_id).state == JobState.FAILED
    assert server.heard == []


def test_an_address_that_is_none_is_refused_at_once(site: Site) -> None:
    with pytest.raises(InvalidInput), site.runtime.transaction() as session:
        request.request_picture(
            session, site.runtime.settings, site.owner_id, WantedPicture("file:///etc/passwd")
        )
    assert count(site, Job) == 0


def test_settings_say_what_may_be_called(make_site: Callable[..., Site]) -> None:
    site = make_site(fetch_hosts="nas.home, 10.1.0.0/16", fetch_ports="8080", max_upload_mb=1)
    caller = fetcher_of(site.runtime)
    assert caller.rules == Rules(frozenset({8080}), Named.read(["nas.home", "10.1.0.0/16"]))
    assert caller.limits.max_bytes == 1024 * 1024

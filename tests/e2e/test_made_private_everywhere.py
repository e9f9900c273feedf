"""A picture is made private: no process of the web server shows it any more, nor gives its bytes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from testing.deployment import Deployment, Web, deployed, wait_until
from testing.pictures import picture
from testing.processes import Lines
from testing.servers.mariadb import MariaDbServer
from testing.servers.redis import redis_server

pytestmark = [pytest.mark.mariadb, pytest.mark.redis]

Headers = dict[str, str]
HONOURED_WITHIN_S = 1.0
FLIPS = 3
FLIPPED, BESIDE = picture(seed=7100, size=(120, 90)), picture(seed=7101, size=(120, 90))


@dataclass
class Site:
    """A web server of two processes, a worker, and two people with one picture each."""

    lines: Lines
    owner: Headers
    others: dict[str, Headers]
    image: dict[str, Any]
    beside: dict[str, Any]

    def turn(self, is_public: bool) -> float:
        """Make the picture public or private; return when the reply was there."""
        reply = self.lines.web.http.patch(
            self.image["url"], json={"is_public": is_public}, headers=self.owner
        )
        assert reply.status_code == 200, reply.text
        return time.monotonic()

    def shown(self, pid: int, name: str, headers: Headers) -> tuple[bool, float]:
        """Return whether the picture is in an answer of one process, and when that was asked for."""
        method, path, parts = self.questions()[name]
        reply, began = self.lines.ask(pid, method, path, headers, **parts)
        assert reply.status_code == 200, reply.text
        results = reply.json()["results"]
        ids = [each.get("image", each)["id"] for each in results]
        return self.image["id"] in ids, began

    def questions(self) -> dict[str, tuple[str, str, dict[str, Any]]]:
        beside, files = self.beside["url"], {"file": ("q.png", FLIPPED)}
        return {
            "list": ("GET", "/api/v1/images?limit=100", {}),
            "search": ("POST", "/api/v1/search", {"files": files}),
            "similar": ("GET", f"{beside}/similar", {}),
            "related": ("GET", f"{beside}/related", {}),
        }


def administrator(deployment: Deployment) -> Headers:
    made = deployment.run("flask", "--app", "wsgi:app", "users", "create", "ana", "--admin")
    key = re.search(r"mrd_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", made.stdout)
    assert key, made.stdout + made.stderr
    return {"Authorization": f"Bearer {key[0]}"}


def another(web: Web, administrator: Headers) -> Headers:
    made = web.http.post("/api/v1/users", json={"username": "ben"}, headers=administrator)
    assert made.status_code == 201, made.text
    return {"Authorization": f"Bearer {made.json()['key']['key']}"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDbServer) -> Iterator[Site]:
    with (
        mariadb.new_database() as name,
        redis_server() as redis_url,
        deployed(
            tmp_path_factory.mktemp("private"),
            DATABASE_URL=mariadb.url(name),
            REDIS_URL=redis_url,
            AUTH_MODE="keys",
            WEB_PROCESSES="2",
            WEB_THREADS="2",
        ) as deployment,
    ):
        web = deployment.web(wait=False)
        deployment.worker()
        # Of pictures an administrator sees no more than anybody.
        other = administrator(deployment)
        web.wait_until_healthy()
        owner = another(web, other)
        made = []
        for headers, content in ((owner, FLIPPED), (other, BESIDE)):
            reply = web.http.post(
                "/api/v1/images",
                files={"file": ("p.png", content)},
                data={"prompt": "a lighthouse", "is_public": "true"},
                headers=headers,
            )
            assert reply.status_code == 201, reply.text
            made.append(dict(reply.json()))

        def is_ready(image: dict[str, Any]) -> bool:
            return bool(web.http.get(image["url"]).json()["status"] == "READY")

        wait_until(lambda: all(map(is_ready, made)), what="two pictures READY")
        lines = Lines(web)
        assert len(lines.pids) == 2
        yield Site(lines, owner, {"administrator": other, "nobody": {}}, *made)
        lines.close()


def bytes_of(site: Site, pid: int, headers: Headers) -> list[httpx2.Response]:
    tails = ("file", "thumbnail")
    urls = (f"{site.image['url']}/{tail}" for tail in tails)
    return [site.lines.ask(pid, "GET", url, headers)[0] for url in urls]


def test_a_picture_made_private_is_gone_from_every_process_within_a_second(site: Site) -> None:
    asked = [(pid, who) for pid in site.lines.pids for who in site.others.values()]
    for _ in range(FLIPS):
        site.turn(is_public=True)
        for pid, who in asked:
            assert [reply.status_code for reply in bytes_of(site, pid, who)] == [200, 200]
            for name in site.questions():
                # Or its absence later would say nothing.
                wait_until(
                    lambda pid=pid, who=who, name=name: site.shown(pid, name, who)[0],
                    what=f"{name} shows the public picture in process {pid}",
                )
        since = site.turn(is_public=False)
        for pid, who in asked:
            # Not within a second: at once.
            assert [reply.status_code for reply in bytes_of(site, pid, who)] == [404, 404]
        for pid, who in asked:
            for name in site.questions():
                assert_gone(site, pid, name, who, since)
        assert [r.status_code for r in bytes_of(site, site.lines.pids[0], site.owner)] == [200, 200]


def addresses_of(site: Site) -> list[str]:
    """Return the addresses of the picture as its owner is told them now."""
    told = site.lines.web.http.get(site.image["url"], headers=site.owner).json()
    return list(told["picture"]["src"].values())


def test_the_address_of_a_picture_ends_in_every_process_and_is_never_given_again(
    site: Site,
) -> None:
    given: set[str] = set()
    for _ in range(FLIPS):
        site.turn(is_public=True)
        public = addresses_of(site)
        assert given.isdisjoint(public)
        for pid in site.lines.pids:
            for address in public:
                reply, _ = site.lines.ask(pid, "GET", address, {})
                assert reply.status_code == 200
                assert reply.headers["Cache-Control"] == "public, max-age=86400, immutable"
        site.turn(is_public=False)
        private = addresses_of(site)
        given |= {*public, *private}
        assert len(given) % 6 == 0
        for pid in site.lines.pids:
            for who in ({}, site.owner, *site.others.values()):
                for address in given.difference(private):
                    # Not within a second: at once.
                    reply, _ = site.lines.ask(pid, "GET", address, who)
                    assert reply.status_code == 404
            for address in private:
                assert site.lines.ask(pid, "GET", address, {})[0].status_code == 404
                assert site.lines.ask(pid, "GET", address, site.owner)[0].status_code == 200


def assert_gone(site: Site, pid: int, name: str, who: Headers, since: float) -> None:
    """Ask until it is gone; whatever was asked for later than a second may not show it."""
    while True:
        is_shown, began = site.shown(pid, name, who)
        if not is_shown:
            return
        assert began - since < HONOURED_WITHIN_S, f"{name} shows a private picture in process {pid}"


def test_a_page_of_a_ranking_that_another_process_made_shows_it_no_longer(site: Site) -> None:
    beside = {"files": {"file": ("q.png", BESIDE)}}
    made_by, *others = site.lines.pids
    for who in site.others.values():
        site.turn(is_public=True)
        wait_until(
            lambda who=who: site.shown(made_by, "search", who)[0],
            what="the search shows the public picture",
        )
        asked = {"data": {"limit": "1"}, **beside}
        first, _ = site.lines.ask(made_by, "POST", "/api/v1/search", who, **asked)
        assert [each["image"]["id"] for each in first.json()["results"]] == [site.beside["id"]]
        following = first.json()["next"]
        second, _ = site.lines.ask(made_by, "GET", following, who)
        assert [each["image"]["id"] for each in second.json()["results"]] == [site.image["id"]]
        site.turn(is_public=False)
        for pid in (made_by, *others):
            # At once: the ranking is old, and who may see it is asked anew.
            again, _ = site.lines.ask(pid, "GET", following, who)
            assert (again.status_code, again.json()["results"]) == (200, [])

"""Evaluation sets over HTTP: whose they are, how they are judged and filled, and what a report says."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from mirada.db.evaluation_models import EvaluationJudgement, EvaluationQuery, EvaluationReport
from mirada.db.models import Image, Job
from mirada.evaluation import queries, reports, sets
from mirada.kernel.errors import Unavailable
from mirada.people import keys, users
from mirada.runtime import Runtime
from testing.application import create_app
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import as_upload, assert_problem
from testing.pictures import picture
from tests.conftest import MakeRuntime
from workers.runner import JobRunner, run_job

PATH = "/api/v1/evaluations"


class Bench:
    """Two people with keys, and pictures that lie where a text does."""

    def __init__(self, runtime: Runtime) -> None:
        self.encoder = CountingEncoder()
        self.runtime = with_encoder(runtime, self.encoder)
        self.client = create_app(self.runtime).test_client()
        self.headers: dict[str, dict[str, str]] = {"nobody": {}}
        self.ids: dict[str, int] = {}
        with runtime.transaction() as session:
            for name in ("ana", "ben"):
                user = users.create_user(session, name)
                self.ids[name] = user.id
                self.headers[name] = {"Authorization": f"Bearer {keys.issue(session, user).key}"}
        self._seeds = itertools.count(1)
        runtime.space()

    def hang(self, *texts: str, who: str = "ana", is_public: bool = True, **fields: str) -> int:
        """Return the id of a new picture that lies at the mean of some texts, searchable."""
        self.encoder.show(*texts)
        data = {
            "file": as_upload(picture(next(self._seeds))),
            "is_public": str(is_public).lower(),
            **fields,
        }
        reply = self.client.post("/api/v1/images", data=data, headers=self.headers[who])
        assert reply.status_code == 201, reply.get_json()
        self.work()
        return int(reply.get_json()["id"])

    def work(self) -> None:
        """Do every job that is due."""
        runner = JobRunner(self.runtime)
        while True:
            with self.runtime.reading() as session:
                job_id = session.execute(
                    select(Job.id).where(Job.state == "queued").order_by(Job.id).limit(1)
                ).scalar_one_or_none()
            if job_id is None:
                return
            runner.run(job_id)

    def ask(self, method: str, path: str, who: str = "ana", **parts: Any) -> Any:
        headers = {**self.headers[who], **parts.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **parts)

    def told(self, method: str, path: str, json: Any = None, who: str = "ana") -> Any:
        reply = self.ask(method, path, who, json=json)
        assert reply.status_code < 300, reply.get_json()
        return reply.get_json()

    def new_set(self, name: str = "pets", who: str = "ana") -> dict[str, Any]:
        made: dict[str, Any] = self.told("POST", PATH, {"name": name}, who)
        return made

    def judge(self, image_id: int, theme: str, accepted: bool, who: str = "ana") -> None:
        with self.runtime.reading() as session:
            sha256 = session.get_one(Image, image_id).content.sha256
        body = {"image_hash": sha256, "theme": theme, "accepted": accepted}
        self.told("POST", "/api/v1/feedback", body, who)


@pytest.fixture
def bench(make_runtime: MakeRuntime, site_settings: dict[str, Any]) -> Bench:
    """On SQLite and on MariaDB."""
    return Bench(make_runtime(auth_mode="keys", **site_settings))


@pytest.fixture
def lite(make_runtime: MakeRuntime) -> Bench:
    """On SQLite alone, for what no database has a part in."""
    return Bench(make_runtime(auth_mode="keys"))


def test_a_set_is_made_listed_renamed_and_deleted(bench: Bench) -> None:
    first, second = bench.new_set("Cats  at home"), bench.new_set("dogs")
    assert first["name"] == "Cats at home"
    assert bench.told("GET", first["url"]) == first
    page = bench.told("GET", f"{PATH}?limit=1")
    assert page["results"] == [second]
    assert bench.told("GET", page["next"])["results"] == [first]

    renamed = bench.told("PATCH", first["url"], {"name": "cats"})
    assert (renamed["name"], renamed["id"]) == ("cats", first["id"])
    taken = bench.ask("PATCH", first["url"], json={"name": "dogs"})
    assert "called 'dogs' already" in assert_problem(taken, 409, "conflict")["detail"]
    assert bench.told("PATCH", first["url"], {"name": "cats"})["name"] == "cats"
    # A name is compared as it is written, and another person may have it too.
    assert bench.new_set("Cats")["name"] == "Cats"
    assert bench.new_set("cats", who="ben")["name"] == "cats"

    assert bench.ask("DELETE", first["url"]).status_code == 204
    assert_problem(bench.ask("GET", first["url"]), 404, "not_found")


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "x" * 101, 7])
def test_a_name_that_cannot_be_one_is_refused(lite: Bench, name: object) -> None:
    refused = assert_problem(lite.ask("POST", PATH, json={"name": name}), 422, "invalid_input")
    assert "name" in refused["errors"]


def test_one_key_makes_one_set_and_one_query(bench: Bench) -> None:
    once = {"Idempotency-Key": "k-1"}
    first, again = (bench.ask("POST", PATH, json={"name": "pets"}, headers=once) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.get_json() == again.get_json()
    assert again.headers["Idempotent-Replayed"] == "true"
    path = first.get_json()["queries_url"]
    once = {"Idempotency-Key": "k-2"}
    one, two = (bench.ask("POST", path, json={"text": "cat"}, headers=once) for _ in range(2))
    assert one.get_json() == two.get_json()
    other = bench.ask("POST", path, json={"text": "dog"}, headers=once)
    assert_problem(other, 422, "invalid_input")
    bench.ask("DELETE", one.get_json()["url"])
    gone = bench.ask("POST", path, json={"text": "cat"}, headers=once)
    assert "deleted since" in assert_problem(gone, 409, "conflict")["detail"]


def test_a_query_keeps_what_was_judged_and_is_changed_in_part(bench: Bench) -> None:
    one, two, three = (bench.hang(f"cat {number}") for number in range(3))
    where = bench.new_set()["queries_url"]
    body = {"text": " a  cat ", "language": "pt_br", "good": [two, one], "bad": [three]}
    made = bench.ask("POST", where, json=body)
    query = made.get_json()
    assert made.status_code == 201
    assert made.headers["Location"] == query["url"]
    assert (query["text"], query["language"], query["theme"]) == ("a cat", "pt-BR", None)
    assert (query["good"], query["bad"], query["gone"]) == ([one, two], [three], 0)

    # An image in a list that is sent leaves the other one.
    changed = bench.told("PATCH", query["url"], {"bad": [one]})
    assert (changed["good"], changed["bad"]) == ([two], [one])
    changed = bench.told("PATCH", query["url"], {"text": "cat", "language": None})
    assert (changed["text"], changed["language"], changed["good"]) == ("cat", None, [two])
    assert bench.told("PATCH", query["url"], {"good": [], "bad": []})["bad"] == []
    assert bench.told("GET", f"{where}?limit=5")["results"][0]["id"] == query["id"]
    assert bench.ask("DELETE", query["url"]).status_code == 204
    with bench.runtime.reading() as session:
        for table in (EvaluationQuery, EvaluationJudgement):
            assert session.scalar(select(func.count()).select_from(table)) == 0


def test_images_are_judged_one_by_one_while_looking_at_results(lite: Bench) -> None:
    image = lite.hang("cat")
    query = lite.told("POST", lite.new_set()["queries_url"], {"text": "cat"})
    where = f"{query['url']}/images/{image}"
    assert lite.told("PUT", where, {"is_good": True})["good"] == [image]
    assert lite.told("PUT", where, {"is_good": True})["good"] == [image]
    assert lite.told("PUT", where, {"is_good": False})["bad"] == [image]
    assert lite.ask("DELETE", where).status_code == 204
    assert_problem(lite.ask("DELETE", where), 404, "not_found")
    assert lite.told("GET", query["url"])["bad"] == []
    assert_problem(lite.ask("PUT", where, json={"is_good": "no"}), 422, "invalid_input")
    assert_problem(
        lite.ask("PUT", f"{query['url']}/images/99999", json={"is_good": True}), 404, "not_found"
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": " "}, "text"),
        ({"text": "x" * 501}, "text"),
        ({"text": "a\u0000b"}, "text"),
        ({}, "text"),
        ({"text": "cat", "language": "portuguese!"}, "language"),
        ({"text": "cat", "language": "x" * 40}, "language"),
        ({"text": "cat", "good": [1], "bad": [1]}, "bad"),
        ({"text": "cat", "good": ["x"]}, "good"),
        ({"text": "cat", "good": [1.5]}, "good"),
        ({"text": "cat", "good": list(range(1, 202))}, "good"),
        ({"text": "cat", "good": list(range(1, 150)), "bad": list(range(150, 300))}, "good"),
        ({"text": "cat", "odd": 1}, "odd"),
    ],
)
def test_a_query_that_cannot_be_one_names_the_field(
    lite: Bench, body: dict[str, Any], field: str
) -> None:
    where = lite.new_set()["queries_url"]
    refused = assert_problem(lite.ask("POST", where, json=body), 422, "invalid_input")
    assert field in refused["errors"]
    assert lite.told("GET", where)["results"] == []


def test_the_same_text_twice_is_refused_but_not_in_another_language(bench: Bench) -> None:
    where = bench.new_set()["queries_url"]
    first = bench.told("POST", where, {"text": "pet", "language": "en"})
    same = bench.ask("POST", where, json={"text": "pet", "language": "EN"})
    assert str(first["id"]) in assert_problem(same, 409, "conflict")["detail"]
    other = bench.told("POST", where, {"text": "pet", "language": "de"})
    taken = bench.ask("PATCH", other["url"], json={"language": "en"})
    assert_problem(taken, 409, "conflict")
    assert bench.told("POST", where, {"text": "Pet", "language": "en"})["text"] == "Pet"


def test_nobody_else_sees_or_changes_a_set(bench: Bench) -> None:
    image = bench.hang("cat")
    kept = bench.new_set()
    query = bench.told("POST", kept["queries_url"], {"text": "cat", "good": [image]})
    report = bench.told("POST", kept["reports_url"], {})
    assert bench.told("GET", PATH, who="ben")["results"] == []
    bens = bench.new_set("his", who="ben")
    for who in ("ben", "nobody"):
        for method, path, body in (
            ("GET", kept["url"], None),
            ("PATCH", kept["url"], {"name": "mine"}),
            ("DELETE", kept["url"], None),
            ("GET", kept["queries_url"], None),
            ("POST", kept["queries_url"], {"text": "dog"}),
            ("GET", query["url"], None),
            ("PATCH", query["url"], {"text": "dog"}),
            ("DELETE", query["url"], None),
            ("PUT", f"{query['url']}/images/{image}", {"is_good": False}),
            ("DELETE", f"{query['url']}/images/{image}", None),
            ("POST", f"{kept['url']}/feedback", {}),
            ("GET", kept["reports_url"], None),
            ("POST", kept["reports_url"], {}),
            ("GET", report["url"], None),
            ("DELETE", report["url"], None),
            # Somebody else's query under one's own set is not there either.
            ("GET", f"{bens['url']}/queries/{query['id']}", None),
            ("GET", f"{bens['url']}/reports/{report['id']}", None),
        ):
            reply = bench.ask(method, path, who, json=body)
            assert reply.status_code == (404 if who == "ben" else 401), (who, method, path)
    assert bench.told("GET", query["url"]) == query
    assert bench.told("GET", report["url"]) == report


def test_an_image_that_one_cannot_see_is_like_none(bench: Bench) -> None:
    hidden = bench.hang("cat", who="ben", is_public=False)
    where = bench.new_set()["queries_url"]
    replies = [
        bench.ask("POST", where, json={"text": "cat", "good": [number]})
        for number in (hidden, hidden + 5_000)
    ]
    first, second = (assert_problem(each, 404, "not_found")["detail"] for each in replies)
    assert first.replace(str(hidden), "N") == second.replace(str(hidden + 5_000), "N")


def test_what_is_hidden_or_deleted_is_gone_alike(bench: Bench) -> None:
    own = bench.hang("cat")
    hidden, deleted = (bench.hang(f"cat {n}", who="ben") for n in range(2))
    kept = bench.new_set()
    query = bench.told(
        "POST", kept["queries_url"], {"text": "cat", "good": [own, hidden], "bad": [deleted]}
    )
    bench.told("PATCH", f"/api/v1/images/{hidden}", {"is_public": False}, "ben")
    bench.ask("DELETE", f"/api/v1/images/{deleted}", "ben")

    seen = bench.told("GET", query["url"])
    assert (seen["good"], seen["bad"], seen["gone"]) == ([own], [], 2)
    report = bench.told("POST", kept["reports_url"], {})
    assert report["counted"]["gone"] == 2
    assert report["counted"]["pictures"] == 1
    assert report["overall"]["recall_at_10"]["value"] == 1
    # It is judged again once it is seen again.
    bench.told("PATCH", f"/api/v1/images/{hidden}", {"is_public": True}, "ben")
    assert bench.told("GET", query["url"])["good"] == [own, hidden]


def test_a_report_tells_recall_and_ndcg_with_intervals_and_by_language(bench: Bench) -> None:
    cats = [bench.hang("cat", f"cat {number}") for number in range(3)]
    dogs = [bench.hang("dog", "puppy"), bench.hang("dog"), bench.hang("dog")]
    for number in range(12):
        bench.hang(f"other {number}")
    kept = bench.new_set()
    add = kept["queries_url"]
    bench.told("POST", add, {"text": "cat", "language": "en", "good": cats, "bad": dogs})
    bench.told("POST", add, {"text": "dog", "language": "pt", "good": dogs[:1], "bad": cats})
    bench.told("POST", add, {"text": "unjudged", "language": "pt"})
    made = bench.ask("POST", kept["reports_url"], json={})
    report = made.get_json()

    assert (made.status_code, made.headers["Location"]) == (201, report["url"])
    assert report["model"] == "counting/v1"
    assert report["space"] == bench.encoder.space.name
    assert report["counted"] == {
        "queries": 3,
        "without_good": 1,
        "judged": 10,
        "gone": 0,
        "without_vector": 0,
        "pictures": 18,
    }
    overall = report["overall"]
    assert overall["queries"] == 2
    assert overall["recall_at_10"]["value"] == 1
    assert 0 < overall["recall_at_10"]["low"] < 1 == overall["recall_at_10"]["high"]
    by_language = {each["language"]: each for each in report["languages"]}
    assert list(by_language) == ["en", "pt"]
    assert by_language["en"]["ndcg_at_10"]["value"] == pytest.approx(1)
    # Two dogs that nobody judged lie before the good one: it has the third place.
    worst, best = report["queries"]
    assert (worst["text"], best["text"]) == ("dog", "cat")
    assert worst["ndcg_at_10"] == pytest.approx(0.5)
    assert worst["ndcg_at_10_of_judged"] == pytest.approx(1)
    assert bench.told("GET", report["url"]) == report


def test_reports_are_kept_so_that_a_trend_shows(bench: Bench) -> None:
    cat = bench.hang("cat")
    kept = bench.new_set()
    bench.told("POST", kept["queries_url"], {"text": "cat", "good": [cat]})
    first = bench.told("POST", kept["reports_url"], {})
    for number in range(15):
        bench.hang("cat", f"cat {number}")
    second = bench.told("POST", kept["reports_url"], {"space": bench.encoder.space.name})
    listed = bench.told("GET", kept["reports_url"])["results"]
    assert [each["id"] for each in listed] == [second["id"], first["id"]]
    # Fifteen more cats: the one that is good is still among the first ten, as it lies exactly there.
    assert first["change"] is None
    assert second["change"]["against"] == first["id"]
    assert second["change"]["queries"] == 1
    assert second["change"]["ndcg_at_10"]["value"] == 0
    bench.told("POST", kept["queries_url"], {"text": "nowhere near", "good": [cat]})
    bench.told("PATCH", bench.told("GET", kept["queries_url"])["results"][1]["url"], {"good": []})
    third = bench.told("POST", kept["reports_url"], {})
    assert third["change"] is None
    against = bench.told("GET", f"{second['url']}?against={first['id']}")
    assert against == second
    assert bench.told("GET", f"{first['url']}?against={second['id']}")["change"]["queries"] == 1
    absent = bench.ask("GET", f"{first['url']}?against={third['id'] + 50}")
    assert_problem(absent, 404, "not_found")
    assert bench.ask("DELETE", third["url"]).status_code == 204
    assert "queries" not in listed[0]
    assert listed[0]["overall"] == second["overall"]
    assert bench.ask("DELETE", first["url"]).status_code == 204
    assert_problem(bench.ask("GET", first["url"]), 404, "not_found")


@pytest.mark.parametrize("most", [0, 50])
def test_one_key_makes_one_report(bench: Bench, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(reports, "SMALL_QUERIES", most)
    cat = bench.hang("cat")
    kept = bench.new_set()
    bench.told("POST", kept["queries_url"], {"text": "cat", "good": [cat]})
    where, once = kept["reports_url"], {"Idempotency-Key": "k-1"}
    first, again = (bench.ask("POST", where, json={}, headers=once) for _ in range(2))
    assert first.status_code == again.status_code == (201 if most else 202)
    assert first.get_json() == again.get_json()
    assert again.headers["Idempotent-Replayed"] == "true"
    other = bench.ask("POST", where, json={"space": "1"}, headers=once)
    assert_problem(other, 422, "invalid_input")
    bench.work()
    done = bench.ask("POST", where, json={}, headers=once)
    assert (done.status_code, done.get_json()["overall"]["queries"]) == (201, 1)
    bench.ask("DELETE", first.get_json()["url"])
    gone = bench.ask("POST", where, json={}, headers=once)
    assert "deleted since" in assert_problem(gone, 409, "conflict")["detail"]
    assert bench.told("GET", where)["results"] == []


def test_the_oldest_report_goes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirada.evaluation.report_rows.MOST_REPORTS", 2)
    cat = bench.hang("cat")
    kept = bench.new_set()
    bench.told("POST", kept["queries_url"], {"text": "cat", "good": [cat]})
    made = [bench.told("POST", kept["reports_url"], {})["id"] for _ in range(4)]
    listed = bench.told("GET", kept["reports_url"])["results"]
    assert [each["id"] for each in listed] == made[:1:-1]


def test_nothing_to_measure_and_no_such_space_are_said(bench: Bench) -> None:
    kept = bench.new_set()
    empty = bench.ask("POST", kept["reports_url"], json={})
    assert "no query" in assert_problem(empty, 409, "conflict")["detail"]
    bench.told("POST", kept["queries_url"], {"text": "cat"})
    for name in ("nowhere", "", "\x00", "\ud800", "9" * 30, "x" * 192):
        absent = bench.ask("POST", kept["reports_url"], json={"space": name})
        assert absent.status_code in (404, 422), (name, absent.get_json())
    assert_problem(bench.ask("POST", kept["reports_url"], json={"space": 7}), 422, "invalid_input")
    # Nothing is good: a report all the same, which says so.
    report = bench.told("POST", kept["reports_url"], {})
    assert (report["overall"], report["languages"]) == (None, [])
    assert report["counted"]["without_good"] == 1


@pytest.mark.parametrize("kind", ["prompt", "caption"])
def test_spaces_of_texts_are_measured_too(bench: Bench, kind: str) -> None:
    # Two pictures have the very same text, and so one vector; the third is somebody's own.
    one, two = (bench.hang(f"odd {number}", **{kind: "a red cat"}) for number in range(2))
    hidden = bench.hang("odd 2", who="ben", is_public=False, **{kind: "a red cat"})
    others = [bench.hang(f"thing {number}", **{kind: f"thing {number}"}) for number in range(12)]
    mute = bench.hang("a red cat")
    kept = bench.new_set()
    body = {"text": "a red cat", "good": [one, two, mute], "bad": others[:2]}
    bench.told("POST", kept["queries_url"], body)
    report = bench.told("POST", kept["reports_url"], {"space": kind})

    assert report["space"].startswith(f"{kind}:")
    assert report["counted"]["without_vector"] == 1
    assert report["counted"]["pictures"] == 13
    (query,) = report["queries"]
    assert (query["good"], query["good_shown"]) == (2, 2)
    assert query["recall_at_10"] == query["ndcg_at_10"] == query["ndcg_at_10_of_judged"] == 1
    # By its pixels alone only the one without a text is near.
    by_pixels = bench.told("POST", kept["reports_url"], {"space": "image"})
    assert by_pixels["counted"]["without_vector"] == 0
    assert by_pixels["queries"][0]["good_shown"] >= 1
    assert hidden not in bench.told("GET", kept["queries_url"])["results"][0]["good"]


def test_a_large_set_is_measured_by_a_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "SMALL_PICTURES", 0)
    cat = bench.hang("cat")
    kept = bench.new_set()
    bench.told("POST", kept["queries_url"], {"text": "cat", "good": [cat]})
    asked = bench.ask("POST", kept["reports_url"], json={})
    waiting = asked.get_json()
    assert asked.status_code == 202
    assert (waiting["overall"], waiting["finished_at"]) == (None, None)
    # Asked again while it waits: the same one.
    assert bench.ask("POST", kept["reports_url"], json={}).get_json() == waiting
    job = bench.told("GET", waiting["job_url"])
    assert (job["kind"], job["state"]) == ("evaluate_set_task", "queued")
    assert bench.ask("GET", waiting["job_url"], "ben").status_code == 404

    for _ in range(2):
        run_job(bench.runtime, job["id"])
    done = bench.told("GET", waiting["url"])
    assert done["overall"]["recall_at_10"]["value"] == 1
    assert done["finished_at"] is not None
    job = bench.told("GET", waiting["job_url"])
    assert (job["state"], job["done"], job["total"]) == ("done", 1, 1)
    # The next one is another.
    assert bench.told("POST", kept["reports_url"], {})["id"] != done["id"]


def test_a_job_whose_set_was_deleted_has_nothing_to_do(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "SMALL_QUERIES", 0)
    kept = bench.new_set()
    bench.told("POST", kept["queries_url"], {"text": "cat"})
    waiting = bench.told("POST", kept["reports_url"], {})
    bench.ask("DELETE", kept["url"])
    bench.work()
    assert bench.told("GET", waiting["job_url"])["state"] == "done"
    with bench.runtime.reading() as session:
        assert session.scalar(select(func.count()).select_from(EvaluationReport)) == 0


def test_a_report_that_is_given_up_says_why_and_can_be_retried(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "SMALL_QUERIES", 0)
    cat = bench.hang("cat")
    kept = bench.new_set()
    bench.told("POST", kept["queries_url"], {"text": "cat", "good": [cat]})
    waiting = bench.told("POST", kept["reports_url"], {})

    def broken(texts: list[str]) -> Any:
        raise Unavailable("The device is gone.")

    with bench.runtime.transaction() as session:
        job = session.execute(select(Job).where(Job.kind == "evaluate_set_task")).scalar_one()
        job.attempts = 2
        job_id = job.id
    with monkeypatch.context() as patch:
        patch.setattr(bench.encoder, "encode_texts", broken)
        run_job(bench.runtime, job_id)
    failed = bench.told("GET", waiting["url"])
    assert "The device is gone." in failed["failure"]
    assert failed["finished_at"] is not None
    bench.told("POST", f"{waiting['job_url']}/retry")
    assert bench.told("GET", waiting["url"])["failure"] is None
    bench.work()
    assert bench.told("GET", waiting["url"])["overall"]["queries"] == 1


def test_the_same_query_sent_twice_at_once_is_kept_once(bench: Bench) -> None:
    where = bench.new_set()["queries_url"]

    def send(_: int) -> int:
        client = bench.client.application.test_client()
        body = {"text": "cat", "language": "en"}
        return int(client.post(where, json=body, headers=bench.headers["ana"]).status_code)

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(send, range(4)))
    assert statuses == [201, 409, 409, 409]
    assert len(bench.told("GET", where)["results"]) == 1


def test_one_person_may_have_so_many_sets_and_queries(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "MOST_SETS", 2)
    monkeypatch.setattr(queries, "MOST_QUERIES", 2)
    kept, _ = (bench.new_set(f"set {number}") for number in range(2))
    more = bench.ask("POST", PATH, json={"name": "one more"})
    assert "as many as one person may" in assert_problem(more, 409, "conflict")["detail"]
    for number in range(2):
        bench.told("POST", kept["queries_url"], {"text": f"cat {number}"})
    more = bench.ask("POST", kept["queries_url"], json={"text": "cat"})
    assert_problem(more, 409, "conflict")


def test_verdicts_fill_a_set_first_as_a_preview(bench: Bench) -> None:
    cat, dog, tree = bench.hang("cat"), bench.hang("dog"), bench.hang("tree", who="ben")
    bench.judge(cat, "Cute pets", True)
    bench.judge(dog, "cute pets", True)
    bench.judge(tree, "cute pets", False)
    bench.judge(tree, "houses", False)
    bench.judge(tree, "trees", True)
    # Of somebody else: not one's own verdicts.
    bench.judge(cat, "cats", True, who="ben")
    kept = bench.new_set()
    where = f"{kept['url']}/feedback"
    preview = bench.told("POST", where, {"language": "en", "preview": True})
    assert preview["is_preview"] is True
    assert [each["theme"] for each in preview["queries"]] == ["cute pets", "trees"]
    pets = preview["queries"][0]
    assert (pets["outcome"], pets["query_id"]) == ("created", None)
    assert (pets["good"], pets["bad"]) == ([cat, dog], [tree])
    assert preview["left_out"] == [{"theme": "houses", "accepted": 0, "rejected": 1}]
    assert bench.told("GET", kept["queries_url"])["results"] == []

    filled = bench.told("POST", where, {"language": "en", "themes": ["CUTE  pets"]})
    assert [each["outcome"] for each in filled["queries"]] == ["created"]
    (query,) = bench.told("GET", kept["queries_url"])["results"]
    assert (query["text"], query["theme"], query["language"]) == ("cute pets", "cute pets", "en")
    assert (query["good"], query["bad"]) == ([cat, dog], [tree])

    # Changed by hand, renamed, and filled again after another verdict.
    bench.told("PATCH", query["url"], {"text": "cute animals"})
    bird = bench.hang("bird")
    bench.told("PUT", f"{query['url']}/images/{bird}", {"is_good": False})
    bench.judge(dog, "cute pets", False)
    filled = bench.told("POST", where, {"themes": ["cute pets"]})
    assert [each["outcome"] for each in filled["queries"]] == ["changed"]
    again = bench.told("GET", query["url"])
    assert (again["text"], again["good"]) == ("cute animals", [cat])
    assert again["bad"] == sorted([dog, tree, bird])
    same = bench.told("POST", where, {"themes": ["cute pets"], "preview": True})
    assert [each["outcome"] for each in same["queries"]] == ["unchanged"]


def test_a_query_of_the_same_words_takes_the_verdicts_of_a_theme(bench: Bench) -> None:
    cat, dog = bench.hang("cat"), bench.hang("dog")
    kept = bench.new_set()
    query = bench.told("POST", kept["queries_url"], {"text": "cute pets", "good": [cat]})
    bench.judge(dog, "cute pets", True)
    where = f"{kept['url']}/feedback"
    filled = bench.told("POST", where, {})["queries"]
    assert [(each["outcome"], each["query_id"]) for each in filled] == [("changed", query["id"])]
    assert bench.told("GET", query["url"])["good"] == [cat, dog]
    # From now on it is known by its theme, whatever its text becomes.
    bench.told("PATCH", query["url"], {"text": "pets that are cute"})
    assert bench.told("POST", where, {})["queries"][0]["outcome"] == "unchanged"
    assert len(bench.told("GET", kept["queries_url"])["results"]) == 1


def test_two_themes_that_mean_one_query_both_fill_it(bench: Bench) -> None:
    cat, dog = bench.hang("cat"), bench.hang("dog")
    bench.judge(cat, "pets", True)
    kept = bench.new_set()
    where = f"{kept['url']}/feedback"
    bench.told("POST", where, {})
    (query,) = bench.told("GET", kept["queries_url"])["results"]
    # It stays the query of its theme, and has the words of another theme from now on.
    bench.told("PATCH", query["url"], {"text": "animals"})
    for theme in ("animals", "pets"):
        bench.judge(dog, theme, True)
    filled = bench.told("POST", where, {})["queries"]
    assert [each["outcome"] for each in filled] == ["changed", "unchanged"]
    assert bench.told("GET", query["url"])["good"] == [cat, dog]


def test_what_was_classified_and_not_uploaded_fills_nothing(lite: Bench) -> None:
    cat = lite.hang("cat")
    lite.judge(cat, "cats", True)
    content = picture(990)
    sent = lite.ask(
        "POST", "/api/v1/classifications", data={"file": as_upload(content), "labels": "cat,dog"}
    )
    assert sent.status_code == 200, sent.get_json()
    sha256 = sent.get_json()["image_hash"]
    body = {"image_hash": sha256, "theme": "cats", "accepted": True}
    lite.told("POST", "/api/v1/feedback", body)
    filled = lite.told("POST", f"{lite.new_set()['url']}/feedback", {})
    assert filled["queries"][0]["good"] == [cat]
    assert filled["without_image"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"themes": []}, "themes"),
        ({"themes": ["\u200b"]}, "theme"),
        ({"language": "?"}, "language"),
        ({"preview": "perhaps"}, "preview"),
    ],
)
def test_a_filling_that_makes_no_sense_names_the_field(
    lite: Bench, body: dict[str, Any], field: str
) -> None:
    reply = lite.ask("POST", f"{lite.new_set()['url']}/feedback", json=body)
    assert field in assert_problem(reply, 422, "invalid_input")["errors"]

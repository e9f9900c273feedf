"""GET /metrics: what it tells, to whom, and that it tells it whatever is down."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask.testing import FlaskClient

from mirada.adapters.encoders import query_cache
from mirada.config import PROJECT_ROOT, Settings
from mirada.db import changes
from mirada.db.models import Image
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.health.gauges import FRESH_S, DatabaseGauges
from mirada.metrics.instruments import INSTRUMENTS
from mirada.people import keys, users
from mirada.people.access import checked_scopes
from mirada.runtime import Runtime
from testing.application import create_app
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import Gallery, as_upload, assert_problem
from testing.patience import Stopwatch
from testing.pictures import picture
from testing.proxy import Proxy, proxied
from testing.scrape import OPENMETRICS, TEXT, Scrape
from testing.servers.mariadb import MariaDbServer
from testing.vector_library import no_progress
from tests.conftest import MakeRuntime
from workers.kinds import KINDS
from workers.runner import run_job

ANSWERS_WITHIN_S = 15.0
"""The waits for the database amount to 4 s; its driver's own time-out is 30 s."""


def scrape(client: FlaskClient, **headers: str) -> Scrape:
    response = client.get("/metrics", headers=headers)
    assert response.status_code == 200, response.get_data(as_text=True)
    return Scrape(response.get_data(as_text=True), response.headers["Content-Type"])


def growth(client: FlaskClient, name: str, **labels: Any) -> Callable[[], float]:
    """Return a function that tells by how much a counter has grown since now.

    The instruments are the process's, so that other tests have counted too.
    """
    before = scrape(client).value(name, **labels) or 0.0
    return lambda: (scrape(client).value(name, **labels) or 0.0) - before


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture
def encoding(make_runtime: MakeRuntime, encoder: CountingEncoder) -> Runtime:
    """A runtime with an encoder that counts."""
    return with_encoder(make_runtime(), encoder)


@pytest.fixture
def client(encoding: Runtime) -> FlaskClient:
    return create_app(encoding).test_client()


# The two forms.


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, TEXT),
        ("*/*", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2,*/*;q=0.1",
            OPENMETRICS,
        ),
        ("application/openmetrics-text;q=0.1,text/plain;q=0.9", TEXT),
        ("text/html,application/xml;q=0.9", TEXT),
        ("application/openmetrics-text;version=abc;escaping=allow-utf-8", OPENMETRICS),
        ("; q=x,,/", TEXT),
    ],
)
def test_it_speaks_the_form_that_a_scraper_prefers(
    client: FlaskClient, accept: str | None, content_type: str
) -> None:
    client.get("/health/live")
    response = client.get("/metrics", headers={} if accept is None else {"Accept": accept})
    assert (response.status_code, response.headers["Content-Type"]) == (200, content_type)
    assert response.headers["Cache-Control"] == "no-store"
    assert "Accept" in response.vary
    parsed = Scrape(response.get_data(as_text=True), content_type)
    assert parsed["mirada_database_up"] == 1
    assert parsed["mirada_http_request_duration_seconds_count"] >= 1
    assert response.get_data(as_text=True).endswith("# EOF\n") == (content_type == OPENMETRICS)


def test_the_process_tells_of_itself(client: FlaskClient) -> None:
    found = scrape(client)
    assert found["process_resident_memory_bytes"] > 1e6
    assert found.value("python_info", implementation="CPython") == 1


# What is counted.


def test_requests_are_counted_by_route_and_never_by_path(client: FlaskClient) -> None:
    name = "mirada_http_request_duration_seconds_count"
    item = growth(client, name, method="GET", rule="/api/v1/images/{image_id}", status=404)
    seconds = growth(
        client, "mirada_http_request_duration_seconds_sum", rule="/api/v1/images/{image_id}"
    )
    nowhere = growth(client, name, method="GET", rule="unmatched", status=404)
    strange = growth(client, name, method="other", rule="unmatched", status=405)
    for number in (7, 8, 9):
        client.get(f"/api/v1/images/{number}/")
    client.get("/private-words-of-a-caller")
    client.open("/api/v1/images", method="PRIVATEWORD")
    assert (item(), nowhere(), strange()) == (3, 1, 1)
    assert 0 < seconds() < 60


def test_every_rule_is_named_as_the_documentation_names_it(client: FlaskClient) -> None:
    paths = set(client.get("/openapi.json").get_json()["paths"])
    for path in sorted(paths):
        client.options(path.replace("{", "").replace("}", ""))
    rules = {sample.labels.get("rule") for sample in scrape(client).samples}
    documented = {rule for rule in rules if rule and rule.startswith("/api/")}
    assert len(documented) > 5
    assert documented <= paths


def test_uploads_are_counted_by_what_became_of_them(client: FlaskClient) -> None:
    counts = {
        outcome: growth(client, "mirada_uploads_total", outcome=outcome)
        for outcome in ("new", "known", "replayed", "corrupt_image", "unsupported_image")
    }

    def upload(content: bytes, **headers: str) -> int:
        data = {"file": as_upload(content)}
        return client.post("/api/v1/images", data=data, headers=headers).status_code

    assert upload(picture(1)) == 201
    assert upload(picture(1)) == 201
    for _ in range(2):
        assert upload(picture(2), **{"Idempotency-Key": "once"}) == 201
    assert upload(picture(3)[:300]) == 422
    assert upload(b"no picture at all") == 415
    assert {outcome: grown() for outcome, grown in counts.items()} == {
        "new": 2,
        "known": 1,
        "replayed": 1,
        "corrupt_image": 1,
        "unsupported_image": 1,
    }


def test_searches_are_counted_by_what_they_were_asked_with(
    encoding: Runtime, client: FlaskClient
) -> None:
    image_id = client.post("/api/v1/images", data={"file": as_upload(picture(1))}).get_json()["id"]
    assert run_job(encoding, 1)
    encoding.index(encoding.space()[0]).refresh()
    vector = CountingEncoder().encode_texts(["a cat"])[0].tolist()
    counts = {
        kind: growth(client, "mirada_searches_total", query=kind, way="exact", compared="pictures")
        for kind in ("text", "picture", "id", "vector")
    }
    relevant = growth(client, "mirada_searches_total", verdict="relevant")
    client.post("/api/v1/search", json={"text": "a cat"})
    client.post("/api/v1/search", json={"vector": vector})
    client.post("/api/v1/search", json={"image_id": image_id})
    client.get(f"/api/v1/images/{image_id}/similar")
    client.post("/api/v1/search", data={"file": as_upload(picture(1))})
    client.post("/search-similar-images/", data={"file": as_upload(picture(2))})
    assert {kind: grown() for kind, grown in counts.items()} == {
        "text": 1,
        "picture": 2,
        "id": 2,
        "vector": 1,
    }
    # The stored picture itself.
    assert relevant() == 1
    client.post("/api/v1/search", json={"text": ""})
    assert sum(grown() for grown in counts.values()) == 6


def test_searches_among_prompts_are_counted_and_remembered_apart(
    encoding: Runtime, client: FlaskClient
) -> None:
    searches = growth(client, "mirada_searches_total", query="text", compared="prompts")
    space = encoding.text_encoder.space.name
    hits = growth(client, "mirada_vector_cache_lookups_total", space=space, result="hit")
    client.post("/api/v1/search", json={"text": "a cat"})
    for _ in range(3):
        reply = client.post("/api/v1/search", json={"text": "a  cat", "in": "prompts"})
        assert reply.status_code == 200, reply.get_json()
    assert (searches(), hits()) == (3, 2)
    assert scrape(client).value("mirada_index_vectors", space=space, kind="prompt") == 0


def test_what_the_encoder_did_is_told_and_what_the_memory_spared_it(
    encoding: Runtime, encoder: CountingEncoder, client: FlaskClient
) -> None:
    space = encoder.space.name
    images = growth(client, "mirada_encoded_items_total", space=space, kind="images")
    texts = growth(client, "mirada_encoded_items_total", space=space, kind="texts")
    batches = growth(client, "mirada_encoder_batch_items_count", kind="texts")
    of_one = growth(client, "mirada_encoder_batch_items_bucket", kind="texts", le="1.0")
    up_to_16 = growth(client, "mirada_encoder_batch_items_bucket", kind="texts", le="16.0")
    busy = growth(client, "mirada_encoder_busy_seconds_total", kind="texts")
    lookups = {
        result: growth(
            client, "mirada_vector_cache_lookups_total", cache="queries", space=space, result=result
        )
        for result in ("hit", "miss")
    }
    for _ in range(3):
        client.post("/api/v1/search", json={"text": "a cat"})
    client.post("/api/v1/embeddings", json={"texts": [f"a cat and {n} dogs" for n in range(9)]})
    client.post("/api/v1/embeddings", data={"file": as_upload(picture(1))})
    assert (images(), texts()) == (encoder.images, len(encoder.texts)) == (1, 10)
    assert (batches(), of_one(), up_to_16()) == (2, 1, 2)
    assert busy() > 0
    assert {result: grown() for result, grown in lookups.items()} == {"hit": 2, "miss": 10}
    found = scrape(client)
    assert found.value("mirada_vector_cache_entries", cache="queries", space=space) == 10
    held = found.value("mirada_vector_cache_bytes", cache="queries", space=space)
    assert held is not None
    assert held > 10 * 4 * encoder.space.dimension
    assert found.value("mirada_encoder_waiting_items", space=space) == 0


def test_a_forgotten_query_and_a_failing_encoder_are_counted(
    encoding: Runtime,
    encoder: CountingEncoder,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(query_cache.QueryCache.__init__, "__defaults__", (2, 1_000_000))
    evictions = growth(client, "mirada_vector_cache_evictions_total", cache="queries")
    failures = growth(client, "mirada_encoder_failures_total", kind="texts")
    for number in range(5):
        client.post("/api/v1/search", json={"text": f"query {number}"})
    assert evictions() == 3

    def fail(_: Any) -> Any:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(encoder, "encode_texts", fail)
    assert client.post("/api/v1/search", json={"text": "another"}).status_code == 500
    assert failures() == 1


def test_a_cache_of_labels_is_told_too(client: FlaskClient) -> None:
    misses = growth(client, "mirada_vector_cache_lookups_total", cache="labels", result="miss")
    hits = growth(client, "mirada_vector_cache_lookups_total", cache="labels", result="hit")
    for _ in range(2):
        reply = client.post("/classify", data={"file": as_upload(picture(1)), "labels": "cat, dog"})
        assert reply.status_code == 200
    assert 2 <= misses() == hits()


def test_the_index_is_told_with_how_far_it_is_behind(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = Gallery(runtime, create_app(runtime).test_client())
    ids = [gallery.upload(degrees=degrees)["id"] for degrees in (5, 20, 50)]
    space = {"space": "image:test:v1:none"}
    found = scrape(gallery.client)
    assert found.value("mirada_index_vectors", kind="image", **space) == 3
    assert found.value("mirada_index_delta_vectors", **space) == 3
    assert found.value("mirada_index_change_seq", **space) == found["mirada_change_seq"] >= 3
    for what in ("timestamp_seconds", "recall_ratio", "ef_search"):
        value = found.value(f"mirada_index_snapshot_{what}", **space)
        assert value != value, what  # NaN

    began = time.time()
    index = runtime.index(gallery.space_id)
    index.rebuild(1, no_progress)
    index.refresh()
    gallery.client.delete(f"/api/v1/images/{ids[0]}?now=true")
    index.refresh()
    time.sleep(FRESH_S)
    found = scrape(gallery.client)
    assert found.value("mirada_index_vectors", **space) == 2
    assert found.value("mirada_index_dead_vectors", **space) == 1
    assert found.value("mirada_index_snapshot_recall_ratio", **space) == 1
    created = found.value("mirada_index_snapshot_timestamp_seconds", **space)
    assert created is not None
    assert began - 1 <= created <= time.time()

    monkeypatch.setattr(type(index), "refresh", lambda self: 0)
    with runtime.transaction() as session:
        changes.touch(session, [session.get_one(Image, ids[1]).content_id])
    time.sleep(FRESH_S)
    behind = scrape(gallery.client)
    served = behind.value("mirada_index_change_seq", **space)
    assert served is not None
    assert behind["mirada_change_seq"] - served == 1


def test_work_is_told_by_its_state(encoding: Runtime, client: FlaskClient) -> None:
    attempts = growth(
        client,
        "mirada_job_attempt_duration_seconds_count",
        kind=CREATE_EMBEDDINGS,
        outcome="done",
    )
    for seed in (1, 2):
        client.post("/api/v1/images", data={"file": as_upload(picture(seed))})
    time.sleep(FRESH_S)
    found = scrape(client)
    assert found.value("mirada_jobs", kind=CREATE_EMBEDDINGS, state="queued") == 2
    assert found.value("mirada_jobs", kind="rebuild_index", state="quarantined") == 0
    assert 0 < found["mirada_job_longest_wait_seconds"] < 600
    assert run_job(encoding, 1)
    assert run_job(encoding, 2)
    time.sleep(FRESH_S)
    found = scrape(client)
    assert found.value("mirada_jobs", kind=CREATE_EMBEDDINGS, state="queued") == 0
    assert found["mirada_job_longest_wait_seconds"] == 0
    assert attempts() == 2


def test_the_pool_of_connections_is_told(client: FlaskClient) -> None:
    found = scrape(client)
    assert found["mirada_database_connections_limit"] == 32
    assert found.value("mirada_database_connections", state="in_use") == 0
    idle = found.value("mirada_database_connections", state="idle")
    assert idle is not None
    assert idle >= 1


# What it keeps to itself.


def test_nothing_that_a_person_wrote_or_is_called_is_told(
    make_runtime: MakeRuntime, encoder: CountingEncoder
) -> None:
    runtime = with_encoder(make_runtime(auth_mode="keys"), encoder)
    client = create_app(runtime).test_client()
    with runtime.transaction() as session:
        user = users.create_user(session, "zzname", is_administrator=True)
        key = keys.issue(session, user, name="zzkeyname").key
    sent = {"Authorization": f"Bearer {key}"}
    replies = [
        client.post(
            "/api/v1/images",
            data={
                "file": as_upload(picture(1), "zzfile.png"),
                "prompt": "zzprompt",
                "caption": "zzcaption",
            },
            headers=sent | {"Idempotency-Key": "zzidempotent", "X-Request-ID": "zzrequest"},
        ),
        client.post("/api/v1/search", json={"text": "zzquery"}, headers=sent),
        client.post("/api/v1/embeddings", json={"texts": ["zztext"]}, headers=sent),
        client.post(
            "/classify",
            data={
                "file": as_upload(picture(2), "zzother.png"),
                "labels": "zzlabel, dog",
                "theme": "zztheme",
                "asset_id": "zzasset",
            },
            headers=sent,
        ),
        client.put("/api/v1/labels/zzdefault", json={"description": "zzwords"}, headers=sent),
        client.get("/api/v1/feedback/themes/zztheme", headers=sent),
    ]
    assert [reply.status_code for reply in replies] == [201, 200, 200, 200, 201, 200]
    assert run_job(runtime, 1)
    digest = replies[3].get_json()["image_hash"]
    for reply in (
        client.get("/zzpath?zzquery=zzvalue", headers=sent),
        client.open("/api/v1/images", method="ZZMETHOD", headers=sent),
        client.get("/static/zzstatic.png", headers=sent | {"User-Agent": "zzagent"}),
        client.get("/api/v1/images/123456789", headers=sent),
        client.post("/api/v1/images", data={"file": as_upload(b"zz", "zzbad")}, headers=sent),
        client.get("/api/v1/images", headers={"Authorization": "Bearer zzwrong"}),
    ):
        assert reply.status_code >= 400
    for accept in ("text/plain", "application/openmetrics-text"):
        text = scrape(client, Accept=accept, **sent).text
        assert "zz" not in text.lower()
        assert key[:12] not in text
        assert digest[:12] not in text
        assert "123456789" not in text


def test_labels_are_a_closed_list() -> None:
    allowed = {"method", "rule", "status", "query", "compared", "way", "verdict", "outcome"}
    allowed |= {"space", "kind", "cache", "result", "state", "form", "share"}
    for instrument in INSTRUMENTS._collector_to_names:
        assert set(instrument._labelnames) <= allowed  # type: ignore[attr-defined]


# Who may read it.


@pytest.fixture
def key_for(guarded: Gallery) -> Callable[..., dict[str, str]]:
    """Return a function from a user and scopes to the headers of a new key."""

    def make(name: str, *scopes: str, is_administrator: bool = False) -> dict[str, str]:
        with guarded.runtime.transaction() as session:
            user = users.create_user(session, name, is_administrator=is_administrator)
            new = keys.issue(session, user, scopes=checked_scopes(scopes or None))
        return {"Authorization": f"Bearer {new.key}"}

    return make


def test_operators_read_it_and_nobody_else(
    guarded: Gallery, key_for: Callable[..., dict[str, str]]
) -> None:
    client = guarded.client
    assert_problem(client.get("/metrics"), 401, "not_authenticated")
    wrong = client.get("/metrics", headers={"Authorization": "Bearer nonsense"})
    assert_problem(wrong, 401, "not_authenticated")
    assert_problem(client.get("/metrics", headers=key_for("ana")), 403, "not_allowed")
    assert_problem(client.get("/metrics", headers=key_for("rui", "read")), 403, "not_allowed")
    limited = key_for("eva", "read", is_administrator=True)
    assert_problem(client.get("/metrics", headers=limited), 403, "scope_missing")
    for headers in (key_for("root", is_administrator=True), key_for("prometheus", "metrics")):
        assert scrape(client, **headers)["mirada_database_up"] == 1


def test_an_open_server_tells_it_under_its_own_name_only(client: FlaskClient) -> None:
    reply = client.get("/metrics", headers={"Host": "rebound.example"})
    assert_problem(reply, 403, "not_allowed")


# While the database is down.


@contextmanager
def silent(port: int) -> Iterator[None]:
    """Accept connections on a port and never say a word, as a host behind a broken network does."""
    kept: list[socket.socket] = []
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        listener.settimeout(0.1)
        is_over = threading.Event()

        def accept() -> None:
            while not is_over.is_set():
                try:
                    kept.append(listener.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        yield
        is_over.set()
        thread.join()
        for connection in kept:
            connection.close()


@pytest.fixture
def away(mariadb: MariaDbServer, mariadb_url: str) -> Iterator[tuple[str, Proxy]]:
    """A database URL, and the proxy on its way that can be cut."""
    with proxied(mariadb.port) as proxy:
        yield mariadb_url.replace(f":{mariadb.port}/", f":{proxy.port}/"), proxy


def answer(client: FlaskClient, **headers: str) -> Any:
    watch = Stopwatch()
    response = client.get("/metrics", headers=headers)
    assert watch.seconds < ANSWERS_WITHIN_S
    return response


@pytest.mark.mariadb
@pytest.mark.parametrize("is_silent", [False, True], ids=["refuses", "silent"])
def test_without_its_database_a_server_tells_what_it_knows(
    make_runtime: MakeRuntime, away: tuple[str, Proxy], is_silent: bool
) -> None:
    url, proxy = away
    runtime = make_runtime(database_url=url, auth_mode="keys")
    gallery = Gallery(runtime, create_app(runtime).test_client())
    with runtime.transaction() as session:
        owner = users.create_user(session, "root", is_administrator=True)
        key, unused, gone = (keys.issue(session, owner) for _ in range(3))
    sent, used_before = ({"Authorization": f"Bearer {new.key}"} for new in (key, gone))
    gallery.upload(degrees=5, headers=sent)
    assert scrape(gallery.client, **sent)["mirada_database_up"] == 1
    assert answer(gallery.client, **used_before).status_code == 200
    with runtime.transaction() as session:
        keys.revoke(session, owner.id, gone.row.id)
    assert_problem(answer(gallery.client, **used_before), 401, "not_authenticated")
    time.sleep(FRESH_S)
    proxy.down()
    with silent(proxy.port) if is_silent else proxied(1, up=False):
        response = answer(gallery.client, **sent)
        assert response.status_code == 200, response.get_data(as_text=True)
        found = Scrape(response.get_data(as_text=True))
        assert found["mirada_database_up"] == 0
        assert found.value("mirada_jobs") is None
        assert found.value("mirada_change_seq") is None
        assert found.value("mirada_index_vectors", space="image:test:v1:none") == 1
        assert found["mirada_http_request_duration_seconds_count"] >= 1

        unknown = {"Authorization": f"Bearer {unused.key}"}
        for headers in (unknown, used_before):
            assert_problem(answer(gallery.client, **headers), 503, "unavailable")
        assert_problem(answer(gallery.client), 401, "not_authenticated")
        runtime.close()
    proxy.up()


@pytest.mark.mariadb
def test_a_server_that_was_started_without_its_database_tells_so(away: tuple[str, Proxy]) -> None:
    url, proxy = away
    proxy.down()
    runtime = Runtime(Settings.from_env(database_url=url, auth_mode="open"))
    client = create_app(runtime).test_client()
    response = answer(client)
    assert response.status_code == 200
    assert Scrape(response.get_data(as_text=True))["mirada_database_up"] == 0
    # Cookies know no ports: those of any other program on this machine come along.
    assert answer(client, Cookie="theirs=1").status_code == 200
    assert answer(client, Host="rebound.example").status_code == 403
    runtime.close()


# The page that lists what there is.


def test_every_metric_is_documented_and_nothing_else_is(runtime: Runtime) -> None:
    text = (PROJECT_ROOT / "docs" / "metrics.md").read_text()
    documented = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in re.findall(
            r"^\| `(mirada_\w+)` \| (\w+) \| ([^|]*)\|", text, re.MULTILINE
        )
    }
    families = [
        (family, instrument._labelnames)  # type: ignore[attr-defined]
        for instrument in INSTRUMENTS._collector_to_names
        for family in instrument.describe()  # type: ignore[attr-defined]
    ]
    families += [
        (family, family._labelnames) for family in DatabaseGauges(runtime, KINDS).describe()
    ]  # type: ignore[attr-defined]
    exported = {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, tuple(labels))
        for family, labels in families
    }
    assert documented == exported

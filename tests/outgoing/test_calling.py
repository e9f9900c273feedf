"""Calls of addresses that somebody else named end within their limits, and never lead inside."""

from __future__ import annotations

import gzip
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mirada.db.models import utc_now
from mirada.kernel.errors import AddressRefused, CallFailed, UnfitAnswer
from mirada.kernel.reach import IpAddress, Named
from mirada.outgoing.calling import Caller, Limits
from mirada.outgoing.connecting import NOT_PUBLIC, Rules
from testing.odd_servers import (
    OddServer,
    answering,
    dripping,
    dripping_headers,
    hanging,
    odd_server,
    without_end,
)
from testing.patience import PATIENCE_S, Stopwatch

LOOPBACK = ipaddress.ip_address("127.0.0.1")
OPEN = Rules(named=Named.read(["pictures.test", "other.test"]))
"""Two names that may be called wherever they lead; nothing else on loopback may."""


class Names:
    """A resolver that has an answer for each time that it is asked of a name, the last one for ever."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.asked: list[str] = []
        self._answers = {name.replace("_", "."): list(each) for name, each in answers.items()}

    def __call__(self, host: str, port: int) -> Sequence[IpAddress]:
        self.asked.append(host)
        answers = self._answers.get(host, [["127.0.0.1"]])
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ipaddress.ip_address(each) for each in found]


def caller(rules: Rules = OPEN, **more: object) -> Caller:
    given = {"resolver": Names(), "limits": Limits(total_s=PATIENCE_S, idle_s=PATIENCE_S), **more}
    return Caller(rules, **given)  # type: ignore[arg-type]


def fetched(client: Caller, url: str) -> bytes:
    with client.get(url) as answer:
        return b"".join(answer.chunks)


@pytest.fixture(scope="module")
def _server() -> Iterator[OddServer]:
    with odd_server() as server:
        yield server


@pytest.fixture
def server(_server: OddServer) -> OddServer:
    _server.heard.clear()
    return _server


def at(server: OddServer, path: str, host: str = "pictures.test") -> str:
    return server.url(path, host)


def test_a_picture_is_fetched_without_cookie_proxy_or_packing(
    server: OddServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.paths["/picture"] = answering(b"bytes", Set_Cookie="a=b")

    assert fetched(caller(), at(server, "/picture?size=1")) == b"bytes"

    (heard,) = server.heard
    assert heard.request.startswith("GET /picture?size=1 HTTP/1.1\r\n")
    assert heard.headers["host"] == f"pictures.test:{server.port}"
    assert heard.headers["accept-encoding"] == "identity"
    assert not {"cookie", "authorization", "referer"} & heard.headers.keys()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "localhost",
    ],
)
def test_this_machine_is_not_called_however_it_is_written(server: OddServer, host: str) -> None:
    server.paths["/secret"] = answering(b"secret")
    client = Caller(Rules(frozenset({server.port})))  # by the machine's own resolver

    with pytest.raises(AddressRefused) as caught:
        fetched(client, at(server, "/secret", host))

    assert caught.value.detail == NOT_PUBLIC
    assert server.heard == []


@pytest.mark.parametrize(
    "answers",
    [
        [],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
        ["::ffff:10.0.0.1"],
        ["64:ff9b::a00:1"],
    ],
)
def test_every_inner_address_and_every_unknown_name_answers_alike(
    server: OddServer, answers: list[str]
) -> None:
    client = caller(Rules(frozenset({server.port})), resolver=Names(inner_test=[answers]))

    with pytest.raises(AddressRefused) as caught:
        fetched(client, at(server, "/", "inner.test"))

    assert (caught.value.detail, server.heard) == (NOT_PUBLIC, [])


def test_the_machines_resolver_knows_no_name_that_is_none() -> None:
    with pytest.raises(AddressRefused) as caught:
        fetched(Caller(), "http://no-such-host.invalid/")
    assert caught.value.detail == NOT_PUBLIC


def test_other_ports_are_refused_whether_the_host_is_inner_or_not() -> None:
    details = set()
    for answers in (["8.8.8.8"], ["127.0.0.1"], []):
        client = caller(Rules(), resolver=Names(some_test=[answers]))
        with pytest.raises(AddressRefused) as caught:
            fetched(client, "http://some.test:6379/")
        details.add(caught.value.detail)
    assert details == {"Port 6379 is not called here, only 80, 443."}


def test_a_name_is_resolved_once_and_the_checked_address_called(server: OddServer) -> None:
    """The second answer leads inside; nobody asks for it."""
    server.paths["/picture"] = answering(b"bytes")
    rules = Rules(named=Named.read(["127.0.0.1"]))
    names = Names(rebinding_test=[["127.0.0.1"], ["127.0.0.2"]])
    client = caller(rules, resolver=names)

    assert fetched(client, at(server, "/picture", "rebinding.test")) == b"bytes"
    assert names.asked == ["rebinding.test"]
    # Asked a second time the name leads where nobody may go.
    with pytest.raises(AddressRefused):
        fetched(client, at(server, "/picture", "rebinding.test"))
    assert len(server.heard) == 1


def test_a_redirect_inside_is_refused_as_the_first_address_would_be(server: OddServer) -> None:
    server.paths["/secret"] = answering(b"secret")
    for there in (
        f"http://127.0.0.1:{server.port}/secret",
        f"http://[::1]:{server.port}/secret",
        f"http://inner.test:{server.port}/secret",
        f"//inner.test:{server.port}/secret",
    ):
        server.heard.clear()
        server.paths["/away"] = answering(status=302, Location=there)
        rules = Rules(frozenset({server.port}), OPEN.named)
        with pytest.raises(AddressRefused) as caught:
            fetched(caller(rules), at(server, "/away"))
        assert caught.value.detail == NOT_PUBLIC
        assert [heard.path for heard in server.heard] == ["/away"]


def test_each_redirect_is_resolved_and_checked_anew(server: OddServer) -> None:
    """The same name, public when it was first asked for, leads inside for the redirect."""
    server.paths["/again"] = answering(status=302, Location="/secret")
    server.paths["/secret"] = answering(b"secret")
    rules = Rules(frozenset({server.port}), Named.read(["127.0.0.1"]))
    names = Names(rebinding_test=[["127.0.0.1"], ["127.0.0.2"]])

    with pytest.raises(AddressRefused):
        fetched(caller(rules, resolver=names), at(server, "/again", "rebinding.test"))

    assert [heard.path for heard in server.heard] == ["/again"]


def test_a_few_redirects_are_followed_and_no_more(server: OddServer) -> None:
    server.paths["/end"] = answering(b"bytes")
    for number in range(4):
        there = f"/{number + 1}" if number < 3 else at(server, "/end", "other.test")
        server.paths[f"/{number}"] = answering(status=307, Location=there)

    assert fetched(caller(), at(server, "/1")) == b"bytes"
    with pytest.raises(AddressRefused, match="more than 3 times"):
        fetched(caller(), at(server, "/0"))
    server.paths["/round"] = answering(status=301, Location="/round")
    with pytest.raises(AddressRefused, match="more than 3 times"):
        fetched(caller(), at(server, "/round"))


def test_a_body_without_end_ends_at_the_limit(server: OddServer) -> None:
    server.paths["/endless"] = without_end
    client = caller(limits=Limits(total_s=PATIENCE_S, idle_s=PATIENCE_S, max_bytes=1_000_000))

    with pytest.raises(UnfitAnswer, match="more than 1,000,000 bytes"):
        fetched(client, at(server, "/endless"))


def test_a_length_that_is_too_large_is_refused_before_the_body(server: OddServer) -> None:
    server.paths["/large"] = lambda heard: heard.send(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n"
    )
    with pytest.raises((UnfitAnswer, CallFailed)):
        fetched(caller(), at(server, "/large"))


@pytest.mark.parametrize(("said", "sent"), [("10", b"bytes"), ("-1", b"bytes"), ("x", b"bytes")])
def test_a_length_that_is_a_lie_is_no_answer(server: OddServer, said: str, sent: bytes) -> None:
    server.paths["/lie"] = answering(sent, Content_Length=said)
    with pytest.raises(CallFailed, match="broke off, or does not speak HTTP"):
        fetched(caller(), at(server, "/lie"))


def test_more_bytes_than_were_said_are_not_read(server: OddServer) -> None:
    server.paths["/lie"] = answering(b"bytes and more", Content_Length="5")
    assert fetched(caller(), at(server, "/lie")) == b"bytes"


def test_what_is_packed_is_not_unpacked(server: OddServer) -> None:
    bomb = gzip.compress(b"\0" * 5_000_000)
    server.paths["/bomb"] = answering(bomb, Content_Encoding="gzip", Content_Type="image/png")
    with pytest.raises(UnfitAnswer, match="packed its answer"):
        fetched(caller(), at(server, "/bomb"))


@pytest.mark.parametrize("drips", [dripping, dripping_headers])
def test_a_drip_ends_with_the_whole_time(server: OddServer, drips: object) -> None:
    server.paths["/drip"] = drips  # type: ignore[assignment]
    watch = Stopwatch()
    client = caller(limits=Limits(total_s=0.3, idle_s=PATIENCE_S))

    with pytest.raises(CallFailed, match="too slow"):
        fetched(client, at(server, "/drip"))

    assert not watch.is_over(PATIENCE_S)


def test_silence_ends_before_the_whole_time(server: OddServer) -> None:
    server.paths["/silent"] = hanging
    watch = Stopwatch()
    client = caller(limits=Limits(total_s=10 * PATIENCE_S, idle_s=0.1))

    with pytest.raises(CallFailed, match="too slow"):
        fetched(client, at(server, "/silent"))

    assert not watch.is_over(PATIENCE_S)


def test_a_resolver_that_never_answers_is_not_waited_for() -> None:
    gone = threading.Event()

    def silent(host: str, port: int) -> Sequence[IpAddress]:
        gone.wait()
        return []

    client = caller(resolver=silent, limits=Limits(total_s=0.1, idle_s=0.1))
    with pytest.raises(CallFailed, match="could not be looked up in time"):
        fetched(client, "http://pictures.test/")
    gone.set()


def test_a_server_that_is_none_is_told_without_its_address(server: OddServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server.paths["/noise"] = lambda heard: heard.send(b"220 mail.inner.example ready\r\n\r\n")
    told = []
    for url in (f"http://pictures.test:{port}/", at(server, "/noise")):
        with pytest.raises(CallFailed) as caught:
            fetched(caller(), url)
        told.append(caught.value.detail)
    assert told == ["The server does not answer.", "The server broke off, or does not speak HTTP."]


def test_a_post_is_sent_whole_and_follows_no_redirect(server: OddServer) -> None:
    server.paths["/hook"] = answering(status=307, Location="/secret")

    with caller().post(at(server, "/hook"), b'{"a": 1}', {"webhook-id": "1"}) as answer:
        assert answer.status == 307

    (heard,) = server.heard
    assert (heard.body, heard.headers["webhook-id"]) == (b'{"a": 1}', "1")


def test_a_certificate_counts_for_the_name_that_was_asked_for(tmp_path: Path) -> None:
    served, trusted = certificate_of("pictures.test", tmp_path)
    with odd_server(served) as server:
        server.paths["/picture"] = answering(b"bytes")
        assert fetched(caller(tls=trusted), at(server, "/picture")) == b"bytes"
        for url, tls in (
            (at(server, "/picture", "other.test"), trusted),
            (at(server, "/picture"), ssl.create_default_context()),
        ):
            with pytest.raises(CallFailed, match="certificate is not valid"):
                fetched(caller(tls=tls), url)
        assert len(server.heard) == 1


def certificate_of(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the context of a server of that name, and one that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(utc_now() - timedelta(days=1))
        .not_valid_after(utc_now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(pem)
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(*files)
    return served, ssl.create_default_context(cadata=pem.decode())

"""One HTTP request to an address that somebody else named: no proxy, cookie or password goes with it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpcore2

from mirada.kernel.errors import AddressRefused, CallFailed, UnfitAnswer
from mirada.outgoing.connecting import (
    TOO_SLOW,
    CheckedBackend,
    Deadline,
    Resolver,
    Rules,
    addresses_of,
)
from mirada.outgoing.target import Target, redirected, target_of

AGENT = "Mirada"
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one call.

    Attributes:
        total_s: for everything, redirects and name look-ups included.
        idle_s: for each wait for the other side.
        max_bytes: of the body of an answer.
        redirects: that are followed.
    """

    total_s: float = 60.0
    idle_s: float = 10.0
    max_bytes: int = 1024 * 1024
    redirects: int = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, its body still to come.

    Attributes:
        status: of HTTP.
        headers: by their names in lower case; of several with one name the last.
        chunks: the body; raises CallFailed, and UnfitAnswer once it is too large.
    """

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls servers within rules and limits. Thread-safe.

    Attributes:
        rules: where requests may go.
        limits: of each call.
        resolver: the machine's own; tests have others.
        tls: checks certificates; None: by the machine's authorities.
    """

    rules: Rules = field(default_factory=Rules)
    limits: Limits = field(default_factory=Limits)
    resolver: Resolver = addresses_of
    tls: ssl.SSLContext | None = None

    @contextmanager
    def get(self, url: str, *, accept: str = "*/*") -> Iterator[Answer]:
        """Enter the answer to a GET, at the end of a few redirects, each checked as the first address.

        Raises:
            AddressRefused: an address may not be called.
            UnfitAnswer: the answer is packed, or its body too large.
            CallFailed: no answer, a broken one, or one that came too slowly.
        """
        deadline = Deadline(self.limits.total_s, self.limits.idle_s)
        target = target_of(url)
        for redirects_left in reversed(range(self.limits.redirects + 1)):
            with self._answer("GET", target, {"Accept": accept}, b"", deadline) as answer:
                location = answer.headers.get("location")
                if answer.status not in REDIRECTS or location is None:
                    yield answer
                    return
            if redirects_left:
                target = redirected(target, location)
        raise AddressRefused(
            f"The server redirects more than {self.limits.redirects} times; use the last address."
        )

    @contextmanager
    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Enter the answer to a POST, a redirect's too: none is followed. Raises as `get` does."""
        deadline = Deadline(self.limits.total_s, self.limits.idle_s)
        with self._answer("POST", target_of(url), headers, body, deadline) as answer:
            yield answer

    @contextmanager
    def _answer(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes,
        deadline: Deadline,
    ) -> Iterator[Answer]:
        connection = httpcore2.HTTPConnection(
            httpcore2.Origin(target.scheme.encode(), target.host.encode(), target.port),
            ssl_context=self.tls or ssl.create_default_context(),
            network_backend=CheckedBackend(self.rules, deadline, self.resolver),
        )
        sent = {
            "Host": target.authority,
            "User-Agent": AGENT,
            # What is not packed cannot grow when it is unpacked.
            "Accept-Encoding": "identity",
            "Connection": "close",
            **headers,
        }
        if method == "POST":
            sent["Content-Length"] = str(len(body))
        request = httpcore2.Request(
            method,
            httpcore2.URL(
                scheme=target.scheme.encode(),
                host=target.host.encode(),
                port=target.port,
                target=target.path.encode("ascii"),
            ),
            headers=[(name.encode("ascii"), value.encode("ascii")) for name, value in sent.items()],
            content=body,
        )
        try:
            with _told():
                response = connection.handle_request(request)
            yield self._read(response)
        finally:
            connection.close()

    def _read(self, response: httpcore2.Response) -> Answer:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in response.headers
        }
        return Answer(response.status, headers, self._body(response, headers))

    def _body(self, response: httpcore2.Response, headers: Mapping[str, str]) -> Iterator[bytes]:
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise UnfitAnswer("The server packed its answer, though it was asked not to.")
        most, size = self.limits.max_bytes, 0
        said = headers.get("content-length", "")
        if said.isdecimal() and int(said[:20]) > most:
            raise self._too_large()
        with _told():
            for chunk in response.iter_stream():
                size += len(chunk)
                if size > most:
                    raise self._too_large()
                yield chunk

    def _too_large(self) -> UnfitAnswer:
        return UnfitAnswer(
            f"The server sends more than {self.limits.max_bytes:,} bytes, the most that is taken."
        )


@contextmanager
def _told() -> Iterator[None]:
    """Tell errors of the network as ours, without an address of the network in them."""
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise CallFailed(TOO_SLOW) from error
    except httpcore2.ConnectError as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise CallFailed("The server's certificate is not valid for its name.") from error
        raise CallFailed("The server does not answer.") from error
    except (httpcore2.ProtocolError, httpcore2.NetworkError, ssl.SSLError, OSError) as error:
        raise CallFailed("The server broke off, or does not speak HTTP.") from error

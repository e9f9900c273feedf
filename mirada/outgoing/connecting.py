"""Connections to named hosts: the name is resolved once, checked, and the address that was checked called."""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpcore2

from mirada.kernel.errors import AddressRefused, CallFailed
from mirada.kernel.reach import IpAddress, Named, is_public

Resolver = Callable[[str, int], Sequence[IpAddress]]
"""Returns the addresses of a host for a port; none for a host that is not known. Raises OSError."""

NOT_PUBLIC = (
    "There is no public server at this address: its host is unknown, or part of an inner network."
)
"""One sentence for all of these, or whoever may ask could map the network that this server is in."""
TOO_SLOW = "The server was too slow."


@dataclass(frozen=True, slots=True)
class Rules:
    """Where requests may go.

    Attributes:
        ports: of public servers.
        named: what may be called although it is not public.
    """

    ports: frozenset[int] = frozenset({80, 443})
    named: Named = field(default_factory=Named)


class Deadline:
    """The end of a call, however many connections and pauses it has."""

    def __init__(self, total_s: float, idle_s: float) -> None:
        """Begin now.

        Args:
            total_s: for all of it.
            idle_s: for each wait for the other side.
        """
        self._end_s = time.monotonic() + total_s
        self._idle_s = idle_s

    def wait_s(self) -> float:
        """Return how long the next wait may take. Raises CallFailed once the time is over."""
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise CallFailed(TOO_SLOW)
        return min(left_s, self._idle_s)


def addresses_of(host: str, port: int) -> Sequence[IpAddress]:
    """Return the addresses that the machine's resolver knows of a host; none where it knows none.

    Raises:
        OSError: it cannot be asked.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise
        return []
    # A zone, which follows a "%", names a network card of this machine: its address is no public one.
    return [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]


class CheckedBackend(httpcore2.NetworkBackend):
    """The network of one call. The name in the certificate stays the host's."""

    def __init__(self, rules: Rules, deadline: Deadline, resolver: Resolver) -> None:
        """Let nothing through but what the rules permit."""
        self._rules = rules
        self._deadline = deadline
        self._resolver = resolver
        self._inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Return a connection to the first of a host's addresses that answers.

        Raises:
            AddressRefused: not all of its addresses may be called.
            CallFailed: none of them answers.
        """
        addresses = self._permitted(host, port)
        for address in addresses:
            try:
                stream = self._inner.connect_tcp(
                    str(address), port, self._deadline.wait_s(), None, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
            return _DeadlineStream(stream, self._deadline)
        raise CallFailed("The server does not answer.")

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.NetworkStream:
        """Raise AddressRefused: nothing of this machine's is called."""
        raise AddressRefused(NOT_PUBLIC)

    def sleep(self, seconds: float) -> None:
        """Wait. Not called: a request is sent once."""
        time.sleep(min(seconds, self._deadline.wait_s()))

    def _permitted(self, host: str, port: int) -> Sequence[IpAddress]:
        named, ports = self._rules.named, self._rules.ports
        addresses = self._resolved(host, port)
        if addresses and named.has(host, addresses):
            return addresses
        if port not in ports:
            raise AddressRefused(
                f"Port {port} is not called here, only {', '.join(map(str, sorted(ports)))}."
            )
        # One inner address among public ones is enough: it may be what the next answer is.
        if not addresses or not all(map(is_public, addresses)):
            raise AddressRefused(NOT_PUBLIC)
        return addresses

    def _resolved(self, host: str, port: int) -> Sequence[IpAddress]:
        """Return a host's addresses within the time that is left: the system's resolver sets no limit."""
        answers: queue.SimpleQueue[Sequence[IpAddress] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._resolver(host, port))
            except Exception as error:  # it is raised where it is waited for
                answers.put(error)

        threading.Thread(target=ask, name="resolving", daemon=True).start()
        try:
            answer = answers.get(timeout=self._deadline.wait_s())
        except queue.Empty:
            raise CallFailed("The name of the host could not be looked up in time.") from None
        if isinstance(answer, (OSError, UnicodeError)):
            raise CallFailed("The name of the host could not be looked up.") from answer
        if isinstance(answer, Exception):
            raise answer
        return answer


class _DeadlineStream(httpcore2.NetworkStream):
    """A connection of which each wait ends with the call: time-outs alone allow a slow drip."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.wait_s())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.wait_s())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._deadline.wait_s())
        return _DeadlineStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

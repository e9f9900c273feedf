"""Addresses of the web as people write them, taken apart once: what is called is what was checked."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

import idna

from mirada.kernel.errors import AddressRefused

MAX_URL_CHARS = 2_000
PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_KEPT = "/%:@!$&'()*+,;=~-._?[]"


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of an address.

    Attributes:
        scheme: http or https.
        host: a name in ASCII and lower case, or an address without brackets.
        port: 1 to 65535.
        path: with its query, percent-encoded.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The host, in brackets where it has to be, with its port where that is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole address."""
        return f"{self.scheme}://{self.authority}{self.path}"


def target_of(written: str) -> Target:
    """Return an address in its parts. Raises AddressRefused with what is wrong with it."""
    if len(written) > MAX_URL_CHARS:
        raise AddressRefused(f"The address has more than {MAX_URL_CHARS} characters.")
    if any(each.isspace() or not each.isprintable() or each == "\\" for each in written):
        # Programs disagree on what these mean in an address.
        raise AddressRefused("The address has a blank, a control character or a backslash in it.")
    try:
        parts = urlsplit(written)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise AddressRefused("The address cannot be read: look at its host and port.") from error
    if parts.scheme not in PORTS or not host:
        raise AddressRefused("The address must begin with https:// or http:// and name a host.")
    if "@" in parts.netloc:
        raise AddressRefused("The address has a name or a password in it; leave them out.")
    if port == 0:
        raise AddressRefused("The address names port 0, which no server has.")
    path = quote(parts.path or "/", safe=_KEPT) + (
        f"?{quote(parts.query, safe=_KEPT)}" if parts.query else ""
    )
    return Target(parts.scheme, _host(host), port or PORTS[parts.scheme], path)


def redirected(target: Target, location: str) -> Target:
    """Return where a redirect of a target leads to. Raises AddressRefused as `target_of` does."""
    there = target_of(urljoin(target.url, location))
    if (target.scheme, there.scheme) == ("https", "http"):
        raise AddressRefused(
            "The server redirects from https:// to http://, which is not followed."
        )
    return there


def _host(written: str) -> str:
    if ":" in written:
        try:
            # A zone names a network card of this machine.
            written, zone, _ = written.partition("%")
            if zone:
                raise ValueError(written)
            return str(ipaddress.IPv6Address(written))
        except ValueError as error:
            raise AddressRefused("The address names a host that is no IPv6 address.") from error
    host = written.rstrip(".").lower()
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise AddressRefused("The address names a host that cannot exist.") from error
    if not _HOST.fullmatch(host):
        raise AddressRefused("The address names a host that cannot exist.")
    return host

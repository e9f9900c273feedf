"""Addresses of the network that a request may go to: public ones, and what the operator names beside."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
"""All that is given out for the public internet; NAT64, mapped and local addresses lie outside."""
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(each)
    for each in (
        # IANA's registries of special addresses. Python's own list follows its version.
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        # IPv6 within 2000::/3: protocols and Teredo, documentation, and 6to4, which has an IPv4
        # address of any kind inside.
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)


def is_public(address: IpAddress) -> bool:
    """Return whether an address belongs to the public internet, whatever way it is written."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_V6:
        return False
    if any(address in network for network in _NOT_PUBLIC if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast


@dataclass(frozen=True, slots=True)
class Named:
    """Hosts and networks that may be called by any port although they are not public.

    Attributes:
        hosts: names of hosts, in lower case, whatever address they have.
        networks: of addresses.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[IpNetwork, ...] = ()

    @classmethod
    def read(cls, written: Iterable[str]) -> Self:
        """Return what names, addresses and networks ("10.1.0.0/16") mean. Raises ValueError."""
        hosts, networks = set(), []
        for each in written:
            try:
                networks.append(ipaddress.ip_network(each.strip("[]")))
            except ValueError as error:
                if "/" in each or ":" in each or not each.strip("."):
                    raise ValueError(
                        f"'{each}' is neither a host, an address nor a network such as 10.1.0.0/16"
                    ) from error
                hosts.add(each.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def has(self, host: str, addresses: Iterable[IpAddress]) -> bool:
        """Return whether a host with these addresses is meant: by its name, or by each of them."""
        return host in self.hosts or all(
            any(
                address in network
                for network in self.networks
                if network.version == address.version
            )
            for address in addresses
        )

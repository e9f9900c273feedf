"""Which addresses are public, and what an operator names beside them."""

from __future__ import annotations

import ipaddress

import pytest

from mirada.kernel.reach import Named, is_public

INNER = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.8.8.8",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "223.255.255.1", "2606:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("address", INNER)
def test_whatever_is_not_of_the_public_internet_is_inner(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_a_host_is_named_by_its_name_or_by_all_of_its_addresses() -> None:
    named = Named.read(["nas.home.", "10.1.0.0/16", "[::1]"])
    inside, beside = ipaddress.ip_address("10.1.2.3"), ipaddress.ip_address("10.2.0.1")

    assert named.has("nas.home", [beside])
    assert named.has("other", [inside, ipaddress.ip_address("::1")])
    assert not named.has("other", [inside, beside])
    assert not named.has("sub.nas.home", [beside])
    assert not Named().has("other", [inside])


@pytest.mark.parametrize("written", ["10.1.0.0/33", "http://nas", "nas:80", "10.0.0.1/8"])
def test_a_network_that_is_none_is_told(written: str) -> None:
    with pytest.raises(ValueError, match="neither a host, an address nor a network"):
        Named.read([written])

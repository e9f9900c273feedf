"""An address is taken apart once, and what is odd about it is refused."""

from __future__ import annotations

import pytest

from mirada.kernel.errors import AddressRefused
from mirada.outgoing.target import redirected, target_of


@pytest.mark.parametrize(
    ("written", "url"),
    [
        (
            "HTTPS://Pictures.Example/a b.png".replace(" ", "%20"),
            "https://pictures.example/a%20b.png",
        ),
        ("http://pictures.example", "http://pictures.example/"),
        ("http://pictures.example.:80/x?y=1#z", "http://pictures.example/x?y=1"),
        ("https://bücher.example/ä.png", "https://xn--bcher-kva.example/%C3%A4.png"),
        ("https://[2606:4700::1111]:8443/x", "https://[2606:4700::1111]:8443/x"),
        ("http://1.1.1.1/?q=é", "http://1.1.1.1/?q=%C3%A9"),
    ],
)
def test_an_address_is_read(written: str, url: str) -> None:
    assert target_of(written).url == url
    # What is called is what was checked, however often it is read.
    assert target_of(url).url == url


@pytest.mark.parametrize(
    "written",
    [
        "",
        "pictures.example/a.png",
        "//pictures.example/a.png",
        "ftp://pictures.example/a.png",
        "file:///etc/passwd",
        "gopher://pictures.example/",
        "data:image/png;base64,AAAA",
        "http://",
        "http:///a.png",
        "http://ana:secret@pictures.example/",
        "http://ana@pictures.example/",
        "http://pictures.example@127.0.0.1/",
        "http://pictures.example\\@127.0.0.1/",
        "http://pictures.example/a\r\nHost: inner",
        "http://pictures.example/a b",
        "http://pict\tures.example/",
        "http://pictures.example:0/",
        "http://pictures.example:65536/",
        "http://pictures.example:eighty/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://[not-v6]/",
        "http://-/",
        "http://a..b\u3002/",
        "http://%31%32%37.0.0.1/",
        "http://" + "a" * 2000,
    ],
)
def test_an_odd_address_is_refused_in_words(written: str) -> None:
    with pytest.raises(AddressRefused) as caught:
        target_of(written)
    assert caught.value.detail.startswith("The address ")


def test_a_redirect_is_read_from_where_it_stands_and_never_leaves_tls() -> None:
    here = target_of("https://pictures.example/a/b.png")

    assert redirected(here, "../c.png").url == "https://pictures.example/c.png"
    assert redirected(here, "https://other.example/").url == "https://other.example/"
    with pytest.raises(AddressRefused, match="from https:// to http://"):
        redirected(here, "http://pictures.example/a.png")
    with pytest.raises(AddressRefused):
        redirected(here, "file:///etc/passwd")

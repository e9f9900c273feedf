"""Bodies in parts: what is read is what Werkzeug's own decoder reads, wherever the body is cut."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from werkzeug.sansio.multipart import MultipartDecoder, NeedData

from webapp.http import multipart

BOUNDARIES = (b"b", b"-", b"--", b"----WebKitFormBoundaryA1", b"a.+(b)", b"0123456789" * 7)
PIECES = (b"\r\n", b"\n", b"\r", b" ", b"\t", b"-", b"--", b"x", b"\r\n\r\n", b"\x0b")


def events(decoder: MultipartDecoder, pieces: list[bytes]) -> list[object]:
    """Return what a decoder tells of a body, or the kind of its error."""
    told: list[object] = []
    try:
        for piece in [*pieces, None]:
            decoder.receive_data(piece)
            while not isinstance(event := decoder.next_event(), NeedData):
                told.append(event)
                if type(event).__name__ == "Epilogue":
                    return told
    except (ValueError, AttributeError) as error:
        told.append(type(error))
    return told


def body_of(rng: random.Random, boundary: bytes) -> bytes:
    """Return a body, mostly whole, with boundaries and halves of them where none belong."""
    head = b'Content-Disposition: form-data; name="a"; filename="b"\r\n'
    near = (b"--" + boundary, b"\r\n--" + boundary, b"\r\n--" + boundary[:-1], boundary)
    parts = [b"".join(rng.choices(PIECES + near, k=rng.randrange(6)))]
    for _ in range(rng.randrange(3)):
        content = b"".join(rng.choices(PIECES + near, k=rng.randrange(8)))
        parts.append(b"\r\n--" + boundary + rng.choice((b"\r\n", b" \n")) + head)
        parts.append(b"\r\n" + content)
    return b"".join(parts) + b"\r\n--" + boundary + rng.choice((b"--", b"--\r\n", b"-- \t\n", b"-"))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_every_body_is_read_as_by_werkzeug(boundary: bytes) -> None:
    rng = random.Random(len(boundary))
    for _ in range(150):
        body = body_of(rng, boundary)
        cuts = sorted(rng.randrange(len(body) + 1) for _ in range(rng.randrange(5)))
        edges = [0, *cuts, len(body)]
        pieces = [body[a:b] for a, b in pairwise(edges)]
        assert events(multipart.decoder(boundary), pieces) == events(
            MultipartDecoder(boundary), pieces
        ), (body, cuts)


def test_limits_are_those_of_the_decoder_and_no_two_share_anything() -> None:
    first = multipart.decoder(b"a", 10, max_parts=3)
    second = multipart.decoder(b"b")
    assert (first.max_form_memory_size, first.max_parts) == (10, 3)
    first.receive_data(b"12345")
    assert (bytes(second.buffer), second.max_parts) == (b"", None)
    own = MultipartDecoder(b"b")
    assert vars(own).keys() == vars(second).keys()
    assert {key for key, value in vars(own).items() if value != vars(second)[key]} == {
        "preamble_re",
        "boundary_re",
    }


def test_no_pattern_is_compiled_for_a_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a pattern was compiled")

    monkeypatch.setattr("werkzeug.sansio.multipart.re.compile", refuse)
    multipart.decoder(b"another")

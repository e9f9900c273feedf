"""A request on its way in: where it ends, what is refused, and deadlines that nothing stretches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from webapp.front.bodies import IN_MEMORY_BYTES, Budget
from webapp.front.head import MAX_HEAD_BYTES
from webapp.front.receiving import BODY_GRACE_S, HEAD_WITHIN_S, MOST_AHEAD_S, Receiving
from webapp.front.refused import Refused

LIMIT = 200_000
POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


_open: list[Receiving] = []


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def receiving(budget: Budget | None = None) -> Receiving:
    request = Receiving(lambda _content_type: LIMIT, budget or Budget(), 0.0, 5.0)
    _open.append(request)
    return request


def received(*pieces: bytes) -> Receiving:
    request = receiving()
    for piece in pieces:
        request.feed(piece, 0.0)
    return request


def whole(request: Receiving) -> bytes:
    """Return the request as Gunicorn's parser will read it."""
    assert request.is_whole
    source = request.source()
    return b"".join(iter(lambda: source.recv(8192), b""))


def test_a_request_is_whole_with_its_last_byte_and_keeps_what_follows() -> None:
    sent = POST + b"Content-Length: 3\r\n\r\nabc"
    for cut in range(1, len(sent)):
        request = received(sent[:cut])
        assert not request.is_whole
        request.feed(sent[cut:] + b"GET /next", 0.0)
        assert (whole(request), request.leftover) == (sent, b"GET /next")


def test_a_body_shorter_than_its_length_never_becomes_a_request() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    body = b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--b--\r\n"
    request = received(head + b"Content-Length: %d\r\n\r\n" % (len(body) + 1) + body)
    assert not request.is_whole


def test_chunks_are_put_together_wherever_they_are_cut() -> None:
    body = b"3;name=v\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
    for cut in range(len(body)):
        request = received(CHUNKED + body[:cut], body[cut:] + b"GET /next")
        head, _, text = whole(request).partition(b"\r\n\r\n")
        assert (text, request.leftover) == (b"abc0123456789", b"GET /next")
        assert b"\r\nContent-Length: 13" in head
        assert b"chunked" not in head


@pytest.mark.parametrize(
    "body",
    [
        b"ZZ\r\nabc\r\n",
        b"\r\n",
        b"-1\r\na\r\n",
        b"3\nabc\r\n",
        b"3\r\nabcdef\r\n",
        b"3" * 300,
        b"123456789\r\n",
        b"3 x\r\nabc\r\n",
        b"0\r\n" + b"a" * 9000,
        b"1\r\na\r\n" * 100_000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_malformed_chunks_are_400(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        received(CHUNKED + body)
    assert refused.value.status == 400
    assert "chunked" in refused.value.detail


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked",
        b"Content-Length: 3\r\nContent-Length: 4",
        b"Content-Length: +3",
        b"Content-Length: 3, 3",
        b"Content-Length: " + "٣".encode(),
        b"Content-Length: " + b"9" * 30,
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ],
)
def test_what_follows_a_head_of_doubtful_length_is_never_a_request(framing: bytes) -> None:
    request = received(POST + framing + b"\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n")
    assert request.is_cut
    assert (whole(request), request.leftover) == (POST + framing + b"\r\n\r\n", b"")


def test_a_body_over_its_limit_is_not_received() -> None:
    said = received(POST + b"Content-Length: %d\r\n\r\nabc" % (LIMIT + 1))
    assert (said.is_cut, whole(said)[-4:]) == (True, b"\r\n\r\n")
    in_chunks = received(CHUNKED + b"%x\r\n" % (LIMIT * 9) + b"a" * (LIMIT * 2))
    assert in_chunks.is_cut
    assert b"Content-Length: %d\r\n" % (LIMIT + 1) in whole(in_chunks)


def test_a_large_body_lies_in_a_file_without_a_name_and_leaves_nothing(tmp_path: Path) -> None:
    budget = Budget(tmp_path, most_bytes=LIMIT)
    body = b"0123456789" * 15_000
    assert len(body) > IN_MEMORY_BYTES
    request = receiving(budget)
    request.feed(POST + b"Content-Length: %d\r\n\r\n" % len(body), 0.0)
    for at in range(0, len(body), 30_000):
        request.feed(body[at : at + 30_000], 0.0)
    assert whole(request).endswith(body)
    assert list(tmp_path.iterdir()) == []

    second = receiving(budget)
    second.feed(POST + b"Content-Length: %d\r\n\r\n" % len(body), 0.0)
    with pytest.raises(Refused) as refused:
        second.feed(body, 0.0)
    assert refused.value.status == 503
    request.close()
    second.close()
    budget.take(LIMIT)


def test_a_head_has_ten_seconds_however_it_drips() -> None:
    request = receiving()
    assert not request.is_late(4.9)
    assert request.is_late(5.1)
    for second in range(3, 3 + int(HEAD_WITHIN_S)):
        request.feed(b"G", float(second))
        assert not request.is_late(second + 0.9)
    request.feed(b"G", 3 + HEAD_WITHIN_S)
    assert request.is_late(3.1 + HEAD_WITHIN_S)


@pytest.mark.parametrize("framing", [b"Content-Length: 99999", b"Transfer-Encoding: chunked"])
def test_a_body_at_a_byte_a_second_is_late_and_one_at_a_fair_rate_is_not(framing: bytes) -> None:
    for rate, is_late in ((1, True), (600, False)):
        request = received(POST + framing + b"\r\n\r\n")
        is_chunked = framing.startswith(b"T")
        for second in range(30):
            piece = b"x" * rate
            request.feed(b"%x\r\n%s\r\n" % (rate, piece) if is_chunked else piece, float(second))
        assert request.is_late(BODY_GRACE_S + 1) is is_late or rate > 1
        assert request.is_late(29.5) is is_late


@pytest.mark.parametrize("framing", [b"Content-Length: 199999", b"Transfer-Encoding: chunked"])
def test_a_body_that_came_fast_is_not_held_for_its_last_byte(framing: bytes) -> None:
    begun = b"x" * 150_000
    if framing.startswith(b"T"):
        begun = b"%x\r\n%s\r\n" % (len(begun), begun)
    request = received(POST + framing + b"\r\n\r\n", begun)
    assert not request.is_late(MOST_AHEAD_S - 1)
    assert request.is_late(MOST_AHEAD_S + 1)
    # Nor does a byte now and then hold it.
    drip = b"1\r\nx\r\n" if framing.startswith(b"T") else b"x"
    for second in range(1, int(MOST_AHEAD_S), 5):
        request.feed(drip, float(second))
    assert request.is_late(MOST_AHEAD_S + 1)


def test_a_head_without_end_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        received(POST + b"a: " + b"b" * MAX_HEAD_BYTES)
    assert refused.value.status == 431


def test_lines_that_end_with_lf_alone_are_passed_on_for_the_parser_to_refuse() -> None:
    assert whole(received(b"GET / HTTP/1.1\nHost: a\n")).startswith(b"GET / HTTP/1.1\nHost: a\n")


def test_one_empty_line_may_precede_a_request() -> None:
    assert whole(received(b"\r\nGET / HTTP/1.1\r\n\r\n")) == b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize(("version", "said"), [(b"1.1", True), (b"1.0", False)])
def test_only_a_client_that_knows_it_is_told_to_go_on(version: bytes, said: bool) -> None:
    head = POST.replace(b"1.1", version) + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    request = received(head)
    assert bool(request.continuation()) is said
    request.feed(b"abc", 0.0)
    assert request.is_whole

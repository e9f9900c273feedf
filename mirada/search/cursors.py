"""Cursors of a search's further pages: sealed, so that who was given one can neither read nor change it.

Nobody but the caller whom it was given to can use one, and what is wrong with another is not told.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import secrets
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirada.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEPT_FOR_S = 600
"""How long a cursor can be used: from the first page on for the second page's, and for all others from when
the rest was ranked."""
MAX_CURSOR_CHARS = 1_000
"""Longest cursor that is given out. It stands in a Link header as well, and proxies refuse replies whose
headers take more than 4 KiB."""
TICKET_BYTES = 12
KEY_LASTS_S = 3_600
_VERSION = 2
_OPEN = struct.Struct(">BI12s")
"""What is not hidden: the version, the time in Unix seconds, and the nonce."""
_COMMON = struct.Struct(">BHQ")
_KEPT = struct.Struct(">QIH")
_TAG_BYTES = 16
_WITH_QUESTION, _ASKED_BEFORE, _OF_RANKING = range(3)


@dataclass(frozen=True, slots=True)
class Unranked:
    """The place after a first page: the rest is ranked when somebody asks for it.

    Attributes:
        question: what is searched for, as bytes; None where it is kept under the ticket.
        shown: ids of the images of the first page, which no later page shows again; with a question.
    """

    question: bytes | None = None
    shown: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class InRanking:
    """A place in a ranking that is kept.

    Attributes:
        row_id: of the ranking.
        position: of the page's first hit, from 0.
        hit_bytes: size of a hit in it.
    """

    row_id: int
    position: int
    hit_bytes: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins, as its cursor says.

    Attributes:
        place: where.
        limit: results of the page before, and of this one unless the client asks for another number.
        made_at_s: when the first page was given, or the ranking made, in Unix seconds.
        ticket: 12 random bytes, the name of the first page's search.
        space_id: the image space that was in use; 0 where none was known.
    """

    place: Unranked | InRanking
    limit: int
    made_at_s: int
    ticket: bytes
    space_id: int = 0


def new_ticket() -> bytes:
    """Return a ticket that nobody guesses."""
    return secrets.token_bytes(TICKET_BYTES)


def now_s() -> int:
    """Return this process's clock in Unix seconds."""
    return int(time.time())


def seal(cursor: Cursor, caller: str, secret: str) -> str:
    """Return a cursor as a client is given it.

    Args:
        cursor: where a page begins.
        caller: who may use it, as text.
        secret: of the installation.
    """
    opened = _OPEN.pack(_VERSION, cursor.made_at_s, cursor.ticket)
    key = _key(secret, cursor.made_at_s // KEY_LASTS_S)
    sealed = key.encrypt(cursor.ticket, _plain(cursor), opened + caller.encode())
    return base64.urlsafe_b64encode(opened + sealed).decode().rstrip("=")


def unseal(text: str, caller: str, secret: str) -> Cursor:
    """Return what a cursor says.

    Raises:
        InvalidInput: no search gave it to this caller. Whether it was given to another one is not told.
    """
    from cryptography.exceptions import InvalidTag

    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, made_at_s, ticket = _OPEN.unpack(raw[: _OPEN.size])
        if version != _VERSION or len(text) > MAX_CURSOR_CHARS:
            raise ValueError(version)
        key = _key(secret, made_at_s // KEY_LASTS_S)
        plain = key.decrypt(ticket, raw[_OPEN.size :], raw[: _OPEN.size] + caller.encode())
    except (binascii.Error, ValueError, struct.error, InvalidTag) as error:
        raise InvalidInput(
            "This cursor is none that a search gave you; search again without one.",
            fields={"cursor": ["Take it from `next` of the page before, and send the same key."]},
        ) from error
    return _cursor(plain, made_at_s, ticket)


@functools.lru_cache(maxsize=4)
def _key(secret: str, hour: int) -> AESGCM:
    """Return the key of an hour: so no key seals so many cursors that two random nonces meet.

    Source: NIST SP 800-38D, section 8.3: at most 2^32 with random nonces.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    made_of = f"pages of a search, {hour}".encode()
    return AESGCM(hmac.new(secret.encode(), made_of, hashlib.sha256).digest())


def _plain(cursor: Cursor) -> bytes:
    place = cursor.place
    if isinstance(place, InRanking):
        kind, more = _OF_RANKING, _KEPT.pack(place.row_id, place.position, place.hit_bytes)
    elif place.question is None:
        kind, more = _ASKED_BEFORE, b""
    else:
        kind, more = _WITH_QUESTION, packed_ids(place.shown) + place.question
    return _COMMON.pack(kind, cursor.limit, cursor.space_id) + more


def _cursor(plain: bytes, made_at_s: int, ticket: bytes) -> Cursor:
    kind, limit, space_id = _COMMON.unpack(plain[: _COMMON.size])
    more = plain[_COMMON.size :]
    place: Unranked | InRanking = Unranked()
    if kind == _OF_RANKING:
        place = InRanking(*_KEPT.unpack(more))
    elif kind == _WITH_QUESTION:
        shown, question = unpacked_ids(more)
        place = Unranked(question, shown)
    return Cursor(place, limit, made_at_s, ticket, space_id)


def packed_ids(ids: Sequence[int]) -> bytes:
    """Return ids in few bytes: their number, then each one's distance from the one before, ascending.

    Source: LEB128, as in DWARF 5, section 7.6: seven bits to a byte, the lowest first.
    """
    packed, before = bytearray(), 0
    for number in (len(ids), *sorted(ids)):
        rest = number - before
        before = number if packed else 0
        while rest > 0x7F:
            packed.append(rest & 0x7F | 0x80)
            rest >>= 7
        packed.append(rest)
    return bytes(packed)


def unpacked_ids(packed: bytes) -> tuple[list[int], bytes]:
    """Return the ids of `packed_ids`, ascending, and the bytes behind them."""
    numbers: list[int] = []
    value = shift = place = 0
    while not numbers or len(numbers) <= numbers[0]:
        byte = packed[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            is_distance = len(numbers) > 1
            numbers.append(value + numbers[-1] if is_distance else value)
            value = shift = 0
    return numbers[1:], packed[place:]


def longest_content(ids: Sequence[int]) -> int:
    """Return how many bytes a question may have to be in a cursor beside these ids."""
    around = _OPEN.size + _COMMON.size + _TAG_BYTES
    return MAX_CURSOR_CHARS * 3 // 4 - around - len(packed_ids(ids))

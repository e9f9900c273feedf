"""Tokens in the addresses of pictures, and signatures that let anybody fetch one until a time."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

TOKEN_BYTES = 16
TOKEN_CHARS = 2 * TOKEN_BYTES
PATTERN = re.compile(rf"[0-9a-f]{{{TOKEN_CHARS}}}")
"""Lower case alone: some databases compare texts without regard to case."""
_PURPOSE = b"address of a picture:"
_SIGNATURE_CHARS = 32


def new_token() -> str:
    """Return a token that nobody guesses: 128 random bits as 32 hex digits."""
    return secrets.token_hex(TOKEN_BYTES)


def is_token(text: str) -> bool:
    """Return whether a text is of a token's form."""
    return PATTERN.fullmatch(text) is not None


def signature_of(token: str, until_s: int, secret: str) -> str:
    """Return the signature of a token and the end of its address, 32 hex digits.

    Args:
        token: of the picture.
        until_s: when the address ends, in Unix seconds.
        secret: of the installation.
    """
    signed = _PURPOSE + f"{token}:{until_s}".encode()
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()[:_SIGNATURE_CHARS]


def is_signed(signature: str, token: str, until_s: int, secret: str) -> bool:
    """Return whether a signature is that of this token and this end, however late it is by now."""
    expected = signature_of(token, until_s, secret)
    return hmac.compare_digest(signature.encode(), expected.encode())


def end_of_link(now_s: int, ttl_s: int) -> int:
    """Return the end of an address made now, in Unix seconds: ttl_s to 1.25 ttl_s away.

    Ends come in steps, so that an address made again soon is the same one, and a browser that has the
    picture does not ask for it.
    """
    step_s = max(1, ttl_s // 4)
    return (now_s + ttl_s) // step_s * step_s + step_s

"""JWTs as a host product would make them, put together by hand: what is wrong can be anything."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

SECRET = "a secret of the product, long enough"


def encoded(part: bytes) -> str:
    """Return bytes in base64url without padding (RFC 7515, section 2)."""
    return urlsafe_b64encode(part).rstrip(b"=").decode()


def token(
    sub: object = "ana@product",
    *,
    secret: str = SECRET,
    header: Mapping[str, Any] | None = None,
    lasts_s: float = 300,
    **claims: Any,
) -> str:
    """Return a token signed with HMAC-SHA256, whatever its header says; a claim of None is left out."""
    head = {"typ": "JWT", "alg": "HS256"} | dict(header or {})
    body = {"sub": sub, "exp": int(time.time() + lasts_s)} | claims
    body = {name: value for name, value in body.items() if value is not None}
    return signed(json.dumps(head).encode(), json.dumps(body).encode(), secret)


def signed(head: bytes, body: bytes, secret: str = SECRET) -> str:
    """Return header and claims, any bytes, signed with HMAC-SHA256."""
    message = f"{encoded(head)}.{encoded(body)}"
    digest = hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest()
    return f"{message}.{encoded(digest)}"


def bearing(sent: str) -> dict[str, str]:
    """Return the header that sends a key or a token."""
    return {"Authorization": f"Bearer {sent}"}

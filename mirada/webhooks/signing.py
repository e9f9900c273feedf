"""Secrets of webhooks, and signatures in the form of Standard Webhooks (standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """Return "whsec_" and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(
    message_id: str, at_s: int, body: bytes, signers: Iterable[str]
) -> dict[str, str]:
    """Return the headers that say who sent a body and when, signed with each secret.

    Args:
        message_id: the same for every attempt.
        at_s: now, Unix seconds.
        body: as it is sent.
        signers: secrets, the newest first; a receiver takes whichever it knows.
    """
    signed = f"{message_id}.{at_s}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{_signature(each, signed)}" for each in signers),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()

"""The public keys that a product signs its tokens with, read from a JWK Set (RFC 7517)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_FILE_BYTES = 64 * 1024
MAX_KEYS = 50
"""Of one file; chosen here, far beyond what a product rotates through."""
LEAST_RSA_BITS = 2048
"""RFC 7518, section 3.3."""
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key that tokens are verified with.

    Attributes:
        kid: its name in the header of tokens; None for none.
        algorithm: the only one that a token signed with it may have, such as "RS256".
        key: as PyJWT takes it.
    """

    kid: str | None
    algorithm: str
    key: Any


def read_key_set(path: Path) -> tuple[TokenKey, ...]:
    """Return the signing keys of a JWK Set; those for encryption are left out.

    Raises:
        ValueError: the file cannot be read, holds a secret key, or a key that cannot be used.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"{path} has more than {MAX_FILE_BYTES} bytes")
    try:
        listed = json.loads(content)["keys"]
        given = [dict(each) for each in listed]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f'{path} is no JWK Set: expected {{"keys": [...]}}') from error
    keys = [_key(each) for each in given[:MAX_KEYS] if each.get("use", "sig") == "sig"]
    if not keys or len(given) > MAX_KEYS:
        raise ValueError(f"{path} holds {len(given)} keys: expected 1 to {MAX_KEYS} for signatures")
    names = {key.kid for key in keys}
    if len(keys) > 1 and (None in names or len(names) < len(keys)):
        raise ValueError(f"{path} holds several keys, so each needs a 'kid' of its own")
    return tuple(keys)


def _key(jwk: Mapping[str, Any]) -> TokenKey:
    import jwt

    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise ValueError("the 'kid' of a key is no text")
    called = f"the key {kid!r}" if kid else "a key"
    if jwk.get("kty") == "oct" or "d" in jwk:
        raise ValueError(
            f"{called} is secret: a JWKS file holds public keys alone (JWT_SECRET is for HS256)"
        )
    algorithm = _algorithm_of(jwk, called)
    try:
        key = jwt.PyJWK(dict(jwk), algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{called} cannot be read: {error}") from error
    if jwk["kty"] == "RSA" and key.key_size < LEAST_RSA_BITS:
        raise ValueError(f"{called} has {key.key_size} bits: RSA needs {LEAST_RSA_BITS}")
    return TokenKey(kid, algorithm, key)


def _algorithm_of(jwk: Mapping[str, Any], called: str) -> str:
    """Return the one algorithm of a key: what it names, if that goes with its kind, else the usual one."""
    kind, curve, named = jwk.get("kty"), jwk.get("crv"), jwk.get("alg")
    if kind == "RSA":
        possible: tuple[str, ...] = RSA_ALGORITHMS
    elif kind == "EC" and curve in CURVES:
        possible = (CURVES[str(curve)],)
    elif kind == "OKP" and curve == "Ed25519":
        possible = ("EdDSA",)
    else:
        raise ValueError(
            f"{called} is of an unknown kind: RSA, EC (P-256, P-384, P-521) or Ed25519"
        )
    if named is not None and named not in possible:
        raise ValueError(
            f"{called} names the algorithm {named!r}: expected {' or '.join(possible)}"
        )
    return str(named) if named is not None else possible[0]

"""JWTs of the host product: each names one of the product's own people, for as long as it says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mirada.config import Settings
from mirada.jwks import TokenKey, read_key_set
from mirada.kernel.errors import InvalidInput, NotAuthenticated
from mirada.people.product import checked_external_id

MAX_TOKEN_CHARS = 8_000
"""What fits into one header of Gunicorn's (8,190 bytes) with its name; a longer one is not looked at."""
LEEWAY_S = 30
"""How far two clocks may differ; chosen here."""
TOKEN_PATTERN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
"""A signed JWT in compact form (RFC 7515, section 7.1). The alphabet of our own keys has no dot."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The keys and claims that a token needs.

    Attributes:
        keys: what they may be signed with; each has one algorithm.
        audience: what `aud` has to name; None refuses a token that names an audience.
        issuer: what `iss` has to be; None for anything.
    """

    keys: Sequence[TokenKey]
    audience: str | None = None
    issuer: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Tokens | None:
        """Return what JWT_SECRET and JWKS_FILE say; None where neither is set.

        Raises:
            ValueError: the file was changed since the settings were read, and cannot be used.
        """
        keys: list[TokenKey] = []
        if settings.jwt_secret is not None:
            keys.append(TokenKey(None, "HS256", settings.jwt_secret.get_secret_value()))
        if settings.jwks_file is not None:
            keys += read_key_set(settings.jwks_file)
        return cls(tuple(keys), settings.jwt_audience, settings.jwt_issuer) if keys else None

    def external_id(self, token: str) -> str:
        """Return the product's id of the person in `sub`.

        Raises:
            NotAuthenticated: the token does not count; the message tells why.
        """
        import jwt

        if len(token) > MAX_TOKEN_CHARS:
            raise NotAuthenticated(f"This token is longer than {MAX_TOKEN_CHARS} characters.")
        try:
            key = self._key_of(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                audience=self.audience,
                issuer=self.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "sub"]},
            )
            return checked_external_id(claims["sub"], "The token's sub")
        except InvalidInput as error:
            raise NotAuthenticated(error.detail) from error
        except jwt.PyJWTError as error:
            raise NotAuthenticated(_reason(error)) from error
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            # Claims of a kind that the library does not expect, such as a time beyond all numbers.
            raise NotAuthenticated("This token cannot be read.") from error

    def _key_of(self, header: dict[str, object]) -> TokenKey:
        """Return the key that a token names. What it says of algorithms only narrows the choice."""
        kid, algorithm = header.get("kid"), header.get("alg")
        fitting = [
            key
            for key in self.keys
            if key.algorithm == algorithm and (key.kid is None or kid in (None, key.kid))
        ]
        named = [key for key in fitting if key.kid is not None and key.kid == kid]
        if len(named or fitting) != 1:
            raise NotAuthenticated(
                "No key of this server fits this token's 'kid' and 'alg': sign it with a key of "
                "JWT_SECRET (HS256) or JWKS_FILE."
            )
        return (named or fitting)[0]


def _reason(error: Exception) -> str:
    import jwt

    if isinstance(error, jwt.ExpiredSignatureError):
        return "This token has expired. Get a new one from your product."
    if isinstance(error, jwt.ImmatureSignatureError):
        return "This token is not valid yet (nbf, iat): compare the clocks of both machines."
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"This token has no '{error.claim}': 'sub' and 'exp' are needed."
    if isinstance(error, jwt.InvalidAudienceError):
        return "This token is for another audience (aud): JWT_AUDIENCE says which counts here."
    if isinstance(error, jwt.InvalidIssuerError):
        return "This token is of another issuer (iss): JWT_ISSUER says which counts here."
    if isinstance(error, jwt.exceptions.InvalidSubjectError):
        return "This token's 'sub' is no text: write the product's id of the person as a string."
    return "This token's signature or form is not valid."

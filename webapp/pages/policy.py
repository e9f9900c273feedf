"""What browsers may do with a page: load from this server alone, run no text as code, and keep nothing."""

from __future__ import annotations

import gzip

from flask import Response, request

from webapp.http.headers import CALLER_HEADERS

POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        # Texts become HTML through one named policy: of fragments that this server has escaped.
        "require-trusted-types-for 'script'",
        "trusted-types mirada",
    )
)
PACKED_FROM_BYTES = 1_024


def guard(response: Response) -> Response:
    """Give a page its policy, keep shared caches from it, and compress it."""
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers.setdefault("Cache-Control", "private, no-cache")
    response.vary.update(("Accept-Language", "Accept-Encoding", *CALLER_HEADERS))
    if (
        response.mimetype == "text/html"
        and not response.direct_passthrough
        and not response.is_streamed
        and request.accept_encodings["gzip"] > 0
        and "Content-Encoding" not in response.headers
    ):
        plain = response.get_data()
        if len(plain) >= PACKED_FROM_BYTES:
            response.set_data(gzip.compress(plain, 5))
            response.headers["Content-Encoding"] = "gzip"
    return response

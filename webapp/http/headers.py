"""Headers of every reply: security headers here, cross-origin ones through Flask-CORS."""

from __future__ import annotations

from flask import Flask, Response, request
from flask_cors import CORS

from mirada.config import Settings

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        # Swagger UI and ReDoc set style attributes and inject style elements.
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        # ReDoc searches in a worker it makes from a blob.
        "worker-src 'self' blob:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""For bytes that people uploaded: should a browser ever take them for a page, it can do nothing."""
CALLER_HEADERS = ("Authorization", "X-API-Key", "X-Mirada-User", "Cookie")
"""What says who is calling, and so what a reply may depend on."""
EXPOSED_HEADERS = (
    "ETag",
    "Location",
    "Link",
    "Retry-After",
    "X-Request-ID",
    "X-Change-Seq",
    "Idempotent-Replayed",
    "X-Ignored",
    "X-Embedding-Count",
    "X-Embedding-Dimension",
    "X-Embedding-Space",
    "Content-Disposition",
    "X-Still-Reason",
)


def register(app: Flask, settings: Settings) -> None:
    """Install both; cross-origin calls are refused by browsers unless ALLOWED_ORIGINS names them."""
    app.after_request(_secure)
    if settings.allowed_origins:
        origins = "*" if "*" in settings.allowed_origins else list(settings.allowed_origins)
        CORS(
            app,
            origins=origins,
            expose_headers=list(EXPOSED_HEADERS),
            # Keys travel in a header that scripts set; cookies never cross origins.
            supports_credentials=False,
            max_age=600,
        )


def _secure(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["X-Frame-Options"] = "DENY"
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    # What other sites may show is said by the view that sends it.
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
    if request.path.startswith("/api/") and response.is_json and "Cache-Control" not in headers:
        # What a caller may see depends on the key, and it can change at any time.
        headers["Cache-Control"] = "private, no-cache"
        response.vary.update(CALLER_HEADERS)
    if "Access-Control-Allow-Methods" in headers and "Allow" in headers:
        # Flask-CORS knows one list for all paths; a browser would be promised what is a 405.
        headers["Access-Control-Allow-Methods"] = headers["Allow"]
    if request.is_secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return response

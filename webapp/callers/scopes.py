"""The scope that a call needs follows from its method, so that a new view cannot forget it."""

from __future__ import annotations

from mirada.kernel.errors import ScopeMissing
from mirada.people.access import Scope, Scopes

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
READING_POSTS = frozenset(
    {
        "search.search_images",
        "search.search_batch",
        "images.find_known_images",
        "images.find_similar_image_posts",
        "images.search_image_posts",
        "embeddings.create_embeddings",
        "embedding_service.embed_image",
        "image_search.search_similar_images",
        "picture_addresses.make_picture_links",
        "packs.export",
    }
)
"""POSTs that only read: their question is too large for an address. Any other POST writes."""
PAGES = frozenset({"docs", "page_assets"})
"""Blueprints that show everybody the same; they need no scope."""
FREE_ENDPOINTS = frozenset(
    {
        "embedding_service.get_service",
        "session.get_session",
        "session.sign_in",
        "session.sign_out",
        "pages.sign_in",
        "pages.sign_in_with_key",
        "pages.sign_in_link",
        "pages.sign_in_with_link",
        "pages.sign_out",
    }
)
"""Endpoints for any key: they tell nothing of users, or check a scope of their own."""


def scope_needed(endpoint: str | None, method: str) -> Scope | None:
    """Return the scope that a key needs for this call; None when any key will do."""
    if endpoint is None or endpoint in FREE_ENDPOINTS or endpoint.split(".")[0] in PAGES:
        return None
    if method in SAFE_METHODS or (method == "POST" and endpoint in READING_POSTS):
        return Scope.READ
    return Scope.WRITE


def require_scope(scopes: Scopes | None, needed: Scope | None) -> None:
    """Check a key's scopes; None for either passes.

    Raises:
        ScopeMissing: the key is limited, and not to this.
    """
    if needed is None or scopes is None or needed in scopes:
        return
    raise ScopeMissing(
        f"This key may not {_WHAT[needed]}: it lacks the scope {needed}. Send a key that has it.",
        scopes=(needed,),
    )


_WHAT = {
    Scope.READ: "read",
    Scope.WRITE: "change anything",
    Scope.ADMIN: "act as an administrator",
    Scope.METRICS: "read metrics",
    Scope.ACT_FOR: "act for people of the product",
}

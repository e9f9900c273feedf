"""`wsgi:app` whose models mark their vectors; see `testing.marked_models`."""

from __future__ import annotations

from testing import marked_models

marked_models.install()

from wsgi import app  # noqa: E402, F401

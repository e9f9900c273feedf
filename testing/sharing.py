"""What tests share because making it takes longer than they do: children, weights, compiled SQL."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Dialect
from sqlalchemy.util import LRUCache

from mirada.adapters.encoders.model_choice import STICKERS
from mirada.config import BUNDLED_MODEL_DIR, Settings
from mirada.db.session import Database
from mirada.ports import ImageDecoder
from mirada.runtime import Runtime

if TYPE_CHECKING:
    from mirada.ports import CalibratedEncoder

COMPILED_STATEMENTS = 5_000
"""More than the product has on one engine, so that none is compiled twice."""
_loading = threading.Lock()
_compiled: dict[str, tuple[Dialect, LRUCache[Any, Any]]] = {}


def bundled_encoder() -> CalibratedEncoder:
    """Return the bundled encoder, whose weights a process loads once."""
    with _loading:
        return _bundled_encoder()


@cache
def _bundled_encoder() -> CalibratedEncoder:
    from mirada.adapters.encoders.engines import load_encoder
    from mirada.adapters.encoders.model_choice import choose_model

    model, pretrained = choose_model(
        "bundled", None, bundled=BUNDLED_MODEL_DIR, pinned=None, cache_dir=None
    )
    return load_encoder(model, pretrained, device="cpu", cache_dir=None)


def keep_statements(database: Database) -> None:
    """Let other databases of its kind have the SQL that is compiled for this one, which is connected."""
    _compiled[_kind(database)] = database.engine.dialect, LRUCache(COMPILED_STATEMENTS)


def share_statements(database: Database) -> None:
    """Let a database have the SQL that was compiled for others of its kind.

    SQLAlchemy compiles for each engine anew, which is a third of a short test. Engines of a kind
    differ in nothing that it depends on: all are made by `make_engine`.
    """
    shared = _compiled.get(_kind(database))
    if shared is not None:
        for engine in (database.engine, database._writing_engine, database._reading_engine):
            engine.dialect, engine._compiled_cache = shared


def _kind(database: Database) -> str:
    """Return "sqlite", or the address of one database: a dialect knows the name of its own."""
    url = database.engine.url
    return "sqlite" if url.get_backend_name() == "sqlite" else url.render_as_string()


class SharingRuntime(Runtime):
    """The product's runtime, but a decoder's children and the bundled weights are not its own.

    Neither remembers anything of a picture, and both take longer to start than most tests.
    """

    def __init__(self, settings: Settings, decoder: ImageDecoder) -> None:
        super().__init__(settings)
        share_statements(self.database)
        self._shared_decoder = decoder

    @property
    def decoder(self) -> ImageDecoder:
        return self.remembered("decoder", lambda: self._shared_decoder)

    def load_model(
        self, model: str, pretrained: str | None, pinned: tuple[str, str] | None = None
    ) -> CalibratedEncoder:
        if model == "bundled" and (pinned is None or pinned[0] != STICKERS):
            return bundled_encoder()
        return super().load_model(model, pretrained, pinned)

"""Runtime: from Settings to an engine and lazily built ports, all in one object, hence its length.

The only chooser of backends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from mirada.adapters.encoders.batching import BatchingEncoder, PromptTower, TextTower
from mirada.adapters.encoders.engines import load_chosen
from mirada.adapters.encoders.known import KnownModel, known_models
from mirada.adapters.encoders.model_choice import (
    BUNDLED_NAMES,
    choose_model,
    production_is_available,
)
from mirada.adapters.encoders.naming import NamedModel, named_model
from mirada.adapters.encoders.query_cache import QueryCache, QueryEncoder
from mirada.adapters.encoders.sentence_encoder import SentenceEncoder
from mirada.adapters.image_decoder.sandbox import SandboxedDecoder
from mirada.adapters.image_store.copies import LocalCopies
from mirada.adapters.image_store.exports import LocalExports
from mirada.adapters.image_store.handed import HandedPixels
from mirada.adapters.image_store.local import LocalImageStore
from mirada.adapters.vector_index.sampled import SampledIndex
from mirada.config import BUNDLED_MODEL_DIR, PROJECT_ROOT, Settings, VectorBackend
from mirada.db import older_rows, recall_rows, spaces, waits
from mirada.db.key_usage import KeyUsage
from mirada.db.migrate import differences, revisions, upgrade_to_head
from mirada.db.models import SpaceState
from mirada.db.pgvector.filling import prepare
from mirada.db.pgvector.reading import CopiedVectors
from mirada.db.probe_texts import probe_texts
from mirada.db.session import Database, make_engine
from mirada.db.vector_rows import DatabaseVectors
from mirada.db.witnesses import witnesses_of
from mirada.kernel import model_view
from mirada.kernel.circuit import CircuitBreaker
from mirada.kernel.commands import command_line
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind, Vector
from mirada.kernel.errors import DatabaseRefused, MiradaError, Unavailable
from mirada.kernel.images import RgbImage
from mirada.kernel.live_recall import Sample
from mirada.kernel.model_families import ends_on
from mirada.kernel.model_view import ModelView
from mirada.kernel.ways import Trust
from mirada.ports import (
    CalibratedEncoder,
    Copies,
    Doorbell,
    Grouping,
    ImageDecoder,
    ImageStore,
    LanguageModel,
    Projection,
    PromptEncoder,
    TextEncoder,
    VectorIndex,
    VectorSource,
)
from mirada.private_files import kept_secret

if TYPE_CHECKING:
    from mirada.adapters.encoders.exports import Export
    from mirada.adapters.encoders.model_exports import Exported
    from mirada.adapters.encoders.stored_witnesses import StoredVectors

logger = logging.getLogger(__name__)
Port = TypeVar("Port")
Tower = TypeVar("Tower", bound=TextEncoder)
STATUS_POLL_S = 5.0
"""How often a process asks the database for what health and metrics tell of an index in PostgreSQL."""
CHANGED_SINCE = (
    "CLIP_MODEL=%s does not count any more: the image model of this database was changed to %s. Set "
    "CLIP_MODEL=auto, or change the model again: %s"
)
EncoderKind = Literal[SpaceKind.IMAGE, SpaceKind.PROMPT]
"""Kinds whose encoder the runtime chooses; `mirada.captions` chooses the one of captions."""


class SilentDoorbell:
    """A doorbell without a queue: jobs wait until a worker finds them in the database."""

    def ring(self, job_id: int, kind: str) -> bool:
        """Send nothing and return False."""
        return False

    def waiting(self) -> int | None:
        """Return None: there is no queue."""
        return None


class Runtime:
    """Everything one process works with. Ports are built on first use, once, and closed together.

    Built after any fork: a child of a process that has used torch or FAISS hangs.
    """

    def __init__(self, settings: Settings) -> None:
        """Keep the settings and prepare the engine; connects to nothing."""
        self.settings = settings
        self.budgets = settings.budgets
        self.started_at_ms = time.time_ns() // 1_000_000
        self.doorbell: Doorbell = SilentDoorbell()  # Entry points attach the one of their queue.
        self.database = Database(make_engine(settings.url, settings.db_pool_size))
        self.transaction = self.database.transaction
        self.reading = self.database.reading
        self._lock = threading.RLock()
        self._remembered: dict[str, object] = {}
        self._building: dict[str, threading.Lock] = {}
        self._loading: dict[str, Future[Any]] = {}
        self._view = ModelView()
        self._own_space_id: int | None = None
        self._exit = ExitStack()
        self.key_usage = self._closing(KeyUsage(self.database))

    def migrate(self) -> None:
        """Bring the database to this version's tables; concurrent callers wait for one another."""
        with waits.waiting_as(waits.MIGRATIONS):
            upgrade_to_head(self.database.engine)
        if self._is_postgresql:
            # Copying what is there takes seconds a hundred thousand; no search should wait for that.
            with self.reading() as session:
                in_use = [space.id for space in spaces.searched_spaces(session)]
            for space_id in in_use:
                self.backend(space_id)

    def complete_rows(self) -> None:
        """Write what rows lack that processes of an older version wrote since `migrate`."""
        older_rows.complete(self.database)

    def begin_request(self) -> None:
        """Let this thread wait for the database briefly, and keep to one view, until `end_request`."""
        waits.begin_request()
        model_view.begin(self._view)

    def end_request(self) -> None:
        """Let this thread wait for the database as background work does."""
        model_view.begin(None)
        waits.end_request()

    @contextmanager
    def as_request(self) -> Iterator[None]:
        """Let the block wait for the database as briefly as a request does."""
        self.begin_request()
        try:
            yield
        finally:
            self.end_request()

    @property
    def view(self) -> ModelView:
        """The spaces that this thread's work is in: those it began with, else the process's."""
        return model_view.current() or self._view

    @property
    def process_view(self) -> ModelView:
        """The view that requests and jobs begin with now."""
        return self._view

    def keeping_view(self) -> AbstractContextManager[None]:
        """Let the block work in one view from its beginning to its end, whatever the process changes to."""
        return model_view.working_in(self.view)

    def view_of(self, in_use: Mapping[SpaceKind, int]) -> ModelView:
        """Return the view with these spaces; its encoders are shared with every view of the same model."""
        is_own = in_use[SpaceKind.IMAGE] == self._own_space_id
        return ModelView(dict(in_use), "" if is_own else f":{in_use[SpaceKind.IMAGE]}")

    def change_view(self, old: ModelView, new: ModelView) -> bool:
        """Give whatever begins from now on another view; False where the process has left the old one."""
        with self._lock:
            if self._view is not old:
                return False
            self._view = new
            if self._own_space_id is None and not new.suffix:
                self._own_space_id = new.image_space_id
            return True

    def forget_view(self, view: ModelView) -> None:
        """Let go of the encoders and indexes of a view that nothing will begin in any more."""
        with model_view.working_in(view):
            names = [self._kept_as(name) for name in ("caption_tower", "text_encoder", "encoder")]
            names += [self._kept_as(f"space:{kind}") for kind in SpaceKind]
        if self.settings.text_model is not None:
            names.remove("text_encoder")
        for space_id in view.spaces.values():
            if space_id not in self._view.spaces.values():
                names += [f"following:{space_id}", f"index:{space_id}", f"backend:{space_id}"]
        for name in names:
            port = self._remembered.pop(name, None)
            end = getattr(port, "stop", getattr(port, "close", None))
            if end is not None:
                end()

    def is_in_trouble(self) -> bool:
        """Return whether a request has waited for the database in vain within the last seconds."""
        return self.database.patience.is_in_trouble()

    def schema_revisions(self) -> tuple[str | None, str | None]:
        """Return the migration the database is at, None before the first, and this version's last."""
        return revisions(self.database.engine)

    def schema_differences(self) -> list[object]:
        """Return what a migration would still change; [] when the tables are this version's."""
        return differences(self.database.engine)

    @property
    def secret(self) -> str:
        """The secret of this installation: SECRET_KEY, else a file's, which the first use makes.

        Raises:
            Unavailable: the file cannot be read or made.
        """
        configured, path = self.settings.secret_key, self.settings.secret_file
        if configured is not None:
            return configured.get_secret_value()
        return self.remembered("secret", lambda: kept_secret(path))

    @property
    def image_store(self) -> ImageStore:
        """The store of originals."""
        return self.remembered("image_store", lambda: LocalImageStore(self.settings.image_dir))

    @property
    def copies(self) -> Copies:
        """The cache of copies of originals."""
        return self.remembered("copies", lambda: LocalCopies(self.settings.copies_dir))

    @property
    def handed(self) -> HandedPixels:
        """Pixels on their way from whoever checks a picture to the worker that embeds it."""
        return self.remembered("handed", lambda: HandedPixels(self.settings.handed_dir))

    @property
    def exports(self) -> LocalExports:
        """Exports that wait to be fetched."""
        return self.remembered("exports", lambda: LocalExports(self.settings.exports_dir))

    @property
    def decoder(self) -> ImageDecoder:
        """Sandboxed decoding of untrusted pictures."""
        return self.remembered("decoder", lambda: self._closing(SandboxedDecoder()))

    @property
    def circuit(self) -> CircuitBreaker:
        """The circuit breaker before this process's calls of the language model."""
        return self.remembered("circuit", CircuitBreaker)

    @property
    def language_model(self) -> LanguageModel | None:
        """The language model; None without OPENAI_API_KEY, which the log says once.

        Every call costs money: ask through `mirada.language_model.paying`, which keeps the budget.
        """

        def build() -> tuple[LanguageModel | None]:
            key, base_url = self.settings.openai_api_key, self.settings.openai_base_url
            if key is None:
                logger.info(
                    "OPENAI_API_KEY is not set: no language model is asked; all else works."
                )
                return (None,)
            from mirada.adapters.language_model.openai import OpenAiLanguageModel

            if base_url is None:
                self._tell_ends()
            model = OpenAiLanguageModel(key.get_secret_value(), base_url, self.circuit)
            return (self._closing(model),)

        return self.remembered("language_model", build)[0]

    def _tell_ends(self) -> None:
        """Log which models of the settings have an announced end."""
        for setting in (
            "caption_model",
            "llm_label_expansion_model",
            "text_embedding_model",
            "generation_model",
        ):
            model = getattr(self.settings, setting)
            day = ends_on(model)
            if day is not None:
                logger.warning(
                    "OpenAI ends %s on %s: set %s to another model before.",
                    model,
                    day,
                    setting.upper(),
                )

    @property
    def encoder(self) -> BatchingEncoder:
        """Both towers behind one queue. The first use loads the weights and pins their space.

        Raises:
            EncoderUnavailable: the weights cannot be had.
            EmbeddingSpaceMismatch: the database is pinned to another space.
        """

        def build() -> BatchingEncoder:
            return self._closing(BatchingEncoder(self._pinned(self._load_encoder())))

        return self._remembered_in_view("encoder", build)

    @property
    def text_encoder(self) -> PromptEncoder:
        """The encoder of prompts: TEXT_MODEL, or the text tower. The first use pins its space.

        Raises:
            EncoderUnavailable: the weights cannot be had.
            EmbeddingSpaceMismatch: the prompts of the database were embedded by another model.
        """

        def build() -> PromptEncoder:
            return self._pinned(self._load_text_encoder())

        return self._remembered_in_view("text_encoder", build)

    @property
    def caption_tower(self) -> TextEncoder:
        """The encoder of captions where no API key is set: that of prompts. Its space is not pinned."""
        return self._remembered_in_view(
            "caption_tower",
            lambda: TextTower(self.text_encoder.interactive(), SpaceKind.CAPTION),
        )

    def _remembered_in_view(self, name: str, build: Callable[[], Port]) -> Port:
        """Return what this thread's view keeps under a name; see `remembered`."""
        view = self.view

        def build_in_view() -> Port:
            with model_view.working_in(view):
                return build()

        return self.remembered(self._kept_as(name), build_in_view)

    def _kept_as(self, name: str) -> str:
        """Return the whole name of a port in this thread's view; TEXT_MODEL is the same in every view."""
        is_shared = name == "text_encoder" and self.settings.text_model is not None
        return name if is_shared else name + self.view.suffix

    def _load_text_encoder(self) -> PromptEncoder:
        settings = self.settings
        if settings.text_model is None:
            return PromptTower(self.encoder)
        return SentenceEncoder.load(
            settings.text_model,
            device=settings.embeddings_device,
            cache_dir=settings.embeddings_cache_dir,
        )

    def encoder_within(self, wait_s: float) -> BatchingEncoder:
        """The encoder, for callers who cannot wait until weights are loaded or even downloaded.

        Raises:
            Unavailable: not within `wait_s` seconds; loading goes on for the next caller.
            EncoderUnavailable, EmbeddingSpaceMismatch: as `encoder` does.
        """
        return self._within("encoder", lambda: self.encoder, wait_s)

    def text_encoder_within(self, wait_s: float) -> PromptEncoder:
        """Return the encoder of prompts; raises as `encoder_within` does."""
        return self._within("text_encoder", lambda: self.text_encoder, wait_s)

    def _within(self, name: str, load: Callable[[], Port], wait_s: float) -> Port:
        view = self.view
        kept_as = self._kept_as(name)
        if kept_as in self._remembered:
            return load()

        def load_in_view() -> Port:
            with model_view.working_in(view):
                return load()

        with self._lock:
            loading = self._loading.get(kept_as)
            if loading is None or loading.done():
                loading = self._loading[kept_as] = Future()
                threading.Thread(
                    target=_load_in_background,
                    args=(load_in_view, loading),
                    name="loading",
                    daemon=True,
                ).start()
        try:
            found: Port = loading.result(wait_s)
        except TimeoutError as error:
            raise Unavailable("The encoder is still being loaded; try again shortly.") from error
        return found

    def encoder_is_loaded(self) -> bool:
        """Return whether this process has loaded the weights already."""
        return self._kept_as("encoder") in self._remembered

    def space(self, kind: EncoderKind = SpaceKind.IMAGE) -> tuple[int, EmbeddingSpace]:
        """Return the id and value of a pinned space; the first use pins the encoder's."""

        def build() -> tuple[int, EmbeddingSpace]:
            with self.reading() as session:
                row = spaces.pinned_space(session, kind)
            if row is None:
                space = (self.encoder if kind is SpaceKind.IMAGE else self.text_encoder).space
                with self.transaction() as session:
                    row = spaces.pin_space(session, space)
            return row.id, row.to_space()

        # Once pinned it stays in the view, so a process asks for it once.
        space_id, space = self._remembered_in_view(f"space:{kind}", build)
        view = self._view
        is_new = self.view is view and not (view.spaces or view.suffix)
        if kind is SpaceKind.IMAGE and is_new:
            self.change_view(view, replace(view, spaces={kind: space_id}))
        return space_id, space

    def space_is_known(self) -> bool:
        """Return whether `space` answers at once; before the first pin it may wait for the weights."""
        if self._kept_as(f"space:{SpaceKind.IMAGE}") in self._remembered:
            return True
        with self.reading() as session:
            return spaces.pinned_space(session) is not None

    def vector_source(self, space_id: int) -> VectorSource:
        """The rows of one space as an index reads them."""
        name = f"vector_source:{space_id}"
        return self.remembered(name, lambda: DatabaseVectors(self.database, space_id))

    def remembering(self, encoder: TextEncoder) -> TextEncoder:
        """Return the encoder with a cache of people's popular queries in its space.

        Without ENABLE_EMBEDDING_CACHE every query is.
        """
        is_on = self.settings.enable_embedding_cache
        name = f"queries:{encoder.space.name}"
        return QueryEncoder(encoder, self.remembered(name, QueryCache) if is_on else None)

    def index(self, space_id: int) -> VectorIndex:
        """This process's index of one space, refreshed in the background once it exists."""

        def build() -> VectorIndex:
            from mirada.adapters.vector_index.faiss.following import POLL_S, follower

            index = self._sampled(space_id, self._new_index(space_id))
            # PostgreSQL answers of its own commits; there only what is told of the index is refreshed.
            is_in_sql = self.backend(space_id) is VectorBackend.PGVECTOR
            following = follower(index, STATUS_POLL_S if is_in_sql else POLL_S)
            following.start()
            self._exit.callback(following.stop)
            self.remember(f"following:{space_id}", following)
            return index

        return self.remembered(f"index:{space_id}", build)

    def _sampled(self, space_id: int, index: VectorIndex) -> VectorIndex:
        """Return the index, measured while it serves unless RECALL_SAMPLE is 0; it is closed with us."""
        share = self.settings.recall_sample
        if not share:
            return self._closing(index)

        def keep(samples: Sequence[Sample]) -> None:
            with self.transaction() as session:
                recall_rows.keep(session, space_id, samples)

        def learned(snapshot: str) -> Trust:
            with self.reading() as session:
                return recall_rows.trust(session, space_id, snapshot)

        sampled = self._closing(SampledIndex(index, share, keep, learned))
        sampled.start()
        return sampled

    def backend(self, space_id: int) -> VectorBackend:
        """The searcher of a space's vectors, which the first use prepares; never AUTO.

        Raises:
            DatabaseRefused: VECTOR_BACKEND=pgvector, and the database has none.
            Unavailable: the database cannot be reached.
        """

        def choose() -> VectorBackend:
            chosen = self.settings.vector_backend
            if chosen in (VectorBackend.FAISS, VectorBackend.EXACT):
                return chosen
            if chosen is VectorBackend.AUTO and not self._is_postgresql:
                return VectorBackend.FAISS
            space = self.vector_source(space_id).space
            with waits.waiting_as(waits.MIGRATIONS):
                reason = prepare(self.database, space_id, space)
            if reason is None:
                return VectorBackend.PGVECTOR
            if chosen is VectorBackend.PGVECTOR:
                raise DatabaseRefused(f"VECTOR_BACKEND=pgvector cannot be kept. {reason}")
            logger.info("The %s space is searched by FAISS: %s", space.kind, reason)
            return VectorBackend.FAISS

        return self.remembered(f"backend:{space_id}", choose)

    @property
    def _is_postgresql(self) -> bool:
        return self.database.engine.dialect.name == "postgresql"

    def _new_index(self, space_id: int) -> VectorIndex:
        backend, source = self.backend(space_id), self.vector_source(space_id)
        if backend is VectorBackend.EXACT:
            from mirada.adapters.vector_index.exact import ExactIndex

            return ExactIndex(source)
        recall_target = self.settings.index_recall_target
        if backend is VectorBackend.PGVECTOR:
            from mirada.adapters.vector_index.pgvector.index import PgvectorIndex

            return PgvectorIndex(
                source,
                CopiedVectors(self.database, space_id, source.space),
                recall_target=recall_target,
                extra_queries=lambda: self._text_queries(space_id),
            )
        from mirada.adapters.vector_index.faiss.index import FaissIndex
        from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings

        return FaissIndex(
            source,
            self.settings.faiss_index_dir,
            BuildSettings(
                recall_target=recall_target,
                with_graph=self.settings.index_graph,
                extra_queries=lambda: self._text_queries(space_id),
            ),
        )

    @property
    def grouping(self) -> Grouping:
        """The k-means that finds the centres of groups."""

        def build() -> Grouping:
            from mirada.adapters.grouping.faiss_kmeans import FaissKMeans

            return FaissKMeans()

        return self.remembered("grouping", build)

    @property
    def projection(self) -> Projection:
        """The projection that the map is made by: openTSNE where it is installed, else components."""

        def build() -> Projection:
            if find_spec("openTSNE") is None:
                from mirada.adapters.projection.components import ComponentsProjection

                return ComponentsProjection()
            from mirada.adapters.projection.opentsne import OpenTsneProjection

            return OpenTsneProjection()

        return self.remembered("projection", build)

    def _text_queries(self, space_id: int) -> Matrix:
        """Texts for a build to measure its recall with; none where no encoder can be had."""
        nothing = np.empty((0, 0), dtype=np.float32)
        if not self.settings.embeddings_enabled:
            return nothing
        with self.reading() as session:
            texts = probe_texts(session)
        try:
            space = self.vector_source(space_id).space
            encoder = self.encoder if space.kind is SpaceKind.IMAGE else self.text_encoder
            if replace(encoder.space, kind=space.kind) != space:
                # Captions that somebody else's server embeds: measuring is not worth paying for.
                return nothing
            return encoder.encode_texts(texts)
        except Unavailable as error:
            logger.warning("The build does not measure its recall on texts: %s", error)
            return nothing

    def _load_encoder(self) -> CalibratedEncoder:
        return self.load_model(*self._model_in_use())

    def load_model(
        self, model: str, pretrained: str | None, pinned: tuple[str, str] | None = None
    ) -> CalibratedEncoder:
        """Load a model as CLIP_MODEL and CLIP_PRETRAINED name one; nothing is pinned.

        Args:
            model: "auto", "bundled", an OpenCLIP name, or a folder.
            pretrained: weights tag; None for a folder.
            pinned: (encoder, pretrained) of the space that the model has to have; None for any.

        Raises:
            InvalidInput: OpenCLIP knows no such name or tag.
            EncoderUnavailable: the weights cannot be had.
        """
        return load_chosen(
            model,
            pretrained,
            bundled=BUNDLED_MODEL_DIR,
            pinned=pinned,
            engine=self.settings.encoder_engine,
            device=self.settings.embeddings_device,
            cache_dir=self.settings.embeddings_cache_dir,
        )

    def export_model(
        self, model: str | None, pretrained: str | None, *, is_int8: bool = False
    ) -> Exported:
        """Make the ONNX graphs of a model with PyTorch, check and keep them; None: the one in use.

        With `is_int8` they have 8-bit weights, and a space of their own.

        Raises:
            InvalidInput: there is no such model.
            EncoderUnavailable: PyTorch or the weights are missing, or the graphs cannot be made.
        """
        from mirada.adapters.encoders.model_exports import export_int8, export_model

        chosen, tag = self._model_named(model, pretrained)
        cache_dir, demo = self.settings.embeddings_cache_dir, PROJECT_ROOT / "demo"
        make = export_int8 if is_int8 else export_model
        return make(chosen, tag, cache_dir=cache_dir, demo=demo)

    def take_published_export(self, model: str | None, pretrained: str | None) -> Export:
        """Fetch ONNX graphs that others have published, check and keep them; None: of the model in use.

        Raises:
            InvalidInput: there is no such model, or no such graphs are known.
            EncoderUnavailable: they cannot be fetched or checked, or do not give PyTorch's vectors.
        """
        from mirada.adapters.encoders.published import take_published

        chosen, tag = self._model_named(model, pretrained)
        name, weights = chosen.replace("/", "-"), tag or ""
        return take_published(
            name,
            weights,
            cache_dir=self.settings.embeddings_cache_dir,
            held=lambda: self._stored_vectors(name, weights),
        )

    def _stored_vectors(self, name: str, tag: str) -> StoredVectors | None:
        """Return what the database holds of a model, for graphs to be checked with."""
        from mirada.adapters.encoders.stored_witnesses import StoredVectors

        with self.reading() as session:
            held = witnesses_of(session, name, tag)
        if held is None:
            return None

        def pictures(side_px: int) -> list[tuple[RgbImage, Vector]]:
            found = []
            for key, vector in held.pictures:
                with suppress(MiradaError):  # Its file is gone, or cannot be read today.
                    pixels = self.decoder.decode(self.image_store.path(key), 2 * side_px)
                    found.append((pixels, vector))
            return found

        return StoredVectors(held.preprocessing, held.dimension, pictures, held.texts)

    def _model_named(self, model: str | None, pretrained: str | None) -> tuple[str, str | None]:
        """Return the model and weights tag that a command names, or that are in use."""
        settings = self.settings
        in_use, weights, pinned = self._model_in_use()
        named = model or in_use
        return choose_model(
            named,
            pretrained or (None if model else weights),
            bundled=BUNDLED_MODEL_DIR,
            pinned=pinned if named == "auto" else None,
            cache_dir=settings.embeddings_cache_dir,
        )

    def _model_in_use(self) -> tuple[str, str | None, tuple[str, str] | None]:
        """Return what is to be loaded, as settings name it, and the (encoder, pretrained) it must have."""
        with self.reading() as session:
            pinned = spaces.pinned_space(session)
        model, pretrained = self.settings.clip_model, self.settings.clip_pretrained
        if pinned is not None and pinned.source is not None:
            # Since a change of the model the database says which one it is.
            is_named = model in ("auto", pinned.source)
            is_named |= model == "bundled" and pinned.encoder in BUNDLED_NAMES
            if pinned.state == SpaceState.ACTIVE and not is_named:
                again = command_line("models switch NAME")
                logger.warning(CHANGED_SINCE, model, pinned.source, again)
            model, pretrained = pinned.source, pinned.source_tag
        return model, pretrained, (pinned.encoder, pinned.pretrained) if pinned else None

    def take_encoder(self, encoder: CalibratedEncoder) -> None:
        """Keep an encoder that was loaded already as this view's, unless the view has one."""
        self._remembered_in_view("encoder", lambda: self._closing(BatchingEncoder(encoder)))

    def misses_production_model(self) -> bool:
        """Return whether "auto" took the bundled model once, and could have the production model now.

        It asks the hub where the cache has no weights, for a few seconds at most.
        """
        if self.settings.clip_model != "auto":
            return False
        with self.reading() as session:
            pinned = spaces.pinned_space(session)
        if pinned is None or pinned.encoder not in BUNDLED_NAMES:
            return False
        return production_is_available(self.settings.embeddings_cache_dir)

    def named_model(self, name: str, tag: str | None) -> NamedModel:
        """Return which model a name means; weights are read and none are loaded.

        Args:
            name: "production", "bundled", an OpenCLIP name with or without "/" and its tag, a folder.
            tag: weights tag or weights file; None where the name needs none.

        Raises:
            InvalidInput: there is no such model; the message lists near names.
        """
        return named_model(name, tag, BUNDLED_MODEL_DIR, self.settings.embeddings_cache_dir)

    def known_models(self) -> list[KnownModel]:
        """Return the models that `named_model` takes without looking anything up."""
        return known_models(BUNDLED_MODEL_DIR, self.settings.embeddings_cache_dir)

    def _pinned(self, encoder: Tower) -> Tower:
        with self.transaction() as session:
            spaces.pin_space(session, encoder.space)
        return encoder

    def built(self) -> dict[str, Any]:
        """Return the ports in use by their names, such as "encoder" and "index:1"; builds none."""
        return self._remembered.copy()

    def close(self) -> None:
        """Stop threads and child processes, close files and connections; harmless to repeat."""
        with self._lock:
            self._exit.close()
            self._remembered.clear()
        self.database.close()

    def _closing(self, port: Port) -> Port:
        self._exit.callback(port.close)  # type: ignore[attr-defined]
        return port

    def remembered(self, name: str, build: Callable[[], Port]) -> Port:
        """Return what this process keeps under a name, made by `build` on first use and only once."""
        # Double-checked: the common path takes no lock, and weights are never loaded twice. One lock
        # per port: loading weights takes many seconds in which uploads and health go on.
        port = self._remembered.get(name)
        if port is None:
            with self._lock:
                building = self._building.setdefault(name, threading.Lock())
            with building:
                port = self._remembered.get(name)
                if port is None:
                    port = build()
                    self._remembered[name] = port
        return port  # type: ignore[return-value]

    def remember(self, name: str, value: object) -> None:
        """Keep a value under a name, in place of what `remembered` would build."""
        self._remembered[name] = value


def _load_in_background(load: Callable[[], Port], loading: Future[Port]) -> None:
    try:
        loading.set_result(load())
    except BaseException as error:  # The edge of a thread: it is raised where it is waited for.
        loading.set_exception(error)

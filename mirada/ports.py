"""Protocols of everything outside the core, and the values they exchange."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from mirada.kernel.embeddings import EmbeddingSpace, Matrix, Vector
from mirada.kernel.images import PictureFacts, RgbImage
from mirada.kernel.model_requests import AnyReply, Request
from mirada.kernel.similarity import Match, SearchWay


class ImageEncoder(Protocol):
    """The image tower. Thread-safe. Never holds random weights."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space of every vector this encoder returns."""

    @property
    def device(self) -> str:
        """The device it computes on: "cpu", "cuda" or "mps"."""

    @property
    def input_side_px(self) -> int:
        """Side of the square the network sees; decoding much more than twice this is waste."""

    def encode_images(self, images: Sequence[RgbImage]) -> Matrix:
        """Return (n, d) float32 unit rows, in the order given; (0, d) for no images.

        Raises:
            InvalidInput: an array is not (h, w, 3) uint8 with h, w >= 1.
            EncoderUnavailable: the device fails.
        """


class TextEncoder(Protocol):
    """The text tower, in the image tower's space. Thread-safe."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space of every vector this encoder returns: the image tower's."""

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows, in the order given; (0, d) for no texts.

        Longer texts are cut at the model's context length; empty text has a defined vector.

        Raises:
            EncoderUnavailable: the device fails.
        """


class PromptEncoder(TextEncoder, Protocol):
    """Embeds prompts, in a space of their own; see `EmbeddingSpace.kind`."""

    def interactive(self) -> TextEncoder:
        """Return the same encoder for calls a person waits for."""


class CalibratedEncoder(ImageEncoder, TextEncoder, Protocol):
    """Both towers, and what turns their cosines into the model's own logits."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space of both towers."""

    @property
    def logit_scale(self) -> float:
        """Factor from cosine to logit, > 0."""

    @property
    def logit_bias(self) -> float:
        """The number added to scale x cosine; 0 for models trained with a softmax."""


class ImageDecoder(Protocol):
    """Turns untrusted bytes into facts and pixels; a picture that kills the decoder is refused."""

    def inspect(self, path: Path) -> PictureFacts:
        """Decode every pixel of the first frame and return what was found.

        What stands beside the pixels is read as far as it can be; nothing is refused for it.

        Raises:
            UnsupportedImage: not an accepted format.
            CorruptImage: empty, truncated, or it made the decoder crash or exceed its limits.
            ImageTooLarge: more than MAX_PIXELS, or a side over MAX_SIDE_PX.
            Unavailable: no decoder process could be started.
        """

    def decode(self, path: Path, min_side_px: int) -> RgbImage:
        """Return the first frame upright, on the defined background, as sRGB.

        It may be shrunk, never below `min_side_px` on its shorter side (nor enlarged).
        Raises as `inspect` does.
        """

    def thumbnail(self, path: Path, max_side_px: int) -> bytes:
        """Return a WebP of the first frame, at most `max_side_px` on its longer side, no metadata.

        Transparency is kept. Raises as `inspect` does.
        """

    def close(self) -> None:
        """End the child processes."""


class StagedFile(Protocol):
    """A file being received, on the file system it will stay on."""

    @property
    def stream(self) -> BinaryIO:
        """Write here; the hash and the size follow every write."""

    @property
    def path(self) -> Path:
        """The file of the bytes until they are committed."""

    @property
    def sha256(self) -> str:
        """64 lower-case hex digits of what was written so far."""

    @property
    def byte_size(self) -> int:
        """The number of bytes written so far."""

    def discard(self) -> None:
        """Remove the file unless it was committed; harmless to repeat."""


class ImageStore(Protocol):
    """Original pictures by content. A key never changes what it names."""

    def stage(self) -> StagedFile:
        """Begin a file. Raises StorageFull or Unavailable."""

    def commit(self, staged: StagedFile, key: str) -> None:
        """Make the staged bytes durable under `key`; if the key exists, drop them. StorageFull."""

    def path(self, key: str) -> Path:
        """Return a readable local path. Raises NotFound when there are no such bytes."""

    def delete(self, key: str) -> None:
        """Remove the bytes; harmless when absent."""

    def probe(self) -> None:
        """Write and remove a byte. Raises StorageFull or Unavailable."""


@dataclass(frozen=True, slots=True)
class VectorRows:
    """A batch of stored vectors with who may see them, columnar.

    Attributes:
        ids: (n,) int64, ascending in the order read: the embedding ids.
        change_seqs: (n,) int64.
        vectors: (n, d) float32, unit rows; rows of dead entries are zero.
        dead: (n,) bool: a tombstone; the id must disappear.
        access_rows: (m,) int64 positions into `ids`, one per image that shows this content, and one
            per user who had it classified.
        access_owners: (m,) int64 owner of that image; the negative id of that user.
        access_public: (m,) bool: that image is public; False for what is remembered.
    """

    ids: npt.NDArray[np.int64]
    change_seqs: npt.NDArray[np.int64]
    vectors: Matrix
    dead: npt.NDArray[np.bool_]
    access_rows: npt.NDArray[np.int64]
    access_owners: npt.NDArray[np.int64]
    access_public: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """A published snapshot as the database knows it; without this record a directory is nothing."""

    name: str
    change_seq: int
    db_epoch: str
    sha256: str
    row_count: int
    manifest: Mapping[str, Any]
    created_at: datetime | None = None
    """When the database was told; None before."""


class VectorSource(Protocol):
    """The database, as an index sees it: one embedding space's rows and the change counter."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space whose rows these are."""

    def current_seq(self) -> int:
        """Return the last committed number of the change counter."""

    def db_epoch(self) -> str:
        """Return the database's identity; a restored backup gets another one."""

    def tombstone_floor(self) -> int:
        """Return the highest number whose tombstones may already be purged."""

    def changes_since(self, change_seq: int, limit: int) -> VectorRows:
        """Return rows with a higher number, ordered by (change_seq, id), dead ones included.

        At most `limit` rows, except that the last number is always returned completely, so that
        the caller may move its watermark to the last row's number.
        """

    def live_rows_through(self, change_seq: int, page_rows: int = 5_000) -> Iterator[VectorRows]:
        """Yield the live rows with change_seq <= the given one, in pages by ascending id."""

    def count_live(self) -> int:
        """Return how many live rows the space has."""

    def count_changed_since(self, change_seq: int, through_id: int | None = None) -> int:
        """Return how many rows, dead or alive, have a higher number, and an id up to that one."""

    def snapshots(self) -> list[SnapshotRecord]:
        """Return the published snapshots that were not set aside, newest first."""

    def record_snapshot(self, record: SnapshotRecord, fencing_token: int) -> None:
        """Publish. Raises LeaseLost when a newer builder holds the lease."""

    def set_aside(self, name: str, reason: str) -> None:
        """Mark a snapshot as never to be served again; the first reason stays."""

    def retire_snapshots(self, keep: int) -> list[str]:
        """Forget all but the `keep` newest good snapshots; return the names, to delete their files."""

    def purge_tombstones(self) -> int:
        """Remove tombstones older than every good snapshot and return how many there were."""


@dataclass(frozen=True, slots=True)
class Permitted:
    """Which vectors a search may return, as a predicate on who may see what.

    Attributes:
        viewer_id: the caller; None for an anonymous one, who sees public images only.
        owner_ids: when not None, only images of these owners.
        embedding_ids: when not None, (n,) int64 ids that other filters let through.
        remembered_by: when not None, also the pictures that this user had classified; they are no
            images, so `owner_ids` does not concern them.
    """

    viewer_id: int | None
    owner_ids: frozenset[int] | None = None
    embedding_ids: npt.NDArray[np.int64] | None = None
    remembered_by: int | None = None


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """What an index found for one query.

    Attributes:
        matches: best first, ties by id, never padded.
        way: how it was computed.
        permitted_count: how many vectors the search was allowed to return.
        change_seq: the state of the database this answer reflects.
        background: (s,) float32 cosines of a fixed random sample of permitted vectors with the
            query: what relevance is measured against. Empty for an empty index.
    """

    matches: list[Match]
    way: SearchWay
    permitted_count: int
    change_seq: int
    background: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """The state of one process's view of a space, for `GET /api/v1/indexes` and health."""

    backend: str
    change_seq: int
    live_count: int
    dead_count: int
    delta_count: int
    snapshot: str | None
    snapshot_change_seq: int | None
    kind: str
    parameters: Mapping[str, Any]
    recall: Mapping[str, Any]
    snapshot_created_at: datetime | None = None


class VectorIndex(Protocol):
    """Nearest vectors of one space. Thread-safe. Score = cosine in [-1, 1], higher is nearer."""

    def search(
        self, queries: Matrix, k: int, permitted: Permitted, *, scan_rows: int | None = None
    ) -> list[SearchAnswer]:
        """Return one answer per query row: min(k, permitted) matches, whatever way it takes.

        Args:
            queries: (q, d) float32, unit rows.
            k: matches wanted per query, >= 1.
            permitted: what may be found.
            scan_rows: up to how many permitted rows the answer is exact; None leaves it to the index.

        Raises:
            InvalidInput: k < 1, wrong dimension, or a query that is not finite.
        """

    def refresh(self) -> int:
        """Catch up with the database and return the change number now reflected.

        Raises:
            Unavailable: the database cannot be reached; what was known is still served.
        """

    def wait_for(self, change_seq: int, timeout_s: float = 2.0) -> None:
        """Return as soon as searches reflect that change number.

        Raises:
            Unavailable: not within `timeout_s` seconds.
        """

    def rebuild(self, fencing_token: int, progress: RebuildProgress) -> SnapshotRecord | None:
        """Build and publish a snapshot of everything committed; None where the backend needs none.

        Raises:
            LeaseLost: another builder took over.
            StorageFull: no room; nothing was published.
        """

    def status(self) -> IndexStatus:
        """Return what this process serves from right now; loads it first if nothing is loaded.

        Raises:
            Unavailable: nothing is loaded and the database cannot be reached.
        """

    def known_status(self) -> IndexStatus | None:
        """Return the same without loading or asking anything; None while nothing is loaded."""

    def close(self) -> None:
        """Let go of files and memory."""


class LanguageModel(Protocol):
    """A language model of somebody else's: slow, paid for, and not to be believed. Thread-safe."""

    def check(self) -> None:
        """Raise CircuitOpen while a request would not even be sent. Sends nothing itself."""

    def call(self, request: Request[AnyReply]) -> AnyReply:
        """Send one request, without retries, and return its reply.

        Vectors are as many as the texts, of one dimension, finite and not zero.

        Raises:
            InvalidInput: the request cannot be sent; its value says what it takes.
            KeyRefused: the key is wrong; the log says it once.
            LanguageModelRefused: wrong model or request; asking again changes nothing.
            UnusableReply: the reply cannot be used, or is too long.
            NoAnswer: the request was sent, and no reply came in time.
            TooManyRequests, CircuitOpen, Unavailable: ask again after `retry_after_s`.
        """


class Grouping(Protocol):
    """Finds the centres of groups of vectors. Thread-safe."""

    def centres(self, vectors: Matrix, k: int, seed: int) -> Matrix:
        """Return (<= k, d) float32 unit centres; fewer where the rows do not differ that much.

        The same rows, k and seed give the same centres on the same machine.

        Args:
            vectors: (n, d) float32 unit rows, n >= 1.
            k: groups wanted, >= 1.
            seed: of everything that is drawn.

        Raises:
            InvalidInput: no rows, or k < 1.
        """


class RebuildProgress(Protocol):
    """The callback by which a rebuild reports and learns that it should stop."""

    def __call__(self, done: int, total: int) -> None:
        """Report rows done of rows in all. Raises LeaseLost to stop the work."""


def single(vector: Vector) -> Matrix:
    """Return a (d,) vector as the (1, d) matrix that encoders and indexes take."""
    return vector.reshape(1, -1)

"""The ports, in one module to be read together: protocols of all outside the core, and their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, Vector
from mirada.kernel.images import AnimatedCopy, PictureFacts, RgbImage, Seen
from mirada.kernel.model_requests import AnyReply, Request
from mirada.kernel.similarity import Match, QueryForm, SearchWay
from mirada.kernel.stickers import StickerForm
from mirada.kernel.ways import Trust, WayStatus

if TYPE_CHECKING:
    from sqlalchemy import Select


class ImageEncoder(Protocol):
    """The image tower of a model. Thread-safe. It never has random weights."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space of every vector this encoder returns."""

    @property
    def device(self) -> str:
        """The device it computes on: "cpu", "cuda" or "mps"."""

    @property
    def input_side_px(self) -> int:
        """Side of the network's square input, in pixels; decoding far more than twice of it is waste."""

    def encode_images(self, images: Sequence[RgbImage]) -> Matrix:
        """Return (n, d) float32 unit rows, in the order given; (0, d) for no images.

        Raises:
            InvalidInput: an array is not (h, w, 3) uint8 with h, w >= 1.
            EncoderUnavailable: the device fails.
        """


class TextEncoder(Protocol):
    """A text tower. Thread-safe."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space of every vector this encoder returns; a model's two towers share one."""

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows, in the order given; (0, d) for no texts.

        Long texts are cut at the model's context length; an empty text has a vector too.

        Raises:
            EncoderUnavailable: the device fails.
        """


class PromptEncoder(TextEncoder, Protocol):
    """An encoder of prompts, in a space of their own; see `EmbeddingSpace.kind`."""

    def interactive(self) -> TextEncoder:
        """Return this encoder for calls that a person waits for."""


class CalibratedEncoder(ImageEncoder, TextEncoder, Protocol):
    """Both towers of a model, with the scale and bias that turn their cosines into logits."""

    @property
    def logit_scale(self) -> float:
        """Factor from cosine to logit, > 0."""

    @property
    def logit_bias(self) -> float:
        """The number added to scale x cosine; 0 for models trained with a softmax."""


class ImageDecoder(Protocol):
    """A decoder of untrusted pictures; a picture that kills it is refused."""

    def inspect(self, path: Path) -> PictureFacts:
        """Decode every pixel of the first frame, and return the facts about the picture.

        Broken data beside the pixels counts as absent; no picture is refused for it.

        Raises:
            UnsupportedImage: the format is not accepted.
            CorruptImage: it is empty or truncated, or the decoder crashed or exceeded its limits.
            ImageTooLarge: it has more than MAX_PIXELS, or a side over MAX_SIDE_PX.
            Unavailable: no decoder process could be started.
        """

    def inspect_and_decode(
        self, path: Path, min_side_px: int
    ) -> tuple[PictureFacts, RgbImage | None]:
        """Return what `inspect` and `decode` do, from one decoding.

        There are no pixels (None) of animations, of what may be transparent, and of pictures so large
        that they are as quickly decoded again. It raises the errors of `inspect`.
        """

    def decode(self, path: Path, min_side_px: int) -> RgbImage:
        """Return the picture upright, on TRANSPARENCY_BACKGROUND, as sRGB.

        Of an animation it is the first frame with something on it.

        It may be shrunk, but not below `min_side_px` on its shorter side; it is never enlarged. It
        raises the errors of `inspect`.
        """

    def see(self, path: Path, min_side_px: int, thumbnail_side_px: int = 0) -> Seen:
        """Return what `decode` does, its opacity, and what `thumbnail` does, from one decoding.

        0 makes no thumbnail. It raises the errors of `inspect`.
        """

    def shrink(self, pixels: RgbImage, max_side_px: int) -> bytes:
        """Return the WebP that `thumbnail` makes of an opaque picture, from its decoded pixels."""

    def thumbnails(self, path: Path, sides_px: Sequence[int]) -> list[bytes]:
        """Return what `thumbnail` does for several sides, from one decoding."""

    def thumbnail(self, path: Path, max_side_px: int) -> bytes:
        """Return a WebP of the frame that `decode` returns, at most `max_side_px` on its longer side.

        It keeps transparency and has no metadata. It raises the errors of `inspect`.
        """

    def animation(self, path: Path) -> AnimatedCopy:
        """Return an animated WebP without metadata of a picture with several frames.

        It is bounded in frames, pixels, bytes and time; where a bound is met, or a frame is broken,
        the copy says why it is none. Raises NotFound and Unavailable as `inspect` does.
        """

    def sticker(self, path: Path, form: StickerForm) -> AnimatedCopy:
        """Return a picture as a sticker; it keeps transparency, and moves where the form lets it.

        Where it does not fit, or is broken, the copy says why it is none. Raises NotFound and Unavailable
        as `inspect` does.
        """

    def close(self) -> None:
        """End the child processes."""


class StagedFile(Protocol):
    """A file being received, on the file system of its final place."""

    @property
    def stream(self) -> BinaryIO:
        """The stream to write to; every write updates the hash and the size."""

    @property
    def path(self) -> Path:
        """The file of the bytes until they are committed."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes so far: 64 lower-case hex digits."""

    @property
    def byte_size(self) -> int:
        """The number of bytes written so far."""

    def discard(self) -> None:
        """Remove the file unless it was committed; harmless to repeat."""


class ImageStore(Protocol):
    """A store of originals by key. The bytes under a key never change."""

    def stage(self) -> StagedFile:
        """Return a new staged file. Raises StorageFull or Unavailable."""

    def commit(self, staged: StagedFile, key: str) -> None:
        """Make the staged bytes durable under `key`; discard them if the key exists.

        Raises:
            StorageFull, Unavailable: nothing was committed.
        """

    def path(self, key: str) -> Path:
        """Return a readable local path. Raises NotFound when the store has no such file."""

    def delete(self, key: str) -> None:
        """Remove a stored file; harmless when it is absent."""

    def probe(self) -> None:
        """Check that the store takes files. Raises StorageFull or Unavailable."""


class Copies(Protocol):
    """A cache of copies of originals, by the original's key and a tail; see `kernel.copies`."""

    def read(self, storage_key: str, tail: str) -> bytes | None:
        """Return a copy; None where it is not kept or cannot be read."""

    def has(self, storage_key: str, tail: str) -> bool:
        """Return whether a copy is kept, without reading it."""

    def write(self, storage_key: str, tail: str, content: bytes) -> bool:
        """Keep a copy, and return whether that could be done."""

    def drop(self, storage_key: str, tails: Iterable[str]) -> None:
        """Remove copies; harmless where there are none."""


@dataclass(frozen=True, slots=True)
class VectorRows:
    """A batch of stored vectors with their owners and visibility, as columns.

    Attributes:
        ids: (n,) int64, ascending in the order read: the embedding ids.
        change_seqs: (n,) int64 numbers of the change counter.
        vectors: (n, d) float32, unit rows; rows of dead entries are zero.
        dead: (n,) bool, true for a tombstone, whose id must leave the index.
        access_rows: (m,) int64 positions into `ids`: one for each image that shows the content, and
            one for each user who classified it.
        access_owners: (m,) int64 id of the image's owner; the negative id of such a user.
        access_public: (m,) bool, whether the image is public; False for such a user.
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
    """The database's record of a published snapshot; a folder without a record is not a snapshot."""

    name: str
    change_seq: int
    db_epoch: str
    sha256: str
    row_count: int
    manifest: Mapping[str, Any]
    created_at: datetime | None = None
    """Time of publication in UTC; None before."""


class VectorSource(Protocol):
    """The vectors of one space and the change counter, as an index reads them from the database."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space of the vectors."""

    def current_seq(self) -> int:
        """Return the last committed number of the change counter."""

    def db_epoch(self) -> str:
        """Return the identity of the database; a restored backup gets another one."""

    def tombstone_floor(self) -> int:
        """Return the highest number up to which tombstones may have been removed."""

    def changes_since(self, change_seq: int, limit: int) -> VectorRows:
        """Return rows with a higher number and tombstones, ordered by (change_seq, id).

        There are at most `limit` rows, and further ones with the last row's number. So the caller
        may continue after that number.
        """

    def live_rows_through(self, change_seq: int, page_rows: int = 5_000) -> Iterator[VectorRows]:
        """Yield the live rows with change_seq <= the given one, in pages by ascending id."""

    def passing(self, scope: Scope) -> npt.NDArray[np.int64]:
        """Return the (n,) ids, ascending, of live vectors that an image in scope shows.

        For an index in memory, which checks beside it what the audience may see by what it knows.
        """

    def permitted(self, scope: Scope) -> Select[int]:
        """Return the SELECT of the same ids, for an index that searches in the database itself."""

    def changed_among(self, ids: Sequence[int], change_seq: int) -> frozenset[int]:
        """Return which of these ids have a higher number, or no row any more."""

    def count_live(self) -> int:
        """Return the number of live rows of the space."""

    def count_changed_since(self, change_seq: int, through_id: int | None = None) -> int:
        """Return the number of rows and tombstones with a higher number.

        Only rows with an id up to `through_id` count; None counts all.
        """

    def snapshots(self) -> list[SnapshotRecord]:
        """Return the published snapshots that were not set aside, newest first."""

    def record_snapshot(self, record: SnapshotRecord, fencing_token: int) -> None:
        """Publish a snapshot. Raises LeaseLost when a newer builder holds the lease."""

    def set_aside(self, name: str, reason: str) -> None:
        """Mark a snapshot as unusable; the first reason stays."""

    def retire_snapshots(self, keep: int) -> list[str]:
        """Remove the records of all but the newest valid snapshots, and return their names.

        Kept is the newest of each of the `keep` highest change numbers.
        """

    def purge_tombstones(self) -> int:
        """Remove tombstones older than every valid snapshot, and return their number."""


@dataclass(frozen=True, slots=True)
class Near:
    """Vectors found by one query in the database, nearest by their rounded copies first.

    Attributes:
        ids: (n,) int64 embedding ids.
        vectors: (n, d) float32 as stored; a damaged one is left out of both.
        last: the inner product of the query with the copy of the last one found; None where there
            are no more.
    """

    ids: npt.NDArray[np.int64]
    vectors: Matrix
    last: float | None


class CopiesAtOneTime(Protocol):
    """The copies in one transaction. Used by one thread."""

    @property
    def change_seq(self) -> int:
        """The number of the change counter that it reflects."""

    @property
    def graph(self) -> Mapping[str, Any] | None:
        """The description that `CopiesGraph.describe` was given; None where there is no graph."""

    def count(self, permitted: Select[int]) -> int:
        """Return how many vectors a SELECT of ids permits."""

    def sample(self, permitted: Select[int] | None, most: int, *, are_few: bool) -> Matrix:
        """Return the (n, d) stored vectors of the permitted ids that are first in `sampling_order`.

        Args:
            permitted: ids; None permits all.
            most: of them.
            are_few: they are better gathered and sorted than met in passing.
        """

    def scan(
        self, query: Vector, most: int, permitted: Select[int], *, within: float | None = None
    ) -> Near:
        """Return the nearest permitted vectors, all of them compared.

        Args:
            query: (d,).
            most: of them.
            permitted: ids.
            within: least inner product with a copy; None for any.
        """

    def walk(self, query: Vector, most: int, ef_search: int, permitted: Select[int] | None) -> Near:
        """Return permitted vectors that a walk through the graph finds nearest.

        It goes on until there are as many, or a limit of the server's is met.

        Args:
            query: (d,).
            most: of them.
            ef_search: the beam, 1 to 1,000.
            permitted: ids; None permits all.
        """


class CopiesGraph(Protocol):
    """The graph over the copies: it is built while searches and changes go on."""

    def build(self, rows: int, m: int, ef_construction: int, progress: RebuildProgress) -> None:
        """Build it anew.

        Args:
            rows: about how many copies there are.
            m: links of a row, 2 to 100.
            ef_construction: beam while building, at least 2 m.
            progress: called about once a second; what it raises ends the build.

        Raises:
            Unavailable: the database cannot be reached.
        """

    def describe(self, described: Mapping[str, Any]) -> None:
        """Keep what is known of it, as JSON."""

    def remove(self) -> None:
        """Remove it; every vector is compared from then on."""

    def version(self) -> str:
        """Return the version of what searches."""

    def byte_size(self) -> int:
        """Return its bytes; 0 where there is none."""


class VectorCopies(Protocol):
    """Copies of one space's vectors in a form that the database itself can search. Thread-safe."""

    @property
    def graph(self) -> CopiesGraph:
        """The graph over them."""

    def moment(self) -> AbstractContextManager[CopiesAtOneTime]:
        """Enter one transaction. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How an answer was computed.

    Attributes:
        way: exact scan, graph, or another.
        ef_search: the beam of a walk through a graph; None where there was none.
        depth: how many candidates of a quantised scan were compared exactly; None where there was
            no such scan.
        candidates: vectors that were compared exactly.
    """

    way: SearchWay
    ef_search: int | None = None
    depth: int | None = None
    candidates: int = 0


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The answer of an index to one query.

    Attributes:
        matches: best first, ties by id, never padded.
        plan: how it was computed.
        permitted_count: number of vectors that the search was allowed to return.
        change_seq: number of the change counter that the answer reflects.
        background: (s,) float32 cosines of the query with a fixed random sample of permitted
            vectors, against which relevance is measured; empty for an empty index. Each value is, to
            the last bit, the same whatever else is there: everybody reads what is made of it.
    """

    matches: list[Match]
    plan: SearchPlan
    permitted_count: int
    change_seq: int
    background: npt.NDArray[np.float32]

    @property
    def way(self) -> SearchWay:
        """The way it was computed."""
        return self.plan.way


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """The state of a process's index of one space, for `GET /api/v1/indexes` and health."""

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
    ways: tuple[WayStatus, ...] = ()
    """One for each form of query and approximate way; empty where every answer is exact."""
    planning: Mapping[str, Any] = field(default_factory=dict)
    """What the choice between ways rests on: the costs of their parts on this machine, and by form
    from how many permitted vectors on each way is the first one tried."""

    @property
    def measured_on(self) -> str:
        """The name of what the ways were measured on, at most 64 characters; "" where there is none.

        That is the snapshot, or for a backend without snapshots the change number of its measuring.
        """
        if self.snapshot is not None:
            return self.snapshot
        return "" if self.snapshot_change_seq is None else f"@{self.snapshot_change_seq}"


class VectorIndex(Protocol):
    """An index of the vectors of one space. Thread-safe. Scores are cosines in [-1, 1]; higher is nearer."""

    def search(
        self,
        queries: Matrix,
        k: int,
        scope: Scope,
        *,
        form: QueryForm = QueryForm.PICTURE,
        scan_rows: int | None = None,
    ) -> list[SearchAnswer]:
        """Return one answer per query row: min(k, permitted) matches, whatever way it takes.

        Permitted are the vectors that an image in scope shows; an image that the audience leaves
        out counts too, since an index knows vectors and not images.

        Args:
            queries: (q, d) float32, unit rows.
            k: matches wanted per query, >= 1.
            scope: who asks, and what they ask to see.
            form: of the queries, all of them.
            scan_rows: up to how many permitted rows the answer is exact; None leaves it to the index.

        Raises:
            InvalidInput: k < 1, wrong dimension, or a query that is not finite.
        """

    def refresh(self) -> int:
        """Read the changes from the database, and return the number that searches now reflect.

        Raises:
            Unavailable: the database cannot be reached; searches reflect the earlier number.
        """

    def wait_for(self, change_seq: int, timeout_s: float = 2.0) -> None:
        """Wait until searches reflect a number of the change counter.

        Raises:
            Unavailable: they do not within `timeout_s` seconds.
        """

    def rebuild(self, fencing_token: int, progress: RebuildProgress) -> SnapshotRecord | None:
        """Build and publish a snapshot of everything committed; None where the backend needs none.

        Raises:
            LeaseLost: another builder has the lease.
            StorageFull: the disk is full; nothing was published.
        """

    def set_trust(self, trust: Trust) -> None:
        """Search from now on as far as serving has shown the ways to be right.

        It holds for this process and the snapshot it serves from; a newer one begins with MEASURED.
        A backend without such ways ignores it.
        """

    def tune(self) -> IndexStatus:
        """Measure on this machine what the ways cost, keep it, and return the state with it.

        It decides which way is tried first and never what is found. A backend whose ways have no such
        costs measures nothing.

        Raises:
            Unavailable: nothing can be loaded, or the costs cannot be kept.
        """

    def status(self) -> IndexStatus:
        """Return the state of the index; it is loaded first if it is not.

        Raises:
            Unavailable: nothing is loaded and the database cannot be reached.
        """

    def known_status(self) -> IndexStatus | None:
        """Return the state of the index without loading it; None while it is not loaded."""

    def close(self) -> None:
        """Release files and memory."""


class LanguageModel(Protocol):
    """A language model behind an API: slow, paid for, and not trusted. Thread-safe."""

    def check(self) -> None:
        """Raise CircuitOpen while requests are refused; nothing is sent."""

    def call(self, request: Request[AnyReply]) -> AnyReply:
        """Send one request, without retries, and return its reply.

        Vectors are as many as the texts, of one dimension, finite and not zero.

        Raises:
            InvalidInput: the request cannot be sent; the message gives the limits.
            KeyRefused: the key is wrong; the log says it once.
            LanguageModelRefused: the model or the request is wrong; a retry cannot help.
            UnusableReply: the reply cannot be used, or is too long.
            NoAnswer: the request was sent, and no reply came in time.
            TooManyRequests, CircuitOpen, Unavailable: a retry may help after `retry_after_s`.
        """

    def close(self) -> None:
        """Close the connections; harmless to repeat."""


class Doorbell(Protocol):
    """Tells workers of committed jobs. A lost message delays a job and never loses it."""

    def ring(self, job_id: int, kind: str) -> bool:
        """Send a message for a committed job. It never raises and waits about a second at most.

        Returns:
            Whether the queue took the message, as far as is known; if not, the sweeper rings again.
        """

    def waiting(self) -> int | None:
        """Return the number of messages that no worker has fetched; None where there is no queue.

        It raises the errors of the queue's client when the queue cannot be reached.
        """


class Grouping(Protocol):
    """An algorithm that finds the centres of groups of vectors. Thread-safe."""

    def centres(self, vectors: Matrix, k: int, seed: int) -> Matrix:
        """Return (m, d) float32 unit centres, m <= k; fewer than k where rows are too similar.

        The same rows, k and seed give the same centres on the same machine.

        Args:
            vectors: (n, d) float32 unit rows, n >= 1.
            k: number of groups, >= 1.
            seed: seed of all random draws.

        Raises:
            InvalidInput: there are no rows, or k < 1.
        """


class Projection(Protocol):
    """A way to lay vectors out in two dimensions. Thread-safe."""

    @property
    def method(self) -> str:
        """Its name, as the map tells it: at most 20 characters."""

    def project(
        self, rows: Matrix, start: Matrix | None, seed: int, check: Callable[[float], None]
    ) -> Matrix:
        """Return (n, 2) float32 places, finite; what is alike lies together. The scale means nothing.

        The same rows, start and seed give the same places on the same machine. It uses one thread.

        Args:
            rows: (n, p) float32 principal components, n >= 1; p may be less than 2.
            start: (n, 2) float32 places to begin from; None for a first map.
            seed: seed of all random draws.
            check: called now and then with the part that is done, in [0, 1]; what it raises ends it.
        """


class RebuildProgress(Protocol):
    """The callback by which a rebuild reports its progress, and by which it is stopped."""

    def __call__(self, done: int, total: int) -> None:
        """Report `done` of `total` rows. Raises LeaseLost to stop the rebuild."""


def single(vector: Vector) -> Matrix:
    """Return a (d,) vector as a (1, d) matrix, for an index."""
    return vector.reshape(1, -1)

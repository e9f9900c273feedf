"""Queries: words, a picture, an image or numbers, made into a unit vector of one embedding space.

The sources that a text is compared with have their names here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, select
from sqlalchemy.orm import Session

from mirada.captions.encoder import caption_encoder, is_paid
from mirada.db.models import Image
from mirada.db.vector_tables import table_of
from mirada.db.visibility import may_see
from mirada.embedding.interactive import (
    interactive_encoder,
    interactive_text_encoder,
    known_space,
    picture_turn,
    require_embeddings,
)
from mirada.kernel.audience import Audience
from mirada.kernel.composing import WeighedPart
from mirada.kernel.embeddings import (
    EmbeddingSpace,
    Matrix,
    SpaceKind,
    Vector,
    from_blob,
    l2_normalise,
)
from mirada.kernel.errors import Conflict, InvalidInput, NotAuthenticated, NotFound
from mirada.kernel.ids import LARGEST_ID
from mirada.kernel.images import ImageStatus, RgbImage
from mirada.kernel.picture_formats import SNIFF_BYTES, sniff
from mirada.kernel.similarity import QueryForm
from mirada.people.access import NEEDS_KEY
from mirada.pictures.intake import require_declared_type
from mirada.ports import CalibratedEncoder, TextEncoder
from mirada.runtime import EncoderKind, Runtime

CAPTION_TIMEOUT_S = 5.0
"""Longest time for a server to embed a text that somebody waits for."""


class Source(StrEnum):
    """A source; pictures, prompts and captions are compared by meaning, keywords as they are written.

    Requests, replies and metrics use these names.
    """

    PICTURES = "pictures"
    PROMPTS = "prompts"
    CAPTIONS = "captions"
    KEYWORDS = "keywords"


ALL = "all"
"""All of these together, in a request."""
FUSED = "fused"
"""The way in which several rankings became one, in replies and metrics."""
SPACE_KINDS = {
    Source.PICTURES: SpaceKind.IMAGE,
    Source.PROMPTS: SpaceKind.PROMPT,
    Source.CAPTIONS: SpaceKind.CAPTION,
}
SOURCE_OF_KIND = {kind: source for source, kind in SPACE_KINDS.items()}


class QueryKind(StrEnum):
    """The origin of a query."""

    TEXT = "text"
    PICTURE = "picture"
    IMAGE_ID = "id"
    VECTOR = "vector"
    MIXED = "mixed"
    """Several parts."""


@dataclass(frozen=True, slots=True)
class Query:
    """A vector to search with.

    Attributes:
        vector: (d,) float32, unit norm, in the space.
        space_id: the row of the space.
        space: the vectors it is compared with are of it.
        made_from: its origin.
        parts: of a query of several parts, all of them; empty for any other.
    """

    vector: Vector
    space_id: int
    space: EmbeddingSpace
    made_from: QueryKind
    parts: Sequence[WeighedPart] = ()

    @property
    def unwanted(self) -> list[WeighedPart]:
        """The parts that the vector does not hold: what is like them is moved down."""
        return [part for part in self.parts if part.weight < 0]

    @property
    def form(self) -> QueryForm:
        """The form in which the index knows it."""
        if self.made_from is QueryKind.MIXED:
            return QueryForm.BLEND
        is_across = self.made_from is QueryKind.TEXT and self.space.kind is SpaceKind.IMAGE
        return QueryForm.TEXT if is_across else QueryForm.PICTURE


def text_vectors(
    runtime: Runtime,
    texts: Sequence[str],
    kind: SpaceKind,
    audience: Audience,
    wait_s: float | None = None,
) -> Matrix:
    """Return the (n, d) unit vectors of texts in the space of a kind.

    Args:
        runtime: with the encoders.
        texts: none blank.
        kind: of the space.
        audience: the viewer; embedding may cost money, which an anonymous one cannot spend.
        wait_s: longest wait for weights that are being loaded; None for the usual one.

    Raises:
        Conflict: embeddings are switched off; of captions also: the settings name another model for
            them, or a server embeds them and there is no key.
        NotAuthenticated: a server embeds captions for money, and nobody says who asks.
        Unavailable: the weights take longer than `wait_s` to load, or nobody embeds captions now.
        BudgetReached: a server embeds captions for money, and today's is spent.
    """
    encoder: TextEncoder
    if kind is SpaceKind.IMAGE:
        encoder = interactive_encoder(runtime, wait_s)
    elif kind is SpaceKind.PROMPT:
        encoder = interactive_text_encoder(runtime, wait_s)
    else:
        require_embeddings(runtime)
        if not is_paid(runtime):
            interactive_text_encoder(runtime, wait_s)
        elif audience.viewer_id is None:
            # It costs next to nothing, but the installation's money, and so not everybody's to spend.
            raise NotAuthenticated(NEEDS_KEY)
        encoder = caption_encoder(runtime, timeout_s=CAPTION_TIMEOUT_S)
    return runtime.remembering(encoder).encode_texts(texts)


def of_picture(
    runtime: Runtime, path: Path, declared_media_type: str | None, wait_s: float | None = None
) -> Query:
    """Return the query for a received picture, of which nothing is kept; raises as its parts do.

    Weights that are being loaded are waited for `wait_s`; None for the usual time.
    """
    encoder = interactive_encoder(runtime, wait_s)
    with picture_turn(runtime):
        pixels = pixels_of(runtime, encoder, path, declared_media_type)
        vector = encoder.encode_images([pixels])[0]
    return Query(vector, *runtime.space(), QueryKind.PICTURE)


def pixels_of(
    runtime: Runtime, encoder: CalibratedEncoder, path: Path, declared_media_type: str | None
) -> RgbImage:
    """Return a received picture as the encoder takes it.

    Raises:
        UnsupportedImage, CorruptImage, ImageTooLarge: it is no picture that we accept, or not of
            the type it was sent as.
    """
    pixels = runtime.decoder.decode(path, 2 * encoder.input_side_px)
    with path.open("rb") as file:
        fmt = sniff(file.read(SNIFF_BYTES))
    # The decoder goes by the same bytes.
    assert fmt is not None
    require_declared_type(declared_media_type, fmt)
    return pixels


def of_image(runtime: Runtime, image_id: int, kind: EncoderKind, audience: Audience) -> Query:
    """Return the query for a stored image that the viewer may see, or for its prompt.

    The image may be one that the audience leaves out of the results.

    Raises:
        NotFound: there is no such image for this viewer.
        Conflict: it has no vector (yet), or no prompt.
    """
    if not 0 < image_id <= LARGEST_ID:
        raise NotFound(f"There is no image {image_id}.")
    space_id, space = known_space(runtime, kind)
    with runtime.reading() as session:
        vector = vector_of_image(
            session, image_id, audience.whole(), space_id=space_id, space=space
        )
    return Query(vector, space_id, space, QueryKind.IMAGE_ID)


def of_numbers(runtime: Runtime, numbers: list[float], kind: EncoderKind) -> Query:
    """Return the query for numbers from a client, normalised.

    Raises:
        InvalidInput: another dimension, all zeros, or not finite.
    """
    space_id, space = known_space(runtime, kind)
    if len(numbers) != space.dimension:
        raise InvalidInput(
            f"The vector has {len(numbers)} numbers; {space.encoder} needs {space.dimension}.",
            fields={"vector": [f"Must have {space.dimension} numbers."]},
        )
    try:
        vector = l2_normalise(numbers)
    except InvalidInput as error:
        raise InvalidInput(error.detail, fields={"vector": [error.detail]}) from error
    return Query(vector, space_id, space, QueryKind.VECTOR)


def vector_of_image(
    session: Session, image_id: int, audience: Audience, *, space_id: int, space: EmbeddingSpace
) -> Vector:
    """Return the stored (d,) vector of an image the audience may see, or of its prompt, by the space.

    Raises:
        NotFound: there is no such image for this audience.
        Conflict: the image has no vector (yet), or no prompt; the message says why.
    """
    query = _with_vector(space_id, space.kind, audience)
    row = session.execute(query, {"image": image_id}).one_or_none()
    if row is None:
        raise NotFound(f"There is no image {image_id}.")
    if space.kind is SpaceKind.PROMPT and row.prompt_text_id is None:
        raise Conflict(f"Image {image_id} has no prompt.")
    if row.vector is None:
        raise Conflict(_without_vector(image_id, row, audience, space.kind))
    return from_blob(row.vector, row.crc32, space.dimension)


def _without_vector(image_id: int, row: Row[Any], audience: Audience, kind: SpaceKind) -> str:
    """Return why an image has no vector."""
    if row.status == ImageStatus.FAILED:
        is_told = row.owner_id == audience.viewer_id and row.failure
        return f"Image {image_id} could not be embedded." + (f" {row.failure}" if is_told else "")
    if row.status == ImageStatus.READY and kind is SpaceKind.IMAGE:
        # It has one of another model.
        return (
            f"Image {image_id} has no vector of the image model in use, which was changed since: its file "
            "is gone, or it came in just then. Ask with the picture itself, or try again in a minute."
        )
    return f"Image {image_id} is {row.status} and has no {kind} vector yet; try again in a moment."


@lru_cache
def _with_vector(space_id: int, kind: SpaceKind, audience: Audience) -> Select[Any]:
    """Return the query for an image with what it shows in a space, NULL where that is nothing (yet)."""
    table, images = table_of(kind), Image.__table__
    vectors = table.entity.__table__
    # A vector that somebody else's upload or text brought is not told before this image's own job
    # has come to it.
    own = and_(
        table.subject == table.shown_by,
        table.is_through,
        vectors.c.space_id == space_id,
        vectors.c.is_deleted.is_(False),
    )
    query = select(
        images.c.owner_id,
        images.c.status,
        images.c.failure,
        images.c.prompt_text_id,
        vectors.c.vector,
        vectors.c.crc32,
    ).select_from(images.outerjoin(vectors, own))
    return query.where(images.c.id == bindparam("image"), may_see(audience))

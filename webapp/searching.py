"""From a query to results over HTTP: the one path that search, similar and the compat routes take."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from enum import StrEnum

import numpy as np
from flask import request
from werkzeug.datastructures import FileStorage

from mirada.db import spaces
from mirada.embedding import label_vectors
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, Vector, l2_normalise
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.kernel.ids import LARGEST_ID
from mirada.kernel.images import RgbImage
from mirada.kernel.nsfw import SAFE_PROMPTS, UNSAFE_PROMPTS, NsfwPolicy
from mirada.pictures.receiving import require_declared_type
from mirada.ports import CalibratedEncoder, TextEncoder, VectorIndex, VectorSource
from mirada.search import by_vector
from mirada.search.safety import Safety
from webapp.callers.auth import Caller, require_user
from webapp.http import uploads
from webapp.http.counting import SEARCHES
from webapp.http.current import current_runtime
from webapp.schemas.search import PICTURES, PROMPTS

LOADING_WAIT_S = 8.0
"""How long a query waits for weights that are being loaded before it says 503; the bundled ones take
less. Every start loads them before the server calls itself healthy."""
FRESHNESS_WAIT_S = 2.0
"""How long a search waits for the change that X-Min-Change-Seq names before it says 503."""
SWITCHED_OFF = "Embeddings are switched off here (EMBEDDINGS_ENABLED=false)."


class QueryKind(StrEnum):
    """What a search was asked with."""

    TEXT = "text"
    PICTURE = "picture"
    IMAGE_ID = "id"
    VECTOR = "vector"


def find_images(
    query: Vector,
    caller: Caller,
    *,
    asked_with: QueryKind,
    k: int,
    threshold: float | None = None,
    exclude_image_ids: Collection[int] = (),
    only_own: bool = False,
    by_prompt: bool = False,
) -> by_vector.Found:
    """Search a space for a unit vector of it, no staler than X-Min-Change-Seq asks for.

    Args:
        query: (d,) float32, unit norm.
        caller: who asks.
        asked_with: what the vector was made from; it is only counted.
        k: most results.
        threshold: least cosine similarity of a result; None for no cut.
        exclude_image_ids: images that may not be results.
        only_own: the caller's images alone.
        by_prompt: compare with the images' prompts, in the prompt space, instead of with pictures.
    """
    runtime = current_runtime()
    space_id, _ = prompt_space() if by_prompt else image_space()
    index = runtime.index(space_id)
    wait_for_freshness(index, runtime.vector_source(space_id))
    safety = safety_in_force()
    audience = caller.audience.own_alone() if only_own else caller.audience
    with runtime.reading() as session:
        found = by_vector.find(
            session,
            index,
            query,
            replace(audience, left_out_ids=frozenset(exclude_image_ids)),
            k=k,
            threshold=threshold,
            safety=safety,
            kind=SpaceKind.PROMPT if by_prompt else SpaceKind.IMAGE,
        )
    compared = PROMPTS if by_prompt else PICTURES
    SEARCHES.labels(asked_with, compared, found.way, found.verdict).inc()
    return found


def safety_in_force() -> Safety | None:
    """Return by what others' pictures are kept out of results; None unless NSFW_POLICY=hide.

    Raises:
        Conflict: embeddings are switched off, so nothing can be judged and nothing is shown.
        Unavailable: the encoder takes its time to load.
    """
    runtime = current_runtime()
    if runtime.settings.nsfw_policy is not NsfwPolicy.HIDE:
        return None
    encoder = encoder_for_people()
    prompts = [label_vectors.of_prompt(text) for text in (*UNSAFE_PROMPTS, *SAFE_PROMPTS)]
    unsafe, safe = np.split(label_vectors.vectors_of(runtime, encoder, prompts), 2)
    return Safety(unsafe, safe, encoder.logit_scale, runtime.settings.nsfw_threshold)


def current_change_seq() -> int | None:
    """Return the last committed change number, None before there is any image space."""
    runtime = current_runtime()
    with runtime.reading() as session:
        space_id = spaces.pinned_space_id(session)
    return None if space_id is None else runtime.vector_source(space_id).current_seq()


def wait_for_freshness(index: VectorIndex, source: VectorSource) -> None:
    """Wait until the index reflects the change that the request names.

    Raises:
        NotAuthenticated: nobody is told how often the database changed who has no key.
        InvalidInput: the header is no number.
        Conflict: this database never gave that number, so waiting for it would never end.
        Unavailable: the change did not arrive in time.
    """
    if (asked := asked_change_seq()) is not None:
        require_given(asked, source.current_seq())
        index.wait_for(asked, timeout_s=FRESHNESS_WAIT_S)


def asked_change_seq() -> int | None:
    """Return the number in X-Min-Change-Seq; raises NotAuthenticated and InvalidInput as above."""
    given = request.headers.get("X-Min-Change-Seq")
    if given is None:
        return None
    require_user()
    if not given.isdecimal() or len(given) > 18:
        raise InvalidInput("X-Min-Change-Seq must be the number that X-Change-Seq gave.")
    return int(given)


def require_given(change_seq: int, current_seq: int) -> None:
    """Raise Conflict for a change number that this database never gave."""
    if change_seq > current_seq:
        raise Conflict(
            f"This database never gave the change number {change_seq}; its latest is {current_seq}. It "
            "was probably restored from a backup: forget the number and search without it."
        )


def image_space() -> tuple[int, EmbeddingSpace]:
    """Return the id and value of the image space; the first run's encoder decides it.

    Raises:
        Conflict: there is none, and embeddings are switched off.
        Unavailable: there is none yet, and the encoder takes its time to load.
    """
    runtime = current_runtime()
    if not runtime.space_is_known():
        if not runtime.settings.embeddings_enabled:
            raise Conflict(SWITCHED_OFF)
        runtime.encoder_within(LOADING_WAIT_S)
    return runtime.space()


def prompt_space() -> tuple[int, EmbeddingSpace]:
    """Return the id and value of the prompt space; raises as `image_space` does."""
    runtime = current_runtime()
    with runtime.reading() as session:
        is_known = spaces.pinned_space(session, SpaceKind.PROMPT) is not None
    if not is_known:
        _prompt_encoder()
    return runtime.space(SpaceKind.PROMPT)


def _prompt_encoder(wait_s: float = LOADING_WAIT_S) -> TextEncoder:
    runtime = current_runtime()
    if not runtime.settings.embeddings_enabled:
        raise Conflict(SWITCHED_OFF)
    return runtime.text_encoder_within(wait_s).interactive()


def encoder_for_people(wait_s: float = LOADING_WAIT_S) -> CalibratedEncoder:
    """Return the encoder for calls that somebody waits for. Raises Conflict when switched off."""
    runtime = current_runtime()
    if not runtime.settings.embeddings_enabled:
        raise Conflict(SWITCHED_OFF)
    return runtime.encoder_within(wait_s).interactive()


def pixels_of_upload(upload: FileStorage) -> RgbImage:
    """Return an uploaded picture as the encoder takes it; its staged file goes with the request.

    Raises:
        UnsupportedImage, CorruptImage, ImageTooLarge: it is no picture that we accept, or not of
            the type it was sent as.
    """
    path = uploads.staged_of(upload).path
    side_px = current_runtime().encoder_within(LOADING_WAIT_S).input_side_px
    pixels = current_runtime().decoder.decode(path, 2 * side_px)
    require_declared_type(uploads.declared_media_type(upload), uploads.decoded_format(path))
    return pixels


def vector_of_text(text: str, wait_s: float = LOADING_WAIT_S) -> Vector:
    """Return the unit vector of a text in the image space."""
    vectors = current_runtime().remembering(encoder_for_people(wait_s)).encode_texts([text])
    return vectors[0]


def vector_of_prompt(text: str, wait_s: float = LOADING_WAIT_S) -> Vector:
    """Return the unit vector of a text in the prompt space."""
    vectors = current_runtime().remembering(_prompt_encoder(wait_s)).encode_texts([text])
    return vectors[0]


def vector_of_upload(upload: FileStorage) -> Vector:
    """Return the unit vector of an uploaded picture, of which nothing is kept."""
    vectors = encoder_for_people().encode_images([pixels_of_upload(upload)])
    return vectors[0]


def vector_of_image(image_id: int, caller: Caller, *, by_prompt: bool = False) -> Vector:
    """Return the stored unit vector of an image the caller may see, or that of its prompt.

    Raises:
        NotFound: there is no such image for this caller.
        Conflict: it has no vector (yet), or no prompt.
    """
    if not 0 < image_id <= LARGEST_ID:
        raise NotFound(f"There is no image {image_id}.")
    runtime = current_runtime()
    space_id, space = prompt_space() if by_prompt else image_space()
    with runtime.reading() as session:
        return by_vector.vector_of_image(
            session, image_id, caller.audience, space_id=space_id, space=space
        )


def vector_given(values: list[float], *, by_prompt: bool = False) -> Vector:
    """Return numbers from a client as a unit vector of the image space, or of the prompt space.

    Raises:
        InvalidInput: another dimension, all zeros, or not finite.
    """
    _, space = prompt_space() if by_prompt else image_space()
    if len(values) != space.dimension:
        raise InvalidInput(
            f"The vector has {len(values)} numbers; {space.encoder} needs {space.dimension}.",
            fields={"vector": [f"Must have {space.dimension} numbers."]},
        )
    try:
        return l2_normalise(values)
    except InvalidInput as error:
        raise InvalidInput(error.detail, fields={"vector": [error.detail]}) from error

"""Queries of parts: each part becomes a vector of one space, and all of them one query."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mirada.kernel.composing import WeighedPart, blended, spread_of
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import InvalidInput
from mirada.kernel.similarity import QueryForm
from mirada.ports import VectorIndex
from mirada.runtime import Runtime
from mirada.search import queries
from mirada.search.queries import Query, QueryKind
from mirada.search.query_pictures import query_of_kept
from mirada.search.request import KeptPicture, Part, SearchRequest, SentPicture


def composed(
    runtime: Runtime,
    request: SearchRequest,
    parts: Mapping[int, Part],
    space: tuple[int, EmbeddingSpace],
    wait_s: float | None = None,
) -> tuple[Query, VectorIndex]:
    """Return parts of a search as one query to a space, and its index as fresh as asked for.

    Args:
        runtime: with encoders and indexes.
        request: the search.
        parts: by their place in it, one at least with a weight above 0.
        space: its id and value.
        wait_s: longest wait for weights that are being loaded; None for the usual one.

    Raises:
        InvalidInput: a part does not fit the space, or the parts cancel each other out.
        NotFound, Conflict, NotAuthenticated, Unavailable: as the functions of `queries` do.
    """
    vectors = _vectors(runtime, request, parts, space, wait_s)
    space_id, value = space
    index = request.asked.fresh_index(runtime, space_id)
    if len(parts) == 1:
        return next(iter(vectors.values())), index
    rows = np.stack([query.vector for query in vectors.values()])
    # One match each: what is asked for is the background.
    answers = index.search(rows, 1, request.asked.scope, form=QueryForm.BLEND)
    weighed = [
        WeighedPart(
            place,
            query.vector,
            parts[place].weight,
            spread_of(answer.background),
            None if query.made_from is QueryKind.VECTOR else query.form,
        )
        for (place, query), answer in zip(vectors.items(), answers, strict=True)
    ]
    wanted = [part for part in weighed if part.weight > 0]
    made_from = vectors[wanted[0].place].made_from if len(wanted) == 1 else QueryKind.MIXED
    return Query(blended(wanted), space_id, value, made_from, weighed), index


def _vectors(
    runtime: Runtime,
    request: SearchRequest,
    parts: Mapping[int, Part],
    space: tuple[int, EmbeddingSpace],
    wait_s: float | None,
) -> dict[int, Query]:
    """Return each part as a query, by its place; all texts are encoded together."""
    audience, kind = request.asked.audience, space[1].kind
    texts = {place: part.value for place, part in parts.items() if isinstance(part.value, str)}
    found: dict[int, Query] = {}
    if texts:
        rows = queries.text_vectors(runtime, list(texts.values()), kind, audience, wait_s)
        found = {
            place: Query(row, *space, QueryKind.TEXT)
            for place, row in zip(texts, rows, strict=True)
        }
    for place, part in parts.items():
        if place not in texts:
            try:
                found[place] = _vector(runtime, request, part, space, wait_s)
            except InvalidInput as error:
                if type(error) is not InvalidInput or len(request.parts) == 1:
                    raise
                message = f"Part {place + 1} of the query: {error.detail}"
                raise InvalidInput(message, fields={"query": [message]}) from error
    return {place: found[place] for place in parts}


def _vector(
    runtime: Runtime,
    request: SearchRequest,
    part: Part,
    space: tuple[int, EmbeddingSpace],
    wait_s: float | None,
) -> Query:
    kind, audience = space[1].kind, request.asked.audience
    assert kind is not SpaceKind.CAPTION
    if isinstance(part.value, SentPicture | KeptPicture):
        if kind is SpaceKind.PROMPT:
            raise InvalidInput("A picture cannot be compared with prompts.")
        if isinstance(part.value, SentPicture):
            sent = part.value
            return queries.of_picture(runtime, sent.path, sent.declared_media_type, wait_s)
        with runtime.reading() as session:
            return query_of_kept(session, part.value.id, audience.viewer_id, space)
    if isinstance(part.value, int):
        return queries.of_image(runtime, part.value, kind, audience)
    assert isinstance(part.value, list)
    return queries.of_numbers(runtime, part.value, kind)

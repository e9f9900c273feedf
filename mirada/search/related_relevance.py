"""The relevance of images related to one, whose score is blended of pictures and prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mirada.kernel.audience import Scope
from mirada.kernel.calibration import Scale, blended
from mirada.kernel.similarity import Floats, relevances
from mirada.ports import VectorIndex, single
from mirada.runtime import Runtime
from mirada.search.queries import Query
from mirada.search.verdict import judges_of


def relevances_of_related(
    runtime: Runtime,
    aspects: Sequence[tuple[Query, VectorIndex]],
    scope: Scope,
    scores: Sequence[float],
    blend: float,
) -> Floats:
    """Return the relevance of each blended cosine; where nothing was measured, by their background.

    Args:
        runtime: with what was measured.
        aspects: the image's picture and, where it has one and `blend` > 0, its prompt.
        scope: of the search.
        scores: blended cosines in [-1, 1].
        blend: weight of the prompt in [0, 1]; 0 without one.
    """
    # One match each: what is asked for is the background.
    answers = [index.search(single(query.vector), 1, scope)[0] for query, index in aspects]
    background, rest = answers[0].background, 0.0
    if len(aspects) > 1:
        rest = float(np.median(answers[1].background)) if answers[1].background.size else 0.0
        background = (1.0 - blend) * background + np.float32(blend * rest)
    judges = judges_of(runtime)
    scales = [judges.of(query).scale for query, _ in aspects]
    if None in scales:
        return relevances(scores, background, answers[0].permitted_count)
    known = [scale for scale in scales if scale is not None]
    return related_scale(known, blend, rest).relevances(scores)


def related_scale(scales: Sequence[Scale], blend: float, rest: float) -> Scale:
    """Return the scale of blended cosines, from that of the picture and that of the prompt, if any.

    The limit is that of the picture where `blend` is 0 and that of the prompt where it is 1. Between
    them, many images have no prompt at all, and count as with an ordinary one, at `rest`. So the
    prompt's part of the limit goes from there to the prompt's own limit.
    """
    if len(scales) == 1:
        return scales[0]
    picture, prompt = scales
    return blended(
        [(picture, 1.0 - blend), (prompt.moved((1.0 - blend) * (rest - prompt.limit)), blend)], 1.0
    )

"""One person's prompts with their vectors, read from the database, and a sample of everybody's.

An outline is everything that an answer depends on, without the bytes: two equal fingerprints mean
that nothing of it has changed, whoever asks and whatever they remember.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.memory_models import TextContent
from mirada.db.models import Content, Image
from mirada.db.stored_vectors import vectors_of
from mirada.db.vector_tables import PICTURE_VECTORS, PROMPT_VECTORS, VectorTable
from mirada.db.visibility import may_see
from mirada.embedding.palette import Colour, from_stored
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import Matrix, Vector, l2_normalise
from mirada.kernel.errors import InvalidInput
from mirada.memory.rates import language_mix
from mirada.memory.words import Segment, read

MAX_IMAGES = 5_000
"""The newest of a person that are read; their taste is not what they did ten thousand pictures ago."""
SAMPLED_IMAGES = 20_000
SAMPLED_PEOPLE = 100
SAMPLED_PROMPTS = 40
"""Of the newest images, so many people with so many prompts each: a rate of 1 in 100 is told from one
of 1 in 50 by 4,000 prompts, and reading them takes about a second."""
STEPS_PER_DOUBLING = 16


@dataclass(frozen=True)
class PromptHistory:
    """One person's distinct prompts, oldest first.

    Attributes:
        owner_id: whose they are.
        texts: n prompts, no two the same.
        vectors: (n, d) float32 unit rows of the prompts, a row of NaN where there is none; None where
            there are none at all.
        pictures: (n, p) float32 unit rows, the mean of each prompt's pictures, in the same form.
    """

    owner_id: int
    texts: Sequence[str]
    vectors: Matrix | None = None
    pictures: Matrix | None = None

    @cached_property
    def prompts(self) -> list[tuple[Segment, ...]]:
        """The prompts as segments of words."""
        return [read(text) for text in self.texts]

    @cached_property
    def languages(self) -> Mapping[str, float]:
        """The share of each language."""
        return language_mix(self.prompts)


@dataclass(frozen=True, slots=True)
class OwnImage:
    """The fields of an image that styles depend on.

    What is known of its content and its prompt counts only once it is READY: before its own job is
    done, it would tell that somebody else has the same.

    Attributes:
        is_ready: whether what is known of its content counts.
        shows_prompt: whether what is known of its prompt does.
    """

    id: int
    text_id: int | None
    content_id: int
    version: int
    created_at: datetime
    is_ready: bool
    shows_prompt: bool


@dataclass(frozen=True, slots=True)
class Outline:
    """A person's images, newest last, and a fingerprint of them and of their vectors."""

    images: Sequence[OwnImage]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class OwnHistory:
    """A person's prompt history, and the images of each prompt.

    Attributes:
        history: the prompts.
        images: by row of the history, its images, oldest first.
        total: every image that was read, with or without a prompt.
    """

    history: PromptHistory
    images: Sequence[Sequence[OwnImage]]
    total: Sequence[OwnImage]


def outline(
    session: Session, owner_id: int, prompt_space_id: int | None, image_space_id: int | None
) -> Outline:
    """Return the outline of a person's newest MAX_IMAGES images."""
    query = (
        select(
            Image.id,
            Image.prompt_text_id,
            Image.content_id,
            Image.version,
            Image.created_at,
            PICTURE_VECTORS.is_through,
            PROMPT_VECTORS.is_through,
            Content.palette.is_not(None),
        )
        .join(Content, Content.id == Image.content_id)
        .where(may_see(Audience(owner_id).own_alone()))
        .order_by(Image.id.desc())
        .limit(MAX_IMAGES)
    )
    rows = session.execute(query).all()[::-1]
    images = [OwnImage(*row[:5], bool(row[5]), bool(row[6])) for row in rows]
    ready = [image for image in images if image.is_ready]
    digest = hashlib.sha256()
    digest.update(repr((prompt_space_id, image_space_id)).encode())
    # A palette comes with the vector, or later where a picture was embedded before there were any.
    digest.update(repr([tuple(map(bool, row[5:])) for row in rows]).encode())
    digest.update(repr([(i.id, i.text_id, i.content_id, i.version) for i in images]).encode())
    for table, space_id, ids in (
        (
            PROMPT_VECTORS,
            prompt_space_id,
            {i.text_id for i in ready if i.text_id and i.shows_prompt},
        ),
        (PICTURE_VECTORS, image_space_id, {image.content_id for image in ready}),
    ):
        digest.update(repr(_stamps(session, table, space_id, ids)).encode())
    return Outline(images, digest.hexdigest())


def read_history(
    session: Session,
    owner_id: int,
    images: Sequence[OwnImage],
    prompt_space_id: int | None,
    image_space_id: int | None,
) -> OwnHistory:
    """Return the history of those images; a text or a vector that went away meanwhile is not in it."""
    by_text: dict[int, list[OwnImage]] = defaultdict(list)
    for image in images:
        if image.text_id is not None:
            by_text[image.text_id].append(image)
    bodies = _bodies(session, by_text)
    text_ids = [text_id for text_id in by_text if bodies.get(text_id)]
    ready = {i: [image for image in by_text[i] if image.is_ready] for i in text_ids}
    shown = [i for i in text_ids if any(image.shows_prompt for image in by_text[i])]
    prompts = vectors_of(session, PROMPT_VECTORS, prompt_space_id, shown)
    pictures = vectors_of(
        session,
        PICTURE_VECTORS,
        image_space_id,
        {image.content_id for text_id in text_ids for image in ready[text_id]},
    )
    means: dict[int, Vector] = {}
    for text_id in text_ids:
        found = [pictures[i.content_id] for i in ready[text_id] if i.content_id in pictures]
        if found:
            with suppress(InvalidInput):
                # Pictures that cancel out have no mean; then the prompt has no look.
                means[text_id] = l2_normalise(np.mean(found, axis=0))
    history = PromptHistory(
        owner_id,
        [bodies[text_id] for text_id in text_ids],
        _matrix(prompts, text_ids),
        _matrix(means, text_ids),
    )
    return OwnHistory(history, [by_text[text_id] for text_id in text_ids], images)


def prompts_as_written(session: Session, image_ids: Collection[int]) -> dict[int, str]:
    """Return the prompts of images as their owner wrote them, by id."""
    found = session.execute(select(Image.id, Image.prompt).where(Image.id.in_(set(image_ids))))
    return {image_id: prompt or "" for image_id, prompt in found}


def palettes(session: Session, content_ids: Collection[int]) -> list[list[Colour]]:
    """Return the palettes of contents that have one, by ascending content."""
    query = select(Content.palette).where(Content.palette.is_not(None)).order_by(Content.id)
    rows = rows_in(session, query, Content.id, content_ids)
    return [from_stored(palette) for (palette,) in rows if palette]


def watermark(session: Session) -> int:
    """Return the id up to which everybody's images are sampled.

    It moves in steps of about a sixteenth of the library. So all processes compare with the same
    sample, and answers do not move with every upload of somebody else.
    """
    newest = session.execute(select(func.max(Image.id))).scalar_one() or 0
    step = max(1, (1 << newest.bit_length()) // (2 * STEPS_PER_DOUBLING))
    return int(newest - newest % step)


def sampled_histories(
    session: Session, up_to_id: int, prompt_space_id: int | None, image_space_id: int | None
) -> tuple[list[PromptHistory], str]:
    """Return a bounded sample of everybody's prompts, and a digest of which they were.

    For rates only: no text of it may reach anybody.
    """
    rows = session.execute(
        select(Image.owner_id, Image.prompt_text_id, Image.content_id)
        .where(Image.id <= up_to_id, Image.prompt_text_id.is_not(None), Image.trashed_at.is_(None))
        .order_by(Image.id.desc())
        .limit(SAMPLED_IMAGES)
    )
    by_owner: dict[int, dict[int, int]] = {}
    for owner_id, text_id, content_id in rows:
        if owner_id not in by_owner and len(by_owner) >= SAMPLED_PEOPLE:
            continue
        theirs = by_owner.setdefault(owner_id, {})
        if text_id is not None and len(theirs) < SAMPLED_PROMPTS:
            theirs.setdefault(text_id, content_id)
    wanted = {text_id for theirs in by_owner.values() for text_id in theirs}
    bodies = _bodies(session, wanted)
    vectors = vectors_of(session, PROMPT_VECTORS, prompt_space_id, wanted)
    shown = {content_id for theirs in by_owner.values() for content_id in theirs.values()}
    pictures = vectors_of(session, PICTURE_VECTORS, image_space_id, shown)
    histories = []
    for owner_id in sorted(by_owner):
        ids = sorted(text_id for text_id in by_owner[owner_id] if bodies.get(text_id))
        theirs = by_owner[owner_id]
        looks = {i: pictures[theirs[i]] for i in ids if theirs[i] in pictures}
        histories.append(
            PromptHistory(
                owner_id, [bodies[i] for i in ids], _matrix(vectors, ids), _matrix(looks, ids)
            )
        )
    content = [(owner_id, sorted(theirs.items())) for owner_id, theirs in sorted(by_owner.items())]
    digest = hashlib.sha256(
        repr((prompt_space_id, image_space_id, content, sorted(vectors), sorted(pictures))).encode()
    )
    return histories, digest.hexdigest()


def _stamps(
    session: Session, table: VectorTable, space_id: int | None, ids: Collection[int]
) -> list[tuple[int, int]]:
    """Return which of the subjects have a vector, and the number of its last change."""
    if space_id is None:
        return []
    row: Any = table.entity
    query = select(table.subject, row.change_seq).where(
        row.space_id == space_id, row.is_deleted.is_(False)
    )
    return sorted((subject, seq) for subject, seq in rows_in(session, query, table.subject, ids))


def _bodies(session: Session, text_ids: Collection[int]) -> dict[int, str]:
    query = select(TextContent.id, TextContent.body)
    return {row.id: row.body for row in rows_in(session, query, TextContent.id, text_ids)}


def _matrix(vectors: dict[int, Vector], ids: Sequence[int]) -> Matrix | None:
    """Return one row per id, NaN where there is no vector; None where there is none at all."""
    known = [vectors[i] for i in ids if i in vectors]
    if not known:
        return None
    nothing = np.full(known[0].shape, np.nan, dtype=np.float32)
    return np.stack([vectors.get(i, nothing) for i in ids])

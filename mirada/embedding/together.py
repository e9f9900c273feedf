"""Embed several new contents at once: two transactions and one batch of the encoder for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mirada.db import spaces
from mirada.embedding import embed_many, mirroring, reading
from mirada.embedding.embed import Subject
from mirada.embedding.embed_many import Embedded
from mirada.embedding.labelled import Judge
from mirada.embedding.looks import look_of
from mirada.jobs import batches
from mirada.jobs.kinds import Attempt
from mirada.jobs.pace import Pace
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, Vector
from mirada.kernel.errors import MiradaError
from mirada.kernel.images import Seen
from mirada.runtime import Runtime


def create_embeddings_together(
    runtime: Runtime, made: Sequence[Attempt], judge: Judge
) -> Sequence[Attempt]:
    """Embed these jobs' contents, judge them, make their images READY; return the jobs that are left.

    Left is what is no plain new picture: it lacks its look alone, its bytes cannot be read, or its
    vector is to be replaced. What this raises leaves all of them.
    """
    if not runtime.settings.embeddings_enabled:
        return made
    space = runtime.space()
    by_content = _by_content(made)
    with runtime.reading() as session:
        prompt_space_id = spaces.pinned_space_id(session, SpaceKind.PROMPT)
    with runtime.transaction() as session:
        subjects = embed_many.begin(session, sorted(by_content), space[0], prompt_space_id)
    pictures = _read(runtime, by_content, subjects)
    if not pictures:
        return made
    pixels = [seen.pixels for seen in pictures.values()]
    vectors = runtime.encoder.encode_images(pixels)
    mirrored = mirroring.vectors_of(runtime, pixels)
    embedded = {
        content_id: Embedded(vector, look_of(seen))
        for (content_id, seen), vector in zip(pictures.items(), vectors, strict=True)
    }
    chosen = [subjects[content_id] for content_id in pictures]
    prompt_space, prompt_vectors = _embed_prompts(runtime, chosen)
    keep = judge(runtime)
    for content_id in pictures:
        by_content[content_id].check()
    with runtime.transaction() as session:
        complete = embed_many.store(session, chosen, embedded, space, prompt_space, prompt_vectors)
        if keep is not None:
            keep(session, {content_id: each.vector for content_id, each in embedded.items()})
        for row, content_id in enumerate(pictures):
            mirroring.store(session, content_id, mirrored, row)
        done = [by_content[content_id] for content_id in complete]
        batches.finish(session, done)
    finished = {attempt.job.id for attempt in done}
    return [attempt for attempt in made if attempt.job.id not in finished]


def _by_content(made: Sequence[Attempt]) -> dict[int, Attempt]:
    """Return the attempts at plain new pictures by content; of two at the same one only the first."""
    found: dict[int, Attempt] = {}
    for attempt in made:
        job = attempt.job
        if job.subject_id is not None and not job.arguments.get("replace", False):
            found.setdefault(job.subject_id, attempt)
    return found


def _read(
    runtime: Runtime, by_content: Mapping[int, Attempt], subjects: Mapping[int, Subject]
) -> dict[int, Seen]:
    """Return the pictures that can be read; the others say why when they are alone."""
    # In a rush vectors come first, and then all thumbnails of a picture from one decoding.
    pace = runtime.remembered("pace", Pace)
    pace.add(len(by_content))
    is_rush = len(by_content) >= batches.BATCH or pace.is_rush()
    found = {}
    for content_id, subject in subjects.items():
        try:
            by_content[content_id].check()
            seen = reading.seen(
                runtime, content_id, subject.storage_key or "", with_thumbnail=not is_rush
            )
        except MiradaError:
            continue
        if seen is not None:
            found[content_id] = seen
    return found


def _embed_prompts(
    runtime: Runtime, subjects: Sequence[Subject]
) -> tuple[tuple[int, EmbeddingSpace] | None, dict[int, Vector]]:
    """Return the prompt space and the vectors of the subjects' prompts; (None, {}) where none is due.

    Where the text model is away the pictures are stored all the same, and the prompts are left.
    """
    texts = {key: body for subject in subjects for key, body in subject.prompts.items()}
    if not texts and not any(subject.has_due_prompts for subject in subjects):
        return None, {}
    try:
        space, encoder = runtime.space(SpaceKind.PROMPT), runtime.text_encoder
        vectors = encoder.encode_texts(list(texts.values())) if texts else ()
    except MiradaError:
        return None, {}
    return space, dict(zip(texts, vectors, strict=True))

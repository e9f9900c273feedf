"""Give several contents their vectors in one transaction; as `embed` does for one.

Statements are for all of them at once wherever most contents need them. What few need, such as prompts
that are due, is left to the functions for one content.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import BindParameter, bindparam, false, insert, select, true, update
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.memory_models import TextContent
from mirada.db.models import Content, Embedding, Image
from mirada.embedding import texts as prompts
from mirada.embedding.embed import UNFINISHED, Subject
from mirada.embedding.looks import Look
from mirada.kernel.embeddings import EmbeddingSpace, Vector, to_blob
from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import ImageStatus

_THESE: BindParameter[list[int]] = bindparam("contents", expanding=True)
_IMAGES = Image.__table__
# Built once, as in `embed`. InnoDB locks rows as it finds them, which is by their ids.
_LOCK = (
    select(Content.id, Content.storage_key, Content.palette)
    .where(Content.id.in_(_THESE))
    .order_by(Content.id)
    .with_for_update()
)
_WITH_VECTOR = select(Embedding.content_id).where(
    Embedding.space_id == bindparam("space"),
    Embedding.content_id.in_(_THESE),
    Embedding.is_deleted == false(),
)
_DUE = (
    select(Image.content_id)
    .where(Image.content_id.in_(_THESE), Image.prompt_is_due == true())
    .distinct()
)
_PROCESSING = (
    update(_IMAGES)  # type: ignore[arg-type]
    .where(
        _IMAGES.c.content_id.in_(_THESE), _IMAGES.c.status.in_(bindparam("only", expanding=True))
    )
    .values(status=ImageStatus.PROCESSING, failure=None)
)
_READY = (
    update(_IMAGES)  # type: ignore[arg-type]
    .where(_IMAGES.c.content_id.in_(_THESE), _IMAGES.c.status != ImageStatus.READY)
    .values(status=ImageStatus.READY, failure=None)
)
_TEXT_IDS = select(Image.prompt_text_id, Image.caption_text_id, Image.description_text_id).where(
    Image.content_id.in_(_THESE)
)
_LOOK_COLUMNS = ("palette", "has_alpha", "placeholder", "colour", "lightness", "picture_hash")
_SET_LOOK = (
    update(Content.__table__)  # type: ignore[arg-type]
    .where(Content.__table__.c.id == bindparam("content"))
    .values(
        {
            name: bindparam(f"new_{name}", type_=Content.__table__.c[name].type)
            for name in _LOOK_COLUMNS
        }
    )
)


@dataclass(frozen=True, slots=True)
class Embedded:
    """The results for a picture: its (d,) float32 unit vector and how it looks."""

    vector: Vector
    look: Look


def begin(
    session: Session, content_ids: Sequence[int], space_id: int, prompt_space_id: int | None
) -> dict[int, Subject]:
    """Mark the images of these contents PROCESSING and return what is to be embedded of each.

    Left out, and left as they are, are contents that lack something else than both vector and look:
    `embed.begin_embedding` looks at them one by one.

    Args:
        session: the transaction.
        content_ids: different ones.
        space_id: the image space.
        prompt_space_id: the prompt space; None when none is pinned yet.
    """
    rows = session.execute(_LOCK, {"contents": list(content_ids)}).all()
    keys = {row.id: row.storage_key for row in rows if row.storage_key}
    if not keys:
        return {}
    known = session.execute(_WITH_VECTOR, {"contents": list(keys), "space": space_id}).scalars()
    for content_id in known:
        keys.pop(content_id, None)
    if not keys:
        return {}
    these = {"contents": list(keys)}
    texts, due = _texts(session, list(keys), prompt_space_id), session.execute(_DUE, these)
    is_due = set(due.scalars())
    # The status of most is PENDING. Named, so that no READY image of a twin is set back.
    only = [status for status in UNFINISHED if status is not ImageStatus.PROCESSING]
    session.execute(_PROCESSING, {**these, "only": only})
    return {
        content_id: Subject(content_id, key, texts[content_id], False, content_id in is_due)
        for content_id, key in keys.items()
    }


def store(
    session: Session,
    subjects: Sequence[Subject],
    embedded: Mapping[int, Embedded],
    space: tuple[int, EmbeddingSpace],
    prompt_space: tuple[int, EmbeddingSpace] | None,
    prompt_vectors: Mapping[int, Vector],
) -> set[int]:
    """Write what was computed, make the images READY, and return the contents that lack nothing more.

    A content deleted meanwhile lacks nothing. One to which an image with another prompt came meanwhile
    does: it is written, and left for `embed`.

    Args:
        session: the transaction, which also finishes the jobs.
        subjects: from `begin`.
        embedded: by content id, for every subject.
        space: the image space's row and value.
        prompt_space: the prompt space's; None where no prompt is to be embedded or shown.
        prompt_vectors: (d,) vectors by text id.

    Raises:
        InvalidInput: a vector is not of its space's dimension, not finite or not of unit norm.
    """
    wanted = [subject.content_id for subject in subjects]
    there = [row.id for row in session.execute(_LOCK, {"contents": wanted})]
    complete = set(wanted) - set(there)
    if not there:
        return complete
    space_id = space[0]
    known = set(session.execute(_WITH_VECTOR, {"contents": there, "space": space_id}).scalars())
    _insert(session, [each for each in there if each not in known], embedded, space)
    session.execute(
        _SET_LOOK,
        [{"content": each, **_new(embedded[each].look.columns())} for each in there],
    )
    session.execute(_READY, {"contents": there})
    changes.touch(session, there)
    for text_ids in session.execute(_TEXT_IDS, {"contents": there}):
        changes.touch_texts(session, text_ids)
    lacking = _texts(session, there, None if prompt_space is None else prompt_space[0])
    due = set(session.execute(_DUE, {"contents": there}).scalars())
    for content_id in there:
        if not lacking[content_id].keys() <= prompt_vectors.keys():
            continue
        if content_id in due:
            if prompt_space is None:
                continue
            prompts.show_vectors(session, content_id)
        complete.add(content_id)
    if prompt_space is not None and prompt_vectors:
        prompts.store_prompt_vectors(session, *prompt_space, prompt_vectors)
    return complete


def _new(columns: Mapping[str, object]) -> dict[str, object]:
    return {f"new_{name}": value for name, value in columns.items()}


def _insert(
    session: Session,
    content_ids: Sequence[int],
    embedded: Mapping[int, Embedded],
    space: tuple[int, EmbeddingSpace],
) -> None:
    space_id, described = space
    rows = []
    for content_id in content_ids:
        vector = embedded[content_id].vector
        if vector.shape != (described.dimension,):
            raise InvalidInput(
                f"A vector of {described.name} has {described.dimension} numbers, not {vector.shape}."
            )
        blob, crc32 = to_blob(vector)
        rows.append(
            {"space_id": space_id, "content_id": content_id, "vector": blob, "crc32": crc32}
        )
    if rows:
        session.execute(insert(Embedding), rows)


def _texts(
    session: Session, content_ids: Sequence[int], space_id: int | None
) -> defaultdict[int, dict[int, str]]:
    """Return the texts of prompts that have no vector, by content; see `texts.without_vector`."""
    query = _TEXTS if space_id is None else _TEXTS_WITHOUT_VECTOR
    values = {"contents": list(content_ids)} | ({} if space_id is None else {"space": space_id})
    found: defaultdict[int, dict[int, str]] = defaultdict(dict)
    for content_id, text_id, body in session.execute(query, values):
        found[content_id][text_id] = body
    return found


_TEXTS = (
    select(Image.content_id, TextContent.id, TextContent.body)
    .join(TextContent, Image.prompt_text_id == TextContent.id)
    .where(Image.content_id.in_(_THESE))
    .distinct()
)
_TEXTS_WITHOUT_VECTOR = _TEXTS.where(~prompts.has_vector(bindparam("space")))

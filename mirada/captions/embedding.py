"""The vectors of captions and descriptions: the space they are wanted in, which texts lack one, who shows it.

Every function that writes locks the content's row, see `mirada.captions.writing`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, bindparam, func, or_, select, true, union, update
from sqlalchemy.orm import Session

from mirada.captions.encoder import SERVER
from mirada.captions.wording import CaptionRecipe
from mirada.db import changes
from mirada.db.contents import lock_content
from mirada.db.memory_models import TextContent
from mirada.db.models import Image, Space
from mirada.db.session import count_changed
from mirada.db.spaces import pinned, pinned_space, viewed_space_id
from mirada.db.texts import lock_texts_of
from mirada.embedding.texts import has_vector
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.prompts import normalised_prompt
from mirada.runtime import Runtime

# Built once: these run for every picture. Of no space, NULL, there are no vectors.
_HAS_VECTOR = has_vector(bindparam("space"))
SAID = (
    (Image.caption_text_id, Image.caption_is_due),
    (Image.description_text_id, Image.description_is_due),
)
"""What is said of an image: the text's column, and whether the image's own job has yet to come to it."""


def _due(text_id: Any, is_due: Any) -> Any:
    return (
        select(
            TextContent.id, TextContent.body, TextContent.sha256, _HAS_VECTOR.label("has_vector")
        )
        .join(Image, text_id == TextContent.id)
        .where(Image.content_id == bindparam("content"), Image.owner_id == bindparam("owner"))
        .where(or_(is_due == true(), ~_HAS_VECTOR))
    )


_DUE = union(*(_due(*said) for said in SAID))
_PINNED = pinned(SpaceKind.CAPTION).with_only_columns(Space.id).scalar_subquery()
_VIEWED = bindparam("space", type_=BigInteger)
_EMBEDDED = select(TextContent.id).where(
    TextContent.id == bindparam("text"), has_vector(func.coalesce(_VIEWED, _PINNED))
)


@dataclass(frozen=True, slots=True)
class WantedCaptions:
    """The state that what is said of an image should be in.

    Attributes:
        recipe: how a missing description is written; None where no model writes them.
        embeds: whether captions and descriptions are embedded at all.
        space_id: the number of the caption space; None before one is pinned.
        space: the caption space itself, where it was read; None before one is pinned.
        redo: descriptions that another model, language or version of the instructions wrote count as
            missing.
    """

    recipe: CaptionRecipe | None
    embeds: bool
    space_id: int | None
    redo: bool = False
    space: EmbeddingSpace | None = None


@dataclass(frozen=True, slots=True)
class DueText:
    """The text of a caption or a description that has to be embedded or shown.

    Attributes:
        id: the text's.
        body: the text, normalised.
        sha256: the digest of the body.
        is_embedded: whether it has a vector, as another caption or prompt may have given it.
    """

    id: int
    body: str
    sha256: str
    is_embedded: bool


def wanted_captions(
    runtime: Runtime, session: Session, recipe: CaptionRecipe | None, redo: bool
) -> WantedCaptions:
    """Return the wanted state by the settings and the caption space that is pinned now."""
    row = pinned_space(session, SpaceKind.CAPTION)
    has_key = runtime.settings.openai_api_key is not None
    is_open = row is None or row.pretrained != SERVER or has_key
    embeds = runtime.settings.embeddings_enabled and is_open
    if row is None:
        return WantedCaptions(recipe, embeds, None, redo)
    return WantedCaptions(recipe, embeds, row.id, redo, row.to_space())


def noted_texts(
    session: Session, content_id: int, owner_id: int, space_id: int | None
) -> list[DueText]:
    """Return `due_texts`, those of captions included that are older than the table of texts."""
    note_captions(session, content_id, owner_id)
    return due_texts(session, content_id, owner_id, space_id)


def note_captions(session: Session, content_id: int, owner_id: int) -> None:
    """Copy captions that are older than the table of texts into it; lock the content."""
    unnoted = select(Image.id, Image.caption).where(
        Image.content_id == content_id,
        Image.owner_id == owner_id,
        Image.caption.is_not(None),
        Image.caption_text_id.is_(None),
    )
    if session.execute(unnoted).first() is None or lock_content(session, content_id) is None:
        return
    rows = [(row.id, normalised_prompt(row.caption)) for row in session.execute(unnoted)]
    text_ids = lock_texts_of(session, [body for _, body in rows])
    changes.touch_texts(session, text_ids.values())
    for image_id, body in rows:
        # What its owner wrote stays as it is, and so do the version and the time they know.
        session.execute(
            update(Image.__table__)  # type: ignore[arg-type]
            .where(Image.__table__.c.id == image_id)
            .values(
                caption_text_id=text_ids[body],
                caption_is_due=True,
                updated_at=Image.__table__.c.updated_at,
            )
        )


def due_texts(
    session: Session, content_id: int, owner_id: int, space_id: int | None
) -> list[DueText]:
    """Return the texts said of one owner's images of a content that have no vector or do not show it.

    Args:
        session: any.
        content_id: the picture.
        owner_id: the owner of the images.
        space_id: the caption space; None, before one is pinned, when no text has a vector in it.

    Returns:
        Ascending by id.
    """
    found = session.execute(_DUE, {"content": content_id, "owner": owner_id, "space": space_id})
    texts = [DueText(row.id, row.body, row.sha256, bool(row.has_vector)) for row in found]
    return sorted(texts, key=lambda text: text.id)


def is_embedded(session: Session, text_id: int) -> bool:
    """Return whether a text has a vector in the caption space that is in use."""
    values = {"text": text_id, "space": viewed_space_id(SpaceKind.CAPTION)}
    return session.execute(_EMBEDDED, values).first() is not None


def show_vectors(
    session: Session, content_id: int, owner_id: int, text_ids: Collection[int]
) -> None:
    """Let one owner's images of a content be found by these texts; lock the content.

    Call it in the transaction that stores the vectors, before they are stored, or alone where they
    are there already: both are then one change.
    """
    if lock_content(session, content_id) is None:
        return
    count = 0
    for text_id, is_due in SAID:
        shown = (
            update(Image.__table__)  # type: ignore[arg-type]
            .where(
                Image.content_id == content_id,
                Image.owner_id == owner_id,
                is_due == true(),
                text_id.in_(text_ids),
            )
            .values({is_due.key: False, "updated_at": Image.__table__.c.updated_at})
        )
        count += count_changed(session, shown)
    if count:
        changes.touch_texts(session, text_ids)

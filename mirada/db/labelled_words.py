"""Labels as words: the images that a model called so are found by the label's name, in any language.

Nothing is written for it. A word is looked up among the names of labels, and the images among those that were
judged in the space in use: whoever may see an image may read its labels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.classifier_models import ImageLabels, Label
from mirada.db.models import Image, Installation
from mirada.db.spaces import space_in_use
from mirada.kernel.keywords import words_of_query
from mirada.kernel.label_words import JOINING, called
from mirada.kernel.labels import DEFAULT_LABELS

WEIGHT = 600
"""Of a label in an image, on the scale of `kernel.keywords.word_weights`: half of a word that a person wrote
once in a usual text. What people wrote comes first."""
Named = Mapping[str, Sequence[str]]
"""Labels by the words that they are called by."""


def labels_named(session: Session, words: Iterable[str]) -> Named:
    """Return the labels that each of these words is of; words of no label are left out.

    Args:
        session: for reading.
        words: from `kernel.keywords.words_of_query`.
    """
    own = session.execute(select(Label.name)).scalars()
    named = _by_word(frozenset([*own, *(label.name for label in DEFAULT_LABELS)]))
    return {word: named[word] for word in words if word in named}


def newest_showing(
    session: Session, labels: Sequence[str], conditions: Sequence[ColumnElement[bool]], most: int
) -> dict[int, int]:
    """Return the newest images that show one of the labels: WEIGHT by image id, newest first.

    Args:
        session: for reading.
        labels: their names.
        conditions: conditions on `images` that each meets, such as visibility.
        most: of them.
    """
    query = (
        select(ImageLabels.image_id)
        .join(Image, Image.id == ImageLabels.image_id)
        .where(_shows(labels), *conditions)
        .order_by(ImageLabels.image_id.desc())
        .limit(most)
    )
    return dict.fromkeys(session.execute(query).scalars(), WEIGHT)


def weights_showing(
    session: Session, labels: Sequence[str], image_ids: Collection[int]
) -> dict[int, int]:
    """Return WEIGHT for those of the images that show one of the labels, by image id."""
    query = select(ImageLabels.image_id).where(_shows(labels))
    return {
        row.image_id: WEIGHT for row in rows_in(session, query, ImageLabels.image_id, image_ids)
    }


def shows_one(labels: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition on `images` that one shows one of the labels."""
    judged = select(ImageLabels.image_id).where(ImageLabels.image_id == Image.id, _shows(labels))
    return judged.correlate_except(ImageLabels, Installation).exists()


def _shows(labels: Sequence[str]) -> ColumnElement[bool]:
    in_use: ColumnElement[bool] = ImageLabels.space_id == space_in_use()
    return in_use & ImageLabels.label.in_(sorted(labels))


@lru_cache(maxsize=4)
def _by_word(names: frozenset[str]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for name in names:
        for text in called(name):
            for word in words_of_query(text):
                if word not in JOINING:
                    found.setdefault(word, set()).add(name)
    return {word: sorted(labels) for word, labels in found.items()}

"""What the newest images in a scope are called, in memory, and no older than the database.

It is the words of their texts, their tags, their labels and their owners.

Each use asks the database for a digest of what is newest there: one row. Only where that has changed are
images read, and then those alone that are new or were written since. So a word is gone with the first
request after its picture was deleted, made private or written anew, in every process.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left
from collections import Counter, OrderedDict
from datetime import datetime
from typing import Any

from sqlalchemy import Subquery, func, select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.classifier_models import ImageLabels
from mirada.db.filters import in_scope
from mirada.db.models import Image
from mirada.db.spaces import space_in_use
from mirada.kernel.audience import Scope
from mirada.kernel.typed_words import written_words

MOST_READ = 5_000
"""Images of one scope, the newest: so a suggestion takes no longer in a large library."""
MOST_CHARS = 600
"""Of one text: its beginning says what it is about."""
REMEMBERED = 32
"""Scopes that one process remembers, 1 MB each at most."""
LABELS_S = 60.0
"""How long labels are taken for unchanged while no image is. A change of the label set judges all anew."""
LAST = "\U0010ffff"
"""Behind every character."""


def newest(scope: Scope) -> Subquery:
    """Return (id, updated_at, owner_id) of the newest images in a scope, MOST_READ at most."""
    query = select(Image.id, Image.updated_at, Image.owner_id).where(in_scope(scope))
    return query.order_by(Image.id.desc()).limit(MOST_READ).subquery()


class Vocabulary:
    """The words, tags, labels and owners of one scope's newest images. Thread-safe.

    `refresh` comes first in each request.
    """

    def __init__(self, scope: Scope) -> None:
        """Know nothing yet."""
        self._scope = scope
        self._lock = threading.Lock()
        self._digest: Any = None
        self._read: dict[int, tuple[datetime, dict[str, str]]] = {}
        self._tagged: dict[int, list[str]] = {}
        self._counts: Counter[str] = Counter()
        self._tags: Counter[str] = Counter()
        self._sorted: list[str] = []
        self._owners: list[int] = []
        self._labels: Counter[str] = Counter()
        self._labels_until = -math.inf

    def refresh(self, session: Session) -> None:
        """Read what has changed in the database since."""
        columns = newest(self._scope).c
        asked = select(func.count(), func.sum(columns.id), func.max(columns.updated_at))
        digest = tuple(session.execute(asked).one())
        with self._lock:
            if digest != self._digest:
                self._read_changed(session)
                self._digest, self._labels_until = digest, -math.inf

    def beginning_with(self, start: str) -> dict[str, int]:
        """Return the words that begin so, without accents, and in how many images each is."""
        with self._lock:
            first, last = (bisect_left(self._sorted, each) for each in (start, start + LAST))
            return {word: self._counts[word] for word in self._sorted[first:last]}

    def written(self, word: str) -> str | None:
        """Return a word as it is written, which `beginning_with` gave; None where it is gone since."""
        with self._lock:
            found = (words[word] for _, words in self._read.values() if word in words)
            return next(found, None)

    @property
    def tags(self) -> Counter[str]:
        """How many of the images have each tag, as it is written."""
        with self._lock:
            return self._tags.copy()

    @property
    def owners(self) -> list[int]:
        """Whose images these are: ids of people, ascending."""
        return self._owners

    def labels(self, session: Session) -> Counter[str]:
        """Return how many of the images the model gave each label. It is read again once a minute."""
        with self._lock:
            if time.monotonic() < self._labels_until:
                return self._labels
            images = newest(self._scope)
            query = (
                select(ImageLabels.label, func.count())
                .join(images, images.c.id == ImageLabels.image_id)
                .where(ImageLabels.space_id == space_in_use(), ImageLabels.label.is_not(None))
                .group_by(ImageLabels.label)
            )
            rows = session.execute(query)
            self._labels = Counter({str(label): count for label, count in rows})
            self._labels_until = time.monotonic() + LABELS_S
            return self._labels

    def _read_changed(self, session: Session) -> None:
        columns = newest(self._scope).c
        rows = session.execute(select(columns.id, columns.updated_at, columns.owner_id)).all()
        there = {image_id: at for image_id, at, _ in rows}
        for image_id in self._read.keys() - there.keys():
            self._forget(image_id)
        known = {image_id: at for image_id, (at, _) in self._read.items()}
        changed = [image_id for image_id, at in there.items() if known.get(image_id) != at]
        texts = (Image.prompt, Image.caption, Image.description)
        query: Any = select(
            Image.id, Image.tags, *(func.substr(text, 1, MOST_CHARS) for text in texts)
        )
        query = query.where(in_scope(self._scope))
        for image_id, tags, *written in rows_in(session, query, Image.id, changed):
            self._forget(image_id)
            words = written_words(written)
            self._read[image_id] = (there[image_id], words)
            self._counts.update(words.keys())
            if tags:
                self._tagged[image_id] = tags
                self._tags.update(tags)
        self._sorted = sorted(self._counts)
        self._owners = sorted({owner_id for *_, owner_id in rows})

    def _forget(self, image_id: int) -> None:
        _, words = self._read.pop(image_id, (None, {}))
        for word in words:
            self._counts[word] -= 1
            if not self._counts[word]:
                del self._counts[word]
        for tag in self._tagged.pop(image_id, ()):
            self._tags[tag] -= 1
            if not self._tags[tag]:
                del self._tags[tag]


class Vocabularies:
    """The vocabularies that one process keeps, by scope. Thread-safe."""

    def __init__(self) -> None:
        """Keep none yet."""
        self._lock = threading.Lock()
        self._known: OrderedDict[Scope, Vocabulary] = OrderedDict()

    def of(self, scope: Scope) -> Vocabulary:
        """Return the vocabulary of a scope."""
        with self._lock:
            found = self._known.setdefault(scope, Vocabulary(scope))
            self._known.move_to_end(scope)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            return found

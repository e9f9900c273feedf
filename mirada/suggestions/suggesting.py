"""What is suggested while somebody types a search, and what there is to try before they do.

No model is asked. Everything comes from the newest images that the viewer may see, from the lists of
labels and styles, and from the viewer's own searches.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.classify.label_set import LABELS
from mirada.db.chunks import IN_LIST_ROWS
from mirada.db.lowered import lowered
from mirada.db.models import User
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.filters import ImageFilter, Judged
from mirada.kernel.keywords import folded
from mirada.kernel.label_words import called
from mirada.kernel.nsfw import NsfwPolicy
from mirada.kernel.typed_words import Typed, typed
from mirada.memory.styles import BUILT_IN_NAMES, STYLES
from mirada.runtime import Runtime
from mirada.search.judging import narrowed
from mirada.suggestions.recent import recent_searches
from mirada.suggestions.vocabulary import Vocabularies, Vocabulary

Seen = Sequence[Vocabulary]
"""What everybody sees, and what is the viewer's own."""
MOST = 20
"""Suggestions of one reply."""
MOST_OF_A_KIND, MOST_OF_LAST = 3, 2
"""Of searches, of labels and of tags, which come first; of styles and of people, which come last. Words
fill the rest."""
LEAST_OF_STYLES = 3
"""Characters of the last word: nearly every letter begins a word of some style."""
MAX_TYPED = 150
"""Characters; nothing is suggested for a longer text."""


class SuggestionKind(StrEnum):
    """Where a suggestion is from."""

    RECENT = "recent"
    LABEL = "label"
    TAG = "tag"
    STYLE = "style"
    WORD = "word"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One suggestion.

    Attributes:
        kind: where it is from.
        text: what to search for, whole: with the words before the one being typed. Of an owner the name.
        id: of a recent search, or of the owner whose images are meant; None for the others.
    """

    kind: SuggestionKind
    text: str
    id: int | None = None


def suggestions(
    runtime: Runtime, viewer_id: int | None, text: str, *, limit: int, language: str = "en"
) -> list[Suggestion]:
    """Return what a text may be going to be; for an empty one what the viewer searched for, and labels.

    Args:
        runtime: with the database; no encoder is asked.
        viewer_id: None for an anonymous viewer.
        text: what stands in the box.
        limit: at most so many, 1 to MOST.
        language: that labels are called in where several fit: "en", "pt" or "es".
    """
    if len(text) > MAX_TYPED:
        return []
    asked = typed(text)
    with runtime.reading() as session:
        seen = _seen(runtime, session, viewer_id)
        if not text.strip():
            recent = _recent(session, viewer_id, "")[: max(1, limit // 2)]
            return _distinct([*recent, *_labels_seen(session, seen, limit, language)], "")[:limit]
        first = [
            *_recent(session, viewer_id, text),
            *_labels(session, seen, asked, language),
            *_tags(seen, asked),
        ]
        last = [*_styles(session, asked), *_owners(session, seen, viewer_id, text)]
    room = limit - len(first) - min(len(last), limit // 3)
    words = _words(seen, asked, limit)[: max(0, room)]
    return _distinct([*first, *words, *last], text)[:limit]


def labels_to_try(
    runtime: Runtime, viewer_id: int | None, *, limit: int, language: str = "en"
) -> list[str]:
    """Return labels that images of this viewer have, the most frequent first, as they are called."""
    with runtime.reading() as session:
        seen = _seen(runtime, session, viewer_id)
        return [each.text for each in _labels_seen(session, seen, limit, language)]


def _seen(runtime: Runtime, session: Session, viewer_id: int | None) -> Seen:
    """Return what suggestions may be from: public images, which all viewers share, and the viewer's own.

    Where others' unsafe pictures are kept out of results, so are their words.
    """
    everybody = Scope(Audience(None))
    if runtime.settings.nsfw_policy is NsfwPolicy.HIDE:
        safe = Judged(is_unsafe=False, threshold=runtime.settings.nsfw_threshold)
        everybody = narrowed(runtime, Audience(None), ImageFilter(nsfw=safe))
    scopes = [everybody]
    if viewer_id is not None:
        scopes.append(Scope(Audience(viewer_id).own_alone()))
    kept = runtime.remembered("vocabularies", Vocabularies)
    seen = [kept.of(scope) for scope in scopes]
    for each in seen:
        each.refresh(session)
    return seen


def _most(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the highest count of each name: the viewer's own public images are counted twice."""
    highest: dict[str, int] = {}
    for some in counts:
        for name, count in some.items():
            highest[name] = max(count, highest.get(name, 0))
    return highest


def _recent(session: Session, viewer_id: int | None, text: str) -> list[Suggestion]:
    if viewer_id is None:
        return []
    start = folded(" ".join(text.split()))
    found = [
        Suggestion(SuggestionKind.RECENT, row.words, row.id)
        for row in recent_searches(session, viewer_id)
        if folded(row.words).startswith(start)
    ]
    return found[:MOST_OF_A_KIND] if start else found


def _labels(session: Session, seen: Seen, asked: Typed, language: str) -> list[Suggestion]:
    fitting = {}
    for label in LABELS.in_force(session):
        name = _first_fitting(called(label.name, language), asked)
        if name is not None:
            fitting[label.name] = name
    if not fitting:
        return []
    counts = _most(each.labels(session) for each in seen)
    there = sorted(fitting.keys() & counts.keys(), key=lambda name: (-counts[name], name))
    return [Suggestion(SuggestionKind.LABEL, fitting[name]) for name in there[:MOST_OF_A_KIND]]


def _tags(seen: Seen, asked: Typed) -> list[Suggestion]:
    counts = _most(each.tags for each in seen)
    fitting = {tag: name for tag in counts if (name := _first_fitting((tag,), asked)) is not None}
    best = heapq.nsmallest(MOST_OF_A_KIND, fitting, key=lambda tag: (-counts[tag], tag))
    return [Suggestion(SuggestionKind.TAG, fitting[tag]) for tag in best]


def _labels_seen(session: Session, seen: Seen, limit: int, language: str) -> list[Suggestion]:
    counts = _most(each.labels(session) for each in seen)
    known = {label.name for label in LABELS.in_force(session)}
    there = sorted(counts.keys() & known, key=lambda name: (-counts[name], name))
    return [Suggestion(SuggestionKind.LABEL, called(name, language)[0]) for name in there[:limit]]


def _styles(session: Session, asked: Typed) -> list[Suggestion]:
    found = []
    for style in STYLES.in_force(session):
        names = (style.name, *BUILT_IN_NAMES.get(style.name, ()))
        name = _first_fitting(names, asked, LEAST_OF_STYLES)
        if name is not None:
            found.append(Suggestion(SuggestionKind.STYLE, name))
    return found[:MOST_OF_LAST]


def _owners(session: Session, seen: Seen, viewer_id: int | None, text: str) -> list[Suggestion]:
    """Return others whose images are among the newest that everybody sees, by their user names."""
    query = (
        select(User.id, User.username)
        .where(
            lowered(User.username).startswith(text.strip().lower(), autoescape=True),
            User.id.in_(seen[0].owners[-IN_LIST_ROWS:]),
            User.id != (viewer_id or 0),
        )
        .order_by(User.username)
        .limit(MOST_OF_LAST)
    )
    return [
        Suggestion(SuggestionKind.OWNER, name, user_id) for user_id, name in session.execute(query)
    ]


def _words(seen: Seen, asked: Typed, limit: int) -> list[Suggestion]:
    start = folded(asked.word)
    if not start:
        return []
    counts = _most(each.beginning_with(start) for each in seen)
    best = heapq.nsmallest(limit + 1, counts, key=lambda word: (-counts[word], word))
    found = []
    for word in best:
        shown = next((text for each in seen if (text := each.written(word)) is not None), None)
        if shown is not None:
            found.append(Suggestion(SuggestionKind.WORD, asked.before + shown))
    return found


def _first_fitting(names: Iterable[str], asked: Typed, least: int = 1) -> str | None:
    """Return the whole query with the first of these names that what is typed may be going to be.

    Of the last word alone, so many characters have to be there.
    """
    whole, word = folded(asked.before + asked.word), folded(asked.word)
    for name in names:
        parts = folded(name)
        if parts.startswith(whole):
            return name
        if len(word) >= least and any(part.startswith(word) for part in _starts(parts)):
            return asked.before + name
    return None


def _starts(name: str) -> Iterator[str]:
    """Yield a name from each of its words on."""
    words = name.split()
    return (" ".join(words[place:]) for place in range(len(words)))


def _distinct(found: Iterable[Suggestion], text: str) -> list[Suggestion]:
    """Return the first of each text that is another one than what is typed; owners are kept beside."""
    kept: dict[tuple[str, bool], Suggestion] = {}
    for each in found:
        is_owner = each.kind is SuggestionKind.OWNER
        key = folded(" ".join(each.text.split()))
        if is_owner or key != folded(" ".join(text.split())):
            kept.setdefault((key, is_owner), each)
    return list(kept.values())

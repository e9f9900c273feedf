"""Evaluations of a space against a straightforward computation, for several owners, languages and spaces."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, update

from mirada.db import changes
from mirada.db.models import Embedding, Image, Space
from mirada.evaluation import evaluating
from mirada.evaluation.evaluating import Measured, compare, evaluate
from mirada.evaluation.judged_queries import judged_queries
from mirada.kernel.embeddings import Matrix, l2_normalise, to_blob
from mirada.kernel.errors import EmbeddingSpaceMismatch
from mirada.runtime import Runtime
from testing.judged_library import SpokenVectors, images_of, keep_query, keep_set
from testing.vector_library import Library, random_vectors

LANGUAGES = ("en", "pt", None)


class Shelf:
    """A library of three owners' pictures, every third of them private, with judged queries."""

    def __init__(self, runtime: Runtime, pictures: int = 60, texts: int = 9) -> None:
        self.runtime = runtime
        self.library = Library.create(runtime.database)
        self.owners = self.library.owners
        self.vectors = random_vectors(pictures, seed=1)
        owners = [self.owners[number % 3] for number in range(pictures)]
        self.owner_of = owners
        self.is_public = [number % 3 != 0 or number % 2 == 0 for number in range(pictures)]
        self.embeddings = self.library.add(self.vectors, owners, self.is_public)
        self.images = images_of(runtime, self.embeddings)
        spoken = random_vectors(texts, seed=2)
        self.texts = {f"text {number}": spoken[number] for number in range(texts)}
        self.encoder = SpokenVectors(self.library.source.space, self.texts)
        self.measured = Measured(self.library.space_id, self.encoder)

    def judge(self, owner: int, **more: Any) -> dict[int, tuple[str, set[int], set[int]]]:
        """Keep a set of an owner's with every text, and return what was judged by query id."""
        set_id = keep_set(self.runtime, owner, **more)
        random = np.random.default_rng(owner)
        kept = {}
        for number, text in enumerate(self.texts):
            drawn = random.permutation(len(self.images)).tolist()
            good, bad = set(drawn[: 1 + number % 4]), set(drawn[10:14])
            query_id = keep_query(
                self.runtime,
                set_id,
                text,
                [self.images[each] for each in good],
                [self.images[each] for each in bad],
                LANGUAGES[number % 3],
            )
            kept[query_id] = (text, good, bad)
        return kept

    def sees(self, owner: int, picture: int) -> bool:
        return self.is_public[picture] or self.owner_of[picture] == owner

    def expected(
        self, owner: int, text: str, good: set[int], bad: set[int]
    ) -> tuple[float, float, float | None] | None:
        """Return recall, nDCG and nDCG of judged pictures, computed plainly."""
        seen = [each for each in range(len(self.images)) if self.sees(owner, each)]
        ranking = sorted(seen, key=lambda each: -float(self.vectors[each] @ self.texts[text]))
        good, bad = good & set(seen), bad & set(seen)
        if not good:
            return None

        def ndcg(order: list[int]) -> float:
            gained = sum(
                1 / math.log2(place + 2) for place, each in enumerate(order[:10]) if each in good
            )
            return gained / sum(1 / math.log2(place + 2) for place in range(min(10, len(good))))

        recall = len(good & set(ranking[:10])) / min(10, len(good))
        judged = [each for each in ranking if each in good | bad]
        return recall, ndcg(ranking), ndcg(judged) if bad else None


@pytest.fixture
def shelf(make_runtime: Callable[..., Runtime], site_settings: dict[str, Any]) -> Shelf:
    return Shelf(make_runtime(**site_settings))


def queries_of(runtime: Runtime) -> Any:
    with runtime.reading() as session:
        return judged_queries(session)


def test_every_query_has_the_figures_of_what_its_owner_sees(shelf: Shelf) -> None:
    kept = {owner: shelf.judge(owner) for owner in shelf.owners}

    found = evaluate(shelf.runtime, shelf.measured, queries_of(shelf.runtime))

    skipped = 0
    for owner, queries in kept.items():
        for query_id, (text, good, bad) in queries.items():
            expected = shelf.expected(owner, text, good, bad)
            if expected is None:
                skipped += 1
                assert query_id not in found.queries
                continue
            figures = found.queries[query_id]
            assert (figures.recall, figures.ndcg) == pytest.approx(expected[:2])
            assert figures.ndcg_of_judged == pytest.approx(expected[2])
    assert found.counted.queries == 27
    assert found.counted.without_good == skipped
    assert len(found.queries) == 27 - skipped
    # Each text is encoded once, though three people ask it.
    assert shelf.encoder.asked == [9]


def test_means_are_of_all_and_of_each_language(shelf: Shelf) -> None:
    kept = shelf.judge(shelf.owners[0])
    found = evaluate(shelf.runtime, shelf.measured, queries_of(shelf.runtime))

    assert list(found.languages) == ["en", "pt", None]
    assert found.overall is not None
    assert sum(each.queries for each in found.languages.values()) == found.overall.queries
    for place, language in enumerate(LANGUAGES):
        mine = [number for order, number in enumerate(kept) if order % 3 == place]
        recalls = [found.queries[each].recall for each in mine if each in found.queries]
        assert found.languages[language].recall.value == pytest.approx(np.mean(recalls))


def test_what_others_hide_is_no_distractor_and_not_told_from_what_is_gone(shelf: Shelf) -> None:
    owner, other = shelf.owners[0], shelf.owners[1]
    hidden = next(
        each for each in range(60) if shelf.owner_of[each] == owner and not shelf.is_public[each]
    )
    mine = next(each for each in range(60) if shelf.owner_of[each] == other)
    absent = max(shelf.images) + 1_000
    for image in (shelf.images[hidden], absent):
        set_id = keep_set(shelf.runtime, other, name=f"with {image}")
        keep_query(shelf.runtime, set_id, "text 0", [shelf.images[mine]], [image])
    found = evaluate(shelf.runtime, shelf.measured, queries_of(shelf.runtime))

    theirs, nothing = found.queries.values()
    assert theirs == nothing
    assert found.counted.gone == 2
    assert found.counted.judged == 4


def test_deleted_images_drop_out_and_are_counted(shelf: Shelf) -> None:
    owner = shelf.owners[0]
    mine = [each for each in range(60) if shelf.owner_of[each] == owner][:3]
    set_id = keep_set(shelf.runtime, owner)
    keep_query(shelf.runtime, set_id, "text 0", [shelf.images[each] for each in mine])
    keep_query(shelf.runtime, set_id, "text 1", [shelf.images[mine[0]]])
    before = evaluate(shelf.runtime, shelf.measured, queries_of(shelf.runtime))
    shelf.library.delete([shelf.embeddings[mine[0]]])
    after = evaluate(shelf.runtime, shelf.measured, queries_of(shelf.runtime))

    assert (before.counted.gone, before.counted.without_good) == (0, 0)
    assert (after.counted.gone, after.counted.without_good) == (2, 1)
    (first,) = after.queries.values()
    assert first.good == 2


def test_an_image_without_a_vector_is_counted_apart(shelf: Shelf) -> None:
    owner = shelf.owners[0]
    mine = [each for each in range(60) if shelf.owner_of[each] == owner][:2]
    set_id = keep_set(shelf.runtime, owner)
    keep_query(shelf.runtime, set_id, "text 0", [shelf.images[each] for each in mine])
    with shelf.runtime.transaction() as session:
        session.execute(
            update(Image).where(Image.id == shelf.images[mine[0]]).values(status="PENDING")
        )
        content = session.get_one(Image, shelf.images[mine[0]]).content_id
        changes.touch(session, [content])
    found = evaluate(shelf.runtime, shelf.measured, queries_of(shelf.runtime))

    assert (found.counted.gone, found.counted.without_vector) == (0, 1)
    assert [each.good for each in found.queries.values()] == [1]


def test_copies_of_one_file_take_one_place(shelf: Shelf) -> None:
    owner, other = shelf.owners[0], shelf.owners[1]
    mine = next(each for each in range(60) if shelf.owner_of[each] == owner)
    for _ in range(20):
        shelf.library.share(shelf.embeddings[mine], other, is_public=True)
    set_id = keep_set(shelf.runtime, owner)
    with shelf.runtime.reading() as session:
        content = session.get_one(Image, shelf.images[mine]).content_id
        copies = session.execute(select(Image.id).where(Image.content_id == content)).scalars()
        copies = list(copies)
    # One copy called bad: the same file cannot be both, and good is what was meant to be found.
    keep_query(shelf.runtime, set_id, "text 0", copies[:-1], copies[-1:])
    found = evaluate(shelf.runtime, shelf.measured, queries_of(shelf.runtime))

    (figures,) = found.queries.values()
    assert (figures.good, figures.bad, figures.shown) == (1, 0, 10)


@pytest.mark.parametrize("few", [0, 50_000])
def test_pages_and_parts_change_nothing(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    for owner in shelf.owners:
        shelf.judge(owner)
    queries = queries_of(shelf.runtime)
    whole = evaluate(shelf.runtime, shelf.measured, queries)
    source = shelf.runtime.vector_source(shelf.library.space_id)
    pages = source.live_rows_through
    monkeypatch.setattr(source, "live_rows_through", lambda seq: pages(seq, 7))
    monkeypatch.setattr("mirada.evaluation.scan.QUERIES_AT_ONCE", 2)
    monkeypatch.setattr("mirada.evaluation.scan.PAGE_ROWS", 7)
    monkeypatch.setattr("mirada.evaluation.scan.FEW_VECTORS", few)
    monkeypatch.setattr(evaluating, "TEXTS_AT_ONCE", 2)
    steps: list[tuple[int, int | None]] = []
    parts = evaluate(shelf.runtime, shelf.measured, queries, lambda *step: steps.append(step))

    assert parts.queries == whole.queries
    assert parts.overall == whole.overall
    assert steps[-1] == (60, 60)
    assert len(steps) > 8


@pytest.mark.parametrize("few", [0, 50_000])
def test_progress_tells_nothing_of_what_others_keep(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("mirada.evaluation.scan.FEW_VECTORS", few)
    owner = shelf.owners[1]
    shelf.judge(owner)
    seen = sum(shelf.sees(owner, each) for each in range(60))
    steps: list[tuple[int, int | None]] = []
    found = evaluate(
        shelf.runtime,
        shelf.measured,
        queries_of(shelf.runtime),
        lambda *step: steps.append(step),
    )

    assert seen < 60
    assert {total for _, total in steps} == {None, seen}
    assert steps[-1] == (seen, seen)
    assert found.counted.pictures == seen


def test_an_encoder_of_another_space_is_refused(shelf: Shelf) -> None:
    other = Library.create(shelf.runtime.database)
    with pytest.raises(EmbeddingSpaceMismatch):
        evaluate(shelf.runtime, Measured(other.space_id, shelf.encoder), [])


def second_space(shelf: Shelf, vectors: Matrix, left_out: set[int] = frozenset()) -> Measured:  # type: ignore[assignment]
    """Embed the same contents in another space, whose vectors stand for another model."""
    other = Library.create(shelf.runtime.database, owners=0)
    with shelf.runtime.transaction() as session:
        for number, embedding_id in enumerate(shelf.embeddings):
            if number not in left_out:
                content = session.get_one(Embedding, embedding_id).content_id
                blob, crc32 = to_blob(vectors[number])
                session.add(
                    Embedding(space_id=other.space_id, content_id=content, vector=blob, crc32=crc32)
                )
        session.flush()
        contents = session.execute(
            select(Embedding.content_id).where(Embedding.space_id == other.space_id)
        ).scalars()
        changes.touch(session, list(contents))
        space = session.get_one(Space, other.space_id).to_space()
    return Measured(other.space_id, SpokenVectors(space, shelf.texts))


def test_a_better_model_is_told_from_the_one_in_use(shelf: Shelf) -> None:
    owner = shelf.owners[0]
    mine = [each for each in range(60) if shelf.owner_of[each] == owner]
    set_id = keep_set(shelf.runtime, owner)
    better = shelf.vectors.copy()
    for picture, (text, vector) in zip(mine, shelf.texts.items(), strict=False):
        keep_query(shelf.runtime, set_id, text, [shelf.images[picture]])
        better[picture] = l2_normalise(0.2 * better[picture] + vector)
    after = second_space(shelf, better)
    found = compare(shelf.runtime, shelf.measured, after, queries_of(shelf.runtime))

    assert found.after.overall is not None
    assert found.after.overall.recall.value == 1
    assert found.recall_change is not None
    assert found.ndcg_change is not None
    assert found.ndcg_change.low > 0
    assert found.before.space.name != found.after.space.name


def test_two_models_are_compared_over_the_pictures_that_both_have(shelf: Shelf) -> None:
    owner = shelf.owners[0]
    mine = [each for each in range(60) if shelf.owner_of[each] == owner]
    set_id = keep_set(shelf.runtime, owner)
    for picture, text in zip(mine, shelf.texts, strict=False):
        keep_query(shelf.runtime, set_id, text, [shelf.images[picture]])
    # Two thirds are missing, two judged ones among them: the rest would be easier to search.
    left_out = {*mine[:2], *(each for each in range(60) if each % 3)}
    after = second_space(shelf, shelf.vectors, left_out)
    found = compare(shelf.runtime, shelf.measured, after, queries_of(shelf.runtime))

    assert found.before.queries == found.after.queries
    assert found.before.counted.without_vector == found.after.counted.without_vector == 2
    assert found.before.counted.pictures == found.after.counted.pictures == 18
    assert found.ndcg_change is not None
    assert found.ndcg_change.value == 0


def test_nothing_judged_is_no_figure(shelf: Shelf) -> None:
    found = compare(shelf.runtime, shelf.measured, second_space(shelf, shelf.vectors), [])
    assert found.before.overall is None
    assert found.ndcg_change is None
    assert found.before.languages == {}

"""Label vectors outlive the process that computed them."""

from __future__ import annotations

import threading

import numpy as np
from sqlalchemy import select, update

from mirada.db import spaces
from mirada.db.classifier_models import LabelVector as LabelVectorRow
from mirada.db.session import Database
from mirada.embedding import label_vectors
from mirada.embedding.label_vectors import LabelVector
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, Vector, l2_normalise

SPACE = EmbeddingSpace(SpaceKind.IMAGE, "Toy", "v1", "none", 4)


def vector(*numbers: float) -> Vector:
    return l2_normalise([*numbers, *[0.0] * (4 - len(numbers))])


def pin(database: Database) -> int:
    with database.transaction() as session:
        return spaces.pin_space(session, SPACE).id


def test_a_stored_vector_is_found_by_its_key_in_its_space_only(database: Database) -> None:
    space_id = pin(database)
    with database.transaction() as session:
        label_vectors.store_vectors(
            session,
            space_id,
            [LabelVector("a" * 64, "cat", vector(1)), LabelVector("b" * 64, "dog", vector(0, 1))],
        )
    with database.reading() as session:
        found = label_vectors.known_vectors(session, space_id, 4, ["b" * 64, "c" * 64, "a" * 64])
        elsewhere = label_vectors.known_vectors(session, space_id + 1, 4, ["a" * 64])
    assert sorted(found) == ["a" * 64, "b" * 64]
    np.testing.assert_array_equal(found["b" * 64], vector(0, 1))
    assert elsewhere == {}


def test_a_thousand_vectors_are_stored_twice_and_read_once(database: Database) -> None:
    space_id = pin(database)
    many = [LabelVector(f"{n:064x}", f"label {n}", vector(1, n)) for n in range(1000)]
    for _ in range(2):
        with database.transaction() as session:
            label_vectors.store_vectors(session, space_id, many)
    with database.reading() as session:
        found = label_vectors.known_vectors(session, space_id, 4, [entry.key for entry in many])
        count = len(session.execute(select(LabelVectorRow.id)).all())
    assert (len(found), count) == (1000, 1000)


def test_a_damaged_vector_counts_as_unknown_and_is_written_over(database: Database) -> None:
    space_id = pin(database)
    entry = LabelVector("a" * 64, "cat", vector(1, 2))
    with database.transaction() as session:
        label_vectors.store_vectors(session, space_id, [entry])
        session.execute(update(LabelVectorRow).values(crc32=LabelVectorRow.crc32 + 1))
    with database.reading() as session:
        assert label_vectors.known_vectors(session, space_id, 4, [entry.key]) == {}
    with database.transaction() as session:
        label_vectors.store_vectors(session, space_id, [entry])
    with database.reading() as session:
        found = label_vectors.known_vectors(session, space_id, 4, [entry.key])
    np.testing.assert_array_equal(found[entry.key], entry.vector)


def test_two_processes_may_store_the_same_vectors_at_once(database: Database) -> None:
    space_id = pin(database)
    many = [LabelVector(f"{n:064x}", f"label {n}", vector(1, n)) for n in range(200)]
    together = threading.Barrier(3)
    failures: list[BaseException] = []

    def store(entries: list[LabelVector]) -> None:
        try:
            together.wait()
            with database.transaction() as session:
                label_vectors.store_vectors(session, space_id, entries)
        except BaseException as error:
            failures.append(error)

    orders = (many, many[::-1], many[100:] + many[:100])
    threads = [threading.Thread(target=store, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []

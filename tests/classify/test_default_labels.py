"""The default label set, edited and reset."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from mirada.classify import label_set
from mirada.db.session import Database
from mirada.kernel.errors import Conflict, NotFound
from mirada.kernel.labels import DEFAULT_LABELS, MAX_LABELS, Label


def names(database: Database) -> list[str]:
    with database.reading() as session:
        return [label.name for label in label_set.LABELS.in_force(session)]


def put(database: Database, label: Label) -> bool:
    with database.transaction() as session:
        return label_set.LABELS.put(session, label)


def test_the_built_in_set_is_in_force_until_it_is_edited(database: Database) -> None:
    with database.reading() as session:
        assert label_set.LABELS.in_force(session) == list(DEFAULT_LABELS)
        assert not label_set.LABELS.is_edited(session)


def test_the_first_edit_keeps_the_built_in_labels_and_their_order(database: Database) -> None:
    assert put(database, Label("axolotl", "a pink salamander", ("a sticker of an {}",), 0.3))
    assert names(database) == [*(label.name for label in DEFAULT_LABELS), "axolotl"]
    with database.reading() as session:
        assert label_set.LABELS.is_edited(session)
        assert label_set.LABELS.get(session, "axolotl") == Label(
            "axolotl", "a pink salamander", ("a sticker of an {}",), 0.3
        )


def test_a_label_that_is_put_again_is_replaced_in_its_place(database: Database) -> None:
    first = DEFAULT_LABELS[0].name
    assert not put(database, Label(first, "changed"))
    assert names(database) == [label.name for label in DEFAULT_LABELS]
    with database.reading() as session:
        assert label_set.LABELS.get(session, first) == Label(first, "changed")


def test_names_that_differ_in_case_only_are_two_labels(database: Database) -> None:
    assert put(database, Label("Axolotl"))
    assert put(database, Label("axolotl"))
    assert names(database)[-2:] == ["Axolotl", "axolotl"]


def test_a_deleted_label_is_gone_and_an_unknown_one_not_found(database: Database) -> None:
    gone, *rest = (label.name for label in DEFAULT_LABELS)
    with database.transaction() as session:
        label_set.LABELS.delete(session, gone)
    assert names(database) == rest
    with database.transaction() as session, pytest.raises(NotFound):
        label_set.LABELS.delete(session, gone)
    with database.reading() as session, pytest.raises(NotFound):
        label_set.LABELS.get(session, gone)


def test_the_last_label_stays_because_an_empty_set_would_be_the_built_in_one(
    database: Database,
) -> None:
    with database.transaction() as session:
        for label in DEFAULT_LABELS[1:]:
            label_set.LABELS.delete(session, label.name)
    with database.transaction() as session, pytest.raises(Conflict, match="only label left"):
        label_set.LABELS.delete(session, DEFAULT_LABELS[0].name)
    assert names(database) == [DEFAULT_LABELS[0].name]


def test_a_reset_brings_the_built_in_set_back(database: Database) -> None:
    put(database, Label("axolotl"))
    with database.transaction() as session:
        label_set.LABELS.reset(session)
    assert names(database) == [label.name for label in DEFAULT_LABELS]


def test_the_set_has_a_largest_size(database: Database) -> None:
    assert label_set.LABELS.most == MAX_LABELS
    # To fill a thousand places takes ten seconds, and looks at nothing else.
    small = replace(label_set.LABELS, most=len(DEFAULT_LABELS) + 5)
    with database.transaction() as session:
        for number in range(5):
            small.put(session, Label(f"label {number}"))
        with pytest.raises(Conflict):
            small.put(session, Label("one too many"))
        assert not small.put(session, Label("label 0", "still changeable"))


def test_two_first_edits_at_once_copy_the_built_in_set_once(database: Database) -> None:
    together = threading.Barrier(2)
    failures: list[BaseException] = []

    def edit(name: str) -> None:
        try:
            together.wait()
            put(database, Label(name))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=edit, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(names(database)) == len(DEFAULT_LABELS) + 2

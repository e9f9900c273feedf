"""Runs of imports say how far they are and how they ended; what a killed one left is removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from mirada.db.models import Content
from mirada.db.transfer_models import Transfer
from mirada.kernel.errors import InvalidInput
from mirada.transfer import exporting
from mirada.transfer.runs import RunState
from mirada.transfer.sources.lines import LinesSource
from testing.console import run_command
from testing.old_systems import Old, as_jsonl
from tests.transfer.conftest import COUNT, Mirada
from tests.transfer.test_importing import bring, images


def runs(mirada: Mirada) -> list[Transfer]:
    with mirada.runtime.reading() as session:
        return list(session.execute(select(Transfer).order_by(Transfer.id)).scalars())


def asked_for(old: Old, tmp_path: Path) -> tuple[str, ...]:
    file = tmp_path / "metadata.jsonl"
    as_jsonl(old, file)
    return (str(file), "--pictures", str(old.folder), "--owner", "local", "--batch", "8")


def test_a_source_that_vanishes_midway_is_told_and_gone_on_with(
    mirada: Mirada, old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asked_for(old, tmp_path)
    whole = LinesSource.records

    def vanishing(self: LinesSource) -> Iterator[Any]:
        for number, record in enumerate(whole(self)):
            if number == 20:
                raise InvalidInput("The database of the import says: server closed the connection")
            yield record

    monkeypatch.setattr(LinesSource, "records", vanishing)
    result = run_command(mirada.runtime, "import", *asked)
    assert result.exit_code == 1
    assert "server closed the connection" in result.output
    monkeypatch.setattr(LinesSource, "records", whole)
    (first,) = runs(mirada)
    assert (first.state, first.done, first.total, first.taken) == (RunState.FAILED, 16, COUNT, 16)
    assert first.error is not None
    assert "server closed" in first.error
    assert len(images(mirada)) == 16
    report = bring(mirada, *asked)
    assert (report["taken"], report["already_there"]) == (COUNT - 16, 16)
    second = runs(mirada)[1]
    assert (second.state, second.resumed, second.done) == (RunState.DONE, 1, COUNT)
    assert (second.taken, second.already_there) == (COUNT - 16, 16)
    assert second.ended_at_ms is not None
    bring(mirada, *asked)
    assert runs(mirada)[2].resumed == 0


def test_a_run_keeps_the_reasons_of_refused_rows(mirada: Mirada, old: Old, tmp_path: Path) -> None:
    asked = asked_for(old, tmp_path)
    lines = Path(asked[0])
    lines.write_text("{\n" + lines.read_text())
    assert bring(mirada, *asked)["refused"] == 1
    (run,) = runs(mirada)
    assert (run.state, run.refused, run.done, run.total) == ("done", 1, COUNT + 1, COUNT + 1)
    assert run.refusals == [{"row": 1, "external_id": None, "reason": "The line is no JSON."}]
    bring(mirada, *asked, "--dry-run")
    assert len(runs(mirada)) == 1


def test_files_that_a_killed_run_had_in_hand_are_removed(
    mirada: Mirada, old: Old, tmp_path: Path
) -> None:
    asked = asked_for(old, tmp_path)
    bring(mirada, *asked)
    store = mirada.runtime.image_store
    with mirada.runtime.reading() as session:
        named = session.execute(select(Content.storage_key)).scalars().first()
    assert named is not None
    staged = store.stage()
    staged.stream.write(b"of a batch that was never written")
    left = "ab/cd/abcd-01234567.png"
    store.commit(staged, left)
    # As a kill between the files and their rows leaves it.
    with mirada.runtime.transaction() as session:
        killed = {"state": RunState.RUNNING, "in_hand": [left, named], "ended_at_ms": None}
        session.execute(update(Transfer).values(**killed))
    assert store.path(left).is_file()
    bring(mirada, *asked)
    assert store.path(named).is_file()
    assert not (store.path(named).parents[2] / left).exists()
    first, second = runs(mirada)
    assert (first.state, first.in_hand) == (RunState.INTERRUPTED, [])
    assert first.ended_at_ms == first.seen_at_ms
    assert (second.state, second.resumed, second.in_hand) == (RunState.DONE, 1, [])


def test_an_export_is_a_run_too_and_says_where_it_was_stopped(
    mirada: Mirada, old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(mirada, *asked_for(old, tmp_path))
    folder = tmp_path / "out" / "backup"
    monkeypatch.setattr(exporting, "ROWS", 20)
    whole, steps = exporting._step, iter((True, False))

    def stopped(*given: Any) -> bool:
        if not next(steps):
            raise KeyboardInterrupt
        return whole(*given)

    monkeypatch.setattr(exporting, "_step", stopped)
    run_command(mirada.runtime, "export", str(folder))
    monkeypatch.setattr(exporting, "_step", whole)
    first = runs(mirada)[1]
    assert (first.kind, first.state, first.done, first.total) == (
        "export",
        "interrupted",
        20,
        COUNT,
    )
    assert run_command(mirada.runtime, "export", str(folder)).exit_code == 0
    # One that is done is told from its folder, and is no run.
    assert run_command(mirada.runtime, "export", str(folder)).exit_code == 0
    second = runs(mirada)[2]
    assert (second.state, second.done, second.resumed) == ("done", COUNT, 1)
    assert len(runs(mirada)) == 3
    told = mirada.client.get("/api/v1/transfers").get_json()["results"]
    assert [(each["source"], each["state"], each["hint"]) for each in told[:2]] == [
        ("backup", "ended", None),
        ("backup", "stopped", None),
    ]

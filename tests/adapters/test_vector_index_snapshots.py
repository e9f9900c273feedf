"""A snapshot is complete and proven, or it is nothing: damage, crashes and full disks."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, update

from mirada import private_files
from mirada.adapters.vector_index.faiss import costs, publishing, rebuilding, snapshot
from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.adapters.vector_index.faiss.planning import Costs
from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings
from mirada.adapters.vector_index.faiss.snapshot import open_snapshot
from mirada.config import PROJECT_ROOT
from mirada.db.models import Embedding, IndexSnapshot, Installation, Lease
from mirada.db.session import Database
from mirada.db.vector_rows import lease_name
from mirada.embedding import index_rebuild
from mirada.embedding.index_rebuild import build_snapshot, rebuild_is_due
from mirada.kernel.errors import LeaseLost, SnapshotInvalid, StorageFull
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.kernel.ways import MEASURED
from mirada.ports import SnapshotRecord
from testing.exact_index import ExactIndex
from testing.scopes import seen_by
from testing.vector_library import Library, no_progress, random_vectors

ANYONE = seen_by(viewer_id=None)
ROWS = 400


@pytest.fixture
def library(sqlite_database: Database) -> Library:
    library = Library.create(sqlite_database)
    library.add(random_vectors(ROWS))
    return library


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "faiss_indexes"


def _index(library: Library, folder: Path) -> FaissIndex:
    return FaissIndex(
        library.source,
        folder,
        BuildSettings(recall_target=0.98, hnsw_min_rows=1, threads=1, list_rows=40),
        exact_rows=0,
    )


def _built(library: Library, folder: Path) -> SnapshotRecord:
    record = _index(library, folder).rebuild(1, no_progress)
    assert record is not None
    return record


def _directory(folder: Path, record: SnapshotRecord) -> Path:
    return folder / record.db_epoch / record.name


def _answers_are_right(index: FaissIndex, library: Library) -> bool:
    queries = random_vectors(5, library.dimension, seed=4)
    expected = ExactIndex(library.source).search(queries, 10, ANYONE)
    return [a.matches for a in index.search(queries, 10, ANYONE)] == [a.matches for a in expected]


def _reasons(library: Library) -> dict[str, str | None]:
    with library.database.reading() as session:
        return {
            row.name: row.set_aside_reason
            for row in session.execute(select(IndexSnapshot.name, IndexSnapshot.set_aside_reason))
        }


def test_a_published_snapshot_is_served_and_says_how_it_was_measured(
    library: Library, folder: Path
):
    record = _built(library, folder)
    index = _index(library, folder)
    assert _answers_are_right(index, library)
    status = index.status()
    assert (status.snapshot, status.kind, status.delta_count) == (record.name, "hnsw", 0)
    assert status.parameters["hnsw_m"] == 32
    # The quantised form has several lists, so all that is said of damage is said of these too.
    assert SearchWay.IVF in {way.way for way in status.ways}
    walks = {way.form: way for way in status.ways if way.way is SearchWay.HNSW}
    assert set(walks) == set(QueryForm)
    for form, way in walks.items():
        assert way.is_in_use
        assert status.parameters["ef_search"][form] == way.setting
        assert way.recall_at_least is not None
        assert way.recall_at_least >= 0.98
    shown = status.recall["hnsw"]["picture"]
    assert (shown["recall"], shown["queries"]) == (walks[QueryForm.PICTURE].recall, 100)
    assert {path.name for path in _directory(folder, record).iterdir()} == {
        "manifest.json",
        *record.manifest["files"],
    }


def test_any_flipped_byte_is_found_before_serving(library: Library, folder: Path):
    record = _built(library, folder)
    directory = _directory(folder, record)
    rng = np.random.default_rng(0)
    source = library.source
    for path in sorted(directory.iterdir()):
        content = path.read_bytes()
        offsets = {0, 1, 45, len(content) - 1, *rng.integers(0, len(content), 25).tolist()}
        for offset in sorted(offset for offset in offsets if offset < len(content)):
            damaged = bytearray(content)
            damaged[offset] ^= 1 << int(rng.integers(0, 8))
            path.write_bytes(damaged)
            with pytest.raises(SnapshotInvalid):
                open_snapshot(directory, record, space=source.space, db_epoch=record.db_epoch)
        path.write_bytes(content)
    open_snapshot(directory, record, space=source.space, db_epoch=record.db_epoch)


def test_a_truncated_or_missing_file_sets_the_snapshot_aside_and_answers_go_on(
    library: Library, folder: Path
):
    names = [*sorted(_built(library, folder).manifest["files"]), "manifest.json"]
    for number, name in enumerate(names):
        [newest, *_] = library.source.snapshots() or [_built(library, folder)]
        path = _directory(folder, newest) / name
        if number % 2:
            path.unlink()
        else:
            os.truncate(path, path.stat().st_size // 2)
        index = _index(library, folder)
        assert _answers_are_right(index, library)
        assert index.status().snapshot != newest.name
        assert _reasons(library)[newest.name] is not None


def test_the_previous_snapshot_serves_when_the_newest_is_damaged(library: Library, folder: Path):
    previous = _built(library, folder)
    library.add(random_vectors(20, seed=2))
    newest = _built(library, folder)
    (_directory(folder, newest) / "manifest.json").unlink()
    index = _index(library, folder)
    assert _answers_are_right(index, library)
    assert index.status().snapshot == previous.name
    assert index.status().delta_count == 20


@pytest.mark.parametrize("name", ["vectors.faiss", "quantised.faiss", "graph.faiss"])
@pytest.mark.parametrize("damage", ["flip", "delete", "delete all"])
def test_damage_while_serving_never_reaches_an_answer(
    library: Library, folder: Path, damage: str, name: str
):
    record = _built(library, folder)
    index = _index(library, folder)
    index.refresh()
    path = _directory(folder, record) / name
    if damage == "flip":
        with path.open("r+b") as file:
            file.seek(path.stat().st_size - 100)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0xFF]))
    elif damage == "delete":
        path.unlink()
    else:
        shutil.rmtree(folder)
    index.refresh()
    assert _answers_are_right(index, library)
    assert _reasons(library)[record.name] is not None
    library.add(random_vectors(3, seed=6))
    index.refresh()
    assert _answers_are_right(index, library)
    rebuilt = build_snapshot(index, 2, no_progress)
    assert rebuilt is not None
    assert index.status().snapshot == rebuilt.name
    assert _answers_are_right(index, library)


def test_touching_a_file_without_changing_it_changes_nothing(library: Library, folder: Path):
    record = _built(library, folder)
    index = _index(library, folder)
    index.refresh()
    (_directory(folder, record) / "vectors.faiss").touch()
    index.refresh()
    index.refresh()
    assert index.status().snapshot == record.name
    assert _reasons(library) == {record.name: None}


def test_a_restored_backup_refuses_snapshots_of_the_other_database(library: Library, folder: Path):
    record = _built(library, folder)
    index = _index(library, folder)
    index.refresh()
    with library.database.transaction() as session:
        session.execute(update(Installation).values(db_epoch="another"))
    fresh = _index(library, folder)
    assert _answers_are_right(fresh, library)
    assert fresh.status().snapshot is None
    index._snapshots_checked_at = 0
    index.refresh()
    assert index.status().snapshot is None
    assert _reasons(library)[record.name] is not None


def test_a_database_that_went_back_in_time_is_read_afresh(library: Library, folder: Path):
    index = _index(library, folder)
    index.refresh()
    folder.mkdir()
    backup = folder / "backup.db"
    path = Path(str(library.database.engine.url.database))
    with closing(sqlite3.connect(path)) as live, closing(sqlite3.connect(backup)) as copy:
        live.backup(copy)
    library.add(random_vectors(5, seed=3))
    index.refresh()
    library.database.close()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copyfile(backup, path)
    index.refresh()
    assert index.status().live_count == ROWS
    assert _answers_are_right(index, library)


def test_a_process_adopts_a_new_snapshot_and_forgets_what_it_holds(library: Library, folder: Path):
    index = _index(library, folder)
    index.refresh()
    ids = [m.id for m in index.search(random_vectors(1), 5, ANYONE)[0].matches]
    _built(library, folder)
    index._snapshots_checked_at = 0
    index.refresh()
    first = index.status()
    library.delete(ids[:2])
    library.add(random_vectors(7, seed=3))
    index.refresh()
    record = _built(library, folder)
    library.delete(ids[2:4])
    library.add(random_vectors(3, seed=5))
    index._snapshots_checked_at = 0
    index.refresh()
    status = index.status()
    assert (first.delta_count, status.snapshot) == (0, record.name)
    assert (status.delta_count, status.dead_count, status.live_count) == (3, 2, ROWS + 6)
    assert _answers_are_right(index, library)


def test_a_snapshot_older_than_a_process_does_not_bring_the_deleted_back(
    library: Library, folder: Path
):
    builder = _index(library, folder)
    late: list[FaissIndex] = []

    def delete_meanwhile(done: int, total: int) -> None:
        if not late:
            first = ExactIndex(library.source).search(random_vectors(1), 1, ANYONE)[0].matches[0]
            library.delete([first.id])
            # This process starts without a snapshot, when the deletion is already history.
            late.append(_index(library, folder))
            late[0].refresh()

    builder.rebuild(1, delete_meanwhile)
    late[0]._snapshots_checked_at = 0
    late[0].refresh()
    assert late[0].status().snapshot is not None
    assert late[0].status().live_count == ROWS - 1
    assert _answers_are_right(late[0], library)


def test_two_good_snapshots_are_kept_and_older_files_removed(library: Library, folder: Path):
    names = []
    for number in range(4):
        library.add(random_vectors(1, seed=number))
        names.append(_built(library, folder).name)
    assert [record.name for record in library.source.snapshots()] == names[:1:-1]
    assert {path.name for path in folder.glob("*/snap-*")} == set(names[2:])


def test_what_crashed_builders_left_is_removed_after_an_hour(library: Library, folder: Path):
    record = _built(library, folder)
    parent = folder / record.db_epoch
    for name in ("snap-old.tmp", "snap-young.tmp"):
        (parent / name).mkdir()
    shutil.copytree(parent / record.name, parent / "snap-orphan")
    for name in ("snap-old.tmp", "snap-orphan"):
        os.utime(parent / name, (1, 1))
    library.add(random_vectors(1, seed=1))
    newest = _built(library, folder)
    assert {path.name for path in parent.iterdir()} == {
        record.name,
        newest.name,
        "snap-young.tmp",
    }


def test_tombstones_go_when_every_snapshot_is_newer_and_slow_followers_start_afresh(
    library: Library, folder: Path
):
    slow = _index(library, folder / "elsewhere")
    slow.refresh()
    first = slow.search(random_vectors(1), 1, ANYONE)[0].matches[0].id
    library.delete([first])
    _built(library, folder)
    assert _tombstones(library) == 0
    _built(library, folder)
    assert slow.status().live_count == ROWS
    library.add(random_vectors(1, seed=11))
    slow.refresh()
    assert slow.status().live_count == ROWS
    assert _answers_are_right(slow, library)


def _tombstones(library: Library) -> int:
    with library.database.reading() as session:
        return len(
            session.execute(select(Embedding.id).where(Embedding.is_deleted.is_(True))).all()
        )


def test_a_builder_whose_lease_was_taken_publishes_nothing(library: Library, folder: Path):
    with library.database.transaction() as session:
        session.add(Lease(name=lease_name(library.space_id), fencing_token=7, holder="another"))
    with pytest.raises(LeaseLost):
        _index(library, folder).rebuild(6, no_progress)
    assert library.source.snapshots() == []
    assert list(folder.glob("*/snap-*")) == []
    assert _index(library, folder).rebuild(7, no_progress) is not None


@pytest.fixture
def _small_files_only() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("_small_files_only")
@pytest.mark.parametrize(
    ("room", "full_from"), [(0, "vectors"), (40_000, "vectors"), (1_000, "quantised")]
)
def test_a_full_disk_publishes_nothing(
    folder: Path, sqlite_database: Database, room: int, full_from: str
):
    library = Library.create(sqlite_database, dimension=64)
    library.add(random_vectors(ROWS, 64))
    index = _index(library, folder)
    index.refresh()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(done: int = 0, total: int = 0) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))

    if full_from == "vectors":
        limit()
    with pytest.raises(StorageFull):
        index.rebuild(1, limit)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert library.source.snapshots() == []
    assert list((folder).glob("*/snap-*")) == []
    assert _answers_are_right(index, library)


@pytest.mark.usefixtures("_small_files_only")
def test_a_disk_that_is_full_before_the_graph_leaves_the_quantised_form(
    folder: Path, sqlite_database: Database
):
    library = Library.create(sqlite_database, dimension=64)
    library.add(random_vectors(ROWS, 64))
    index = _index(library, folder)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit_from_the_graph_on(done: int, total: int) -> None:
        if done > ROWS:
            resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))

    with pytest.raises(StorageFull):
        index.rebuild(1, limit_from_the_graph_on)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    [kept] = library.source.snapshots()
    assert kept.manifest["kind"] == "quantised"
    assert {path.name for path in folder.glob("*/snap-*")} == {kept.name}
    assert _answers_are_right(index, library)
    assert rebuild_is_due(library.source) == "the graph of its 400 rows is missing"
    assert build_snapshot(index, 2, no_progress) is not None
    assert index.status().kind == "hnsw"
    assert rebuild_is_due(library.source) is None


def test_the_quantised_form_serves_until_the_graph_takes_its_place(library: Library, folder: Path):
    builder = _index(library, folder)
    served: list[tuple[str, str]] = []
    server = _index(library, folder)

    def look(done: int, total: int) -> None:
        server._snapshots_checked_at = 0
        server.refresh()
        assert _answers_are_right(server, library)
        status = server.status()
        served.append((status.kind, str(status.snapshot)))

    record = builder.rebuild(1, look)
    look(0, 0)
    kinds = list(dict.fromkeys(kind for kind, _ in served))
    assert kinds == ["none", "quantised", "hnsw"]
    assert served[-1] == ("hnsw", record and record.name)
    # Both are of the same rows, so the first made room for the second, and not for the one before.
    assert [each.name for each in library.source.snapshots()] == [served[-1][1]]


def test_both_stages_share_the_vectors_on_the_disk(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(type(library.source), "retire_snapshots", lambda *_: [])
    _built(library, folder)
    with_graph, without = library.source.snapshots()
    for name in without.manifest["files"]:
        first, second = (_directory(folder, each) / name for each in (without, with_graph))
        assert first.samefile(second), name
        assert without.manifest["files"][name] == with_graph.manifest["files"][name]


def test_a_snapshot_of_an_earlier_format_is_rebuilt_and_answers_go_on(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(index_rebuild, "FIRST_SNAPSHOT_ROWS", ROWS)
    monkeypatch.setattr(rebuilding, "FORMAT", 1)
    with pytest.raises(SnapshotInvalid):
        _built(library, folder)
    # Published as the earlier version did, which opened what it had written.
    monkeypatch.setattr(snapshot, "FORMAT", 1)
    old = _built(library, folder)
    monkeypatch.undo()
    monkeypatch.setattr(index_rebuild, "FIRST_SNAPSHOT_ROWS", ROWS)
    index = _index(library, folder)
    assert _answers_are_right(index, library)
    assert index.status().snapshot is None
    assert "format is 1 and should be 3" in str(_reasons(library)[old.name])
    assert rebuild_is_due(library.source) == "400 rows and no snapshot"
    fresh = build_snapshot(index, 2, no_progress)
    assert fresh is not None
    assert index.status().snapshot == fresh.name


def test_a_disk_known_to_be_too_small_is_not_written_to(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(publishing, "SPARE", 1e15)
    with pytest.raises(StorageFull):
        _index(library, folder).rebuild(1, no_progress)
    assert list(folder.glob("*/*")) == []


@pytest.mark.parametrize(
    "step", ["os.fsync", "Path.rename", "open_snapshot", "record_snapshot", "retire_snapshots"]
)
def test_a_builder_killed_at_any_step_leaves_the_served_snapshot_alone(
    library: Library, folder: Path, step: str
):
    served = _built(library, folder)
    library.add(random_vectors(30, seed=2))
    script = f"""
    import os, signal, sys
    from pathlib import Path
    from sqlalchemy.engine import make_url
    from mirada.adapters.vector_index.faiss import index, publishing, rebuilding
    from mirada.db.session import Database, make_engine
    from mirada.db.vector_rows import DatabaseVectors

    def killed(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    step = {step!r}
    if step == "os.fsync":
        os.fsync = killed
    elif step == "Path.rename":
        Path.rename = killed
    elif step == "open_snapshot":
        publishing.open_snapshot = killed
    else:
        setattr(DatabaseVectors, step, killed)
    database = Database(make_engine(make_url({str(library.database.engine.url)!r}), 2))
    source = DatabaseVectors(database, {library.space_id})
    settings = rebuilding.BuildSettings(recall_target=0.98, hnsw_min_rows=1, threads=1)
    index.FaissIndex(source, Path({str(folder)!r}), settings).rebuild(2, lambda done, total: None)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=PROJECT_ROOT,
        timeout=60,
        check=False,
        capture_output=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    index = _index(library, folder)
    assert _answers_are_right(index, library)
    was_published = step == "retire_snapshots"
    assert (index.status().snapshot == served.name) is not was_published
    assert index.status().delta_count == (0 if was_published else 30)
    assert _reasons(library)[served.name] is None


def test_a_library_of_tombstones_is_purged_and_wants_no_rebuild(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(index_rebuild, "FIRST_SNAPSHOT_ROWS", ROWS)
    source = library.source
    all_ids = [m.id for m in ExactIndex(source).search(random_vectors(1), ROWS, ANYONE)[0].matches]
    library.delete(all_ids)
    assert source.count_changed_since(0) == ROWS
    assert rebuild_is_due(source) is None

    index = _index(library, folder)
    assert index.rebuild(1, no_progress) is None
    assert source.count_changed_since(0) == 0
    assert library.add(random_vectors(3, seed=9))
    index.refresh()
    assert index.status().live_count == 3


def test_a_rebuild_is_due_by_size_age_and_deaths(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
):

    source = library.source
    assert rebuild_is_due(source) is None
    monkeypatch.setattr(index_rebuild, "FIRST_SNAPSHOT_ROWS", ROWS)
    assert rebuild_is_due(source) == "400 rows and no snapshot"
    _built(library, folder)
    assert rebuild_is_due(source) is None
    new = library.add(random_vectors(60, seed=3))
    assert rebuild_is_due(source) is None
    monkeypatch.setattr(index_rebuild, "LEAST_DEAD_ROWS", 10)
    library.delete(new[:45])
    assert rebuild_is_due(source) is None
    old = [m.id for m in ExactIndex(source).search(random_vectors(1), 600, ANYONE)[0].matches]
    library.delete([id_ for id_ in old if id_ not in new][:40])
    assert rebuild_is_due(source) == "40 of the snapshot's 400 rows are dead"
    monkeypatch.setattr(index_rebuild, "MAX_DELTA_ROWS", 50)
    assert rebuild_is_due(source) == "100 rows changed since the snapshot"


def test_costs_measured_by_hand_are_kept_beside_the_snapshots_and_win(
    library: Library, folder: Path, caplog: pytest.LogCaptureFixture
):
    record = _built(library, folder)
    index = _index(library, folder)
    index.refresh()
    at_build = record.manifest["costs"]
    assert index.status().planning["costs_us"] == at_build
    tuned = index.tune().planning["costs_us"]
    assert tuned["measured_at"] >= at_build["measured_at"]
    assert tuned["beam_step"] > 0
    assert index.status().planning["costs_us"] == tuned
    assert _index(library, folder).status().planning["costs_us"] == tuned
    library.add(random_vectors(1, seed=1))
    _built(library, folder)
    assert _index(library, folder).status().planning["costs_us"] == tuned
    path = costs.kept_path(folder / record.db_epoch, library.dimension)
    for damaged in (b"{", b'{"faiss_version": "0", "costs": {}}', b"[]"):
        path.write_bytes(damaged)
        again = _index(library, folder)
        assert _answers_are_right(again, library)
        assert again.status().planning["costs_us"] != tuned


def test_two_who_measure_costs_at_once_both_keep_whole_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    mine, theirs = Costs(scanned_row=1.0), Costs(scanned_row=2.0)
    others = [theirs]
    open_file = private_files.open_file

    def opened_while_another_keeps(path: Path, mode: str) -> Any:
        file = open_file(path, mode)
        if others:
            costs.keep(folder, 16, others.pop())
            assert costs.kept(folder, 16) == theirs
        return file

    monkeypatch.setattr(private_files, "open_file", opened_while_another_keeps)
    costs.keep(folder, 16, mine)
    assert costs.kept(folder, 16) == mine
    assert [path.name for path in folder.iterdir()] == ["costs-16.json"]


def test_what_was_learnt_is_about_one_snapshot(library: Library, folder: Path):
    _built(library, folder)
    index = _index(library, folder)
    index.refresh()
    which = (QueryForm.PICTURE, SearchWay.HNSW)

    def shown() -> tuple[bool, str | None, float]:
        [way] = [one for one in index.status().ways if (one.form, one.way) == which]
        return way.is_in_use, way.reason, way.factor

    index.set_trust(MEASURED.widened(*which, 2.0))
    assert shown() == (True, None, 2.0)
    index.set_trust(MEASURED.without(*which, "recall 0.9 of 300 live searches"))
    assert shown() == (False, "recall 0.9 of 300 live searches", 1.0)
    assert _answers_are_right(index, library)
    library.add(random_vectors(1, seed=1))
    index.refresh()
    assert not shown()[0]
    _built(library, folder)
    index._snapshots_checked_at = 0
    index.refresh()
    assert shown() == (True, None, 1.0)
